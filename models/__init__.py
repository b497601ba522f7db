"""Everything with weights: the transformer, its training, and the ways of finetuning it."""
