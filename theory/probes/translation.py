"""Translation of a belief: a probe reads after finetuning what it read before, plus a constant.

    after = s before + Δ + residual,    both in log-odds, centred over hypotheses

Evidence of D' adds to log-odds, the same in every context: s = 1, no residual, and Δ is β Σ evidence(D').
s below 1 is a belief that is tempered or overwritten. Arrays are numpy's; no jax.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from theory.errors import Misuse
from theory.probes.codes import divergence


@dataclass(frozen=True)
class Translation:
    """`slope` s, `spread`, the standard deviation of the residuals (nats), and `shift` (k,), the mean of
    after - before (nats), which is Δ where s = 1."""

    slope: float
    spread: float
    shift: Float[np.ndarray, " k"]

    @classmethod
    def of(cls, before: Float[np.ndarray, "... k"], after: Float[np.ndarray, "... k"]) -> Self:
        """The translation between log-odds of the same contexts; a constant added to all hypotheses of a
        context does not count."""
        if np.shape(before) != np.shape(after):
            raise Misuse(
                "Log-odds before and after must be of the same contexts and hypotheses, got "
                f"{np.shape(before)} and {np.shape(after)}."
            )
        before, after = (centred(part).reshape(-1, np.shape(part)[-1]) for part in (before, after))
        shift = (after - before).mean(axis=0)
        before, after = before - before.mean(axis=0), after - after.mean(axis=0)
        variance = np.sum(before**2)
        slope = float(np.sum(before * after) / variance) if variance > 0 else float("nan")
        return cls(slope, float(np.sqrt(np.mean((after - slope * before) ** 2))), shift)

    @property
    def size(self) -> float:
        """Root mean square of the shift (nats): the unit of the spread."""
        return float(np.sqrt(np.mean(self.shift**2)))


def moved_divergences(
    beliefs: Float[np.ndarray, "c k"], before: Float[np.ndarray, "c k"], shifts: Float[np.ndarray, "b k"]
) -> Float[np.ndarray, " b"]:
    """Mean KL (nats) from beliefs to those that log-odds `before` make with each shift added; ∞ where a shift
    rules a hypothesis out that the belief does not."""
    given = np.asarray(before, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array([divergence(beliefs, softmax(given + shift, axis=-1)) for shift in shifts])


def centred(log_odds: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... k"]:
    """Log-odds with mean 0 over hypotheses."""
    log_odds = np.asarray(log_odds, float)
    return log_odds - log_odds.mean(axis=-1, keepdims=True)
