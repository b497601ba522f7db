"""Probes of the inside of networks: exact beliefs and futures as targets, codes, subspaces and baselines."""
