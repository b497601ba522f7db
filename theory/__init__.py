"""Exact maths and inference: processes, theories of finetuning, samplers, and the measures that compare them."""
