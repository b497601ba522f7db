"""Samplers: one NumPyro MCMC kernel a file."""
