"""Exact mathematics and inference: processes, theories of finetuning, samplers, and measures to compare them."""
