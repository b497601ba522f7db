"""The number of every random stream of a run: one purpose, one number (docs/architecture.md, Random streams).

A stream is `fold_in(key(seed), NUMBER)`; pretraining has its own, `models.pretraining.DATA_STREAM`.
"""

CONTEXTS = 11
DATA, ORDER, REPLICA_ORDER = 12, 13, 14
CHAINS, METRIC, BASE_COST = 15, 16, 17
TUNING, REPLAY, THEORY, MOMENTS = 18, 19, 20, 21
TEACHER, CONTINUATIONS = 22, 23
