"""Documents written on the host: D', prompts and priors of processes, and the checks that they share.

    log π0(z) = z log rarity - log Σ_z' rarity^z'        hypotheses, each rarer than the one before

Drawing is numpy's (nothing to compile), the results are arrays of jax.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Float

from theory.base import Dataset, LogProbs, Misuse, Predictor, Tokens

Writer = TypeVar("Writer", int, tuple[int, int])
MOST = 1_000_000  # of whatever a process counts


def geometric_prior(count: int, rarity: float) -> Float[np.ndarray, " k"]:
    """log π0(z), π0(z) ∝ rarity^z, of `count` hypotheses, in float64."""
    log_prior = np.arange(count) * np.log(rarity)
    return log_prior - np.log(np.sum(np.exp(log_prior)))


def dataset(tokens: Tokens, mask: np.ndarray) -> Dataset:
    """Documents (n, t) with the positions that count, (n, t) or the same (t,) for all."""
    # jnp.asarray would compile a program for every shape
    return Dataset(jax.device_put(tokens), jax.device_put(np.broadcast_to(mask, tokens.shape)))


def prompts(length: int, *parts: np.ndarray) -> Dataset:
    """Contexts of `parts` side by side, (n,) or (n, s) each, padded to documents; the next token counts."""
    shown = np.column_stack(parts)
    tokens = np.zeros((len(shown), length), np.int32)
    tokens[:, : shown.shape[1]] = shown
    return dataset(tokens, np.arange(length) == shown.shape[1])


def writers(shares: Mapping[Writer, float], n: int) -> np.ndarray:
    """Writers of n documents, in order: every key of `shares` its share of them, rounded."""
    check_documents(n)
    check_shares(shares)
    # Bounds between writers are rounded, not their shares: there are n documents in all.
    ends = np.rint(n * np.cumsum(list(shares.values()))).astype(int)
    return np.repeat(list(shares), np.diff(ends, prepend=0), axis=0)


def check_shares(shares: Mapping[Writer, float]) -> None:
    """Refuse shares that are no probabilities."""
    if not (shares and min(shares.values()) >= 0 and abs(sum(shares.values()) - 1) <= 1e-6):
        raise Misuse(f"Shares must be at least 0 and add to 1, got {dict(shares)}.")


def check_documents(n: int) -> None:
    """Refuse an empty D'."""
    if n < 1:
        raise Misuse(f"D' needs at least one document, got n = {n}.")


def listed(**lists: object) -> tuple:
    """A list of numbers by its name, as a tuple; refuses what is none."""
    ((name, values),) = lists.items()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise Misuse(f"{name} must be a list, got {values!r}; write {name}=[{values!r}].")
    return tuple(values)


def check_at_least(least: int, **numbers: int) -> None:
    """Refuse a number below `least`, or above what any process has, by its name."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise Misuse(f"{name} must be an integer, got {number!r}.")
        if number < least:
            raise Misuse(f"{name} must be at least {least}, got {number}.")
        if number > MOST:
            raise Misuse(f"{name} must be at most {MOST}, got {number}.")


@jax.jit
def predict(predictor: Predictor, tokens: Tokens) -> LogProbs:
    """The predictor's log-probabilities, as a program of its own."""
    return predictor.predict(tokens)
