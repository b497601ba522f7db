"""Exact mathematics and inference: processes, theories, samplers, and measures to compare them."""
