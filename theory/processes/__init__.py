"""Processes: one file each, a sampler with its exact Bayes predictor and its tasks."""
