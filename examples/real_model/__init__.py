"""A language model from a package: persona prompts, finetuning, a table, its scorecard."""
