"""A causal language model of transformers: a planned table is filled, imported and scored."""
