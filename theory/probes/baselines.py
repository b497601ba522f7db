"""Baselines of probes: features of what is outside of the network, and targets that it has no use for.

    outputs      its own log-probabilities at a position, and their cubes: inside must beat outside
    untrained    streams of a network of the same shape that was never trained: no function here
    tokens       a bag of the tokens so far, and the last two of them
    foreign      the exact filter of a setting that pretraining never had: the same inputs, smoothness and
                 dimension, of no use to the network (a control task; Hewitt and Liang, arXiv 1909.03368),
                 less what the filter that is of use predicts of it
    shuffled     beliefs permuted among documents, the same position kept: what the position alone tells

`theory.probes.scores.compare` shows all of them beside a probe. Arrays are numpy's; no jax.
"""

import numpy as np
from jaxtyping import Float, Int

from theory.errors import Misuse

LEAST = -30.0  # nats that a log-probability counts as at least


def outputs(log_probs: Float[np.ndarray, "... v"]) -> Float[np.ndarray, "... v"]:
    """Log-probabilities of the next token as features; those of impossible tokens count as `LEAST`."""
    return np.asarray(log_probs, float).clip(LEAST)


def cubic(features: Float[np.ndarray, "... f"]) -> Float[np.ndarray, "... three_f"]:
    """Features with their squares and cubes."""
    features = np.asarray(features, float)
    return np.concatenate([features, features**2, features**3], axis=-1)


def seen_tokens(tokens: Int[np.ndarray, "n t"], vocabulary: int) -> Float[np.ndarray, "n t f"]:
    """Counts of every token before each position, then which were the last and the last but one."""
    tokens = np.asarray(tokens)
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise Misuse(
            f"Tokens must be from 0 to {vocabulary - 1}, got {tokens.min()} to {tokens.max()}; vocabulary is "
            "the number of tokens of the process."
        )
    shown = np.eye(vocabulary)[tokens]
    last, before = (np.pad(shown, ((0, 0), (back, 0), (0, 0)))[:, : tokens.shape[1]] for back in (1, 2))
    return np.concatenate([np.cumsum(last, axis=1), last, before], axis=-1)


def filter_features(beliefs: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... two_k"]:
    """A belief as features in both codes: what it predicts of another filter is predicted by these."""
    beliefs = np.asarray(beliefs, float)
    return np.concatenate([beliefs, np.log(beliefs.clip(np.exp(LEAST)))], axis=-1)


def shuffled(targets: Float[np.ndarray, "n t k"], random: np.random.Generator) -> Float[np.ndarray, "n t k"]:
    """Targets of another document at every position; no document keeps its own."""
    if len(targets) < 2:
        raise Misuse(f"Targets can be permuted among at least two documents, got {len(targets)}.")
    order = random.permutation(len(targets))
    moved = np.empty_like(targets)
    moved[order] = targets[np.roll(order, 1)]
    return moved
