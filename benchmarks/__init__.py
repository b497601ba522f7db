"""Benchmarks of speed, against what the machine could do and against peers: `python -m benchmarks`.

One module for each benchmark, found by its name, with `measure(seconds) -> rows` (see `benchmarks._timing`).
"""
