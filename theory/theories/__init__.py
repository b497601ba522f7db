"""Theories of finetuning, one a file: `predict(prior, data, beta, key=...)` gives a predictor."""
