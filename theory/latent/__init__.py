"""Latent variables: mixtures, hidden Markov processes and tables that processes are made of."""
