"""Probes of events in networks, from a description or from what networks write."""
