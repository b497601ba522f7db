"""Theories of finetuning: one file each, `predict(prior, data, beta, key=...)` to a predictor."""
