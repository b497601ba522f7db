"""The number of every random stream of a run: one purpose, one number (docs/architecture.md, Random streams).

Pretraining has a stream of its own, `models.pretraining.DATA_STREAM`. In this jax `fold_in(key, i)` is the
i-th key of `split(key)`: a key that is drawn from or split is therefore never folded.
"""

import jax
from jaxtyping import Array, Integer

from theory.base import Key

CONTEXTS = 11
DATA, ORDER, REPLICA_ORDER = 12, 13, 14
CHAINS, METRIC, BASE_COST = 15, 16, 17
TUNING, REPLAY, THEORY, MOMENTS = 18, 19, 20, 21
TEACHER, CONTINUATIONS = 22, 23
THEORY_DOCUMENTS, MODES, CURVATURE, BASE_COST_NOISE = 24, 25, 26, 27
MOMENTS_ORDER, FACTORS, METHOD_CHECKS, THEORY_CHECKS = 28, 29, 30, 31
MEASURES = 32
INSIDE_DOCUMENTS, INSIDE_DATA, PAGES = 33, 34, 35
SHOTS, PAIR_DOCUMENTS, ALPHABETS, INJECTED = 46, 47, 48, 49
ORDER_NOISE = 50
FACTOR_DOCUMENTS, SHOT_EXAMPLES = 60, 61
MOTOR_TEXTS, MOTOR_OF_NETWORK = 38, 39
RIVAL_DATA, RIVAL_ORDER, POOLED_ORDER, POOLED_REPLICA_ORDER, DRAWN_DOCUMENTS = 40, 41, 42, 43, 44


def stream(seed: int, number: int, *path: int | Integer[Array, ""]) -> Key:
    """The key of a purpose: `fold_in(key(seed), number)`, then folded with each number of the path (of a base
    network, an arm, a finetuning seed), which may be traced."""
    key = jax.random.fold_in(jax.random.key(seed), number)
    for step in path:
        key = jax.random.fold_in(key, step)
    return key
