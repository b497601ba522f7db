"""How fast, against what the machine could do and against peers: `python -m benchmarks`.

One module a benchmark, found by its name; each has `measure(seconds) -> rows` (see `benchmarks._timing`).
"""
