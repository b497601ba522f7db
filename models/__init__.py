"""The transformer, its pretraining, and the ways of finetuning it."""
