"""Calibration of a belief: how many nats of answers follow a nat that a probe reads, or that an edit adds.

    answered   log-odds of the weight w at which (1 - w) m_others + w m_target is nearest to the answers,
               argmin KL(answers ‖ ·): convex in w. m are the exact answers of a hypothesis in a context,
               those of the others mixed as the posterior has them. Of exact answers it is the posterior
    anchored   answers times exact/base, normalised: what an edit changes, without the base network's error
    Response   of an edit by x nats: the slope of answered log-odds in x, over contexts
    Rescaling  b ≈ softmax(τ n + c) of numbers n that a probe reads: τ = 1 is calibrated, c is a shift

Arrays are numpy's, nats; no jax.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logsumexp, rel_entr, softmax

from theory.errors import Misuse
from theory.probes.codes import information

LogProbs = Float[np.ndarray, "... a"]
LARGEST = 10.0  # nats: log-odds that answers can have at most
HALVINGS = 50


def answered(
    answers: LogProbs,
    components: Float[np.ndarray, "k ... a"],
    beliefs: Float[np.ndarray, "... k"],
    target: int,
) -> Float[np.ndarray, "..."]:
    """The log-odds of a target hypothesis that answers tell of, at most `LARGEST`."""
    ours = np.exp(np.asarray(components[target], float))
    weights = np.delete(np.asarray(beliefs, float), target, axis=-1)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    remaining = np.exp(np.delete(np.asarray(components, float), target, axis=0))
    others = np.einsum("k...a,...k->...a", remaining, weights)
    chances = np.exp(np.asarray(answers, float))
    low, high = (np.full(chances.shape[:-1], end) for end in (-LARGEST, LARGEST))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        weight = expit(middle)[..., None]
        mixed = np.maximum((1 - weight) * others + weight * ours, 1e-300)
        rises = np.sum(chances * (ours - others) / mixed, axis=-1) > 0  # less KL with more weight
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    return (low + high) / 2


def visibility(
    components: Float[np.ndarray, "k ... a"], beliefs: Float[np.ndarray, "... k"], target: int, nats: float
) -> Float[np.ndarray, "..."]:
    """KL (nats) from the exact answers to those after an edit of a belief by `nats` for the target: where it
    is small, answers tell nothing of the edit."""
    beliefs = np.asarray(beliefs, float)
    tilted = beliefs * np.where(np.arange(beliefs.shape[-1]) == target, np.exp(nats), 1.0)
    tilted /= tilted.sum(axis=-1, keepdims=True)
    chances = np.exp(np.asarray(components, float))
    before, after = (np.einsum("k...a,...k->...a", chances, part) for part in (beliefs, tilted))
    return rel_entr(before, after).sum(axis=-1)


def anchored(answers: LogProbs, base: LogProbs, exact: LogProbs) -> LogProbs:
    """Answers whose deviation from the base network is put onto the exact process."""
    return log_softmax(np.asarray(answers, float) - base + exact, axis=-1)


@dataclass(frozen=True)
class Response:
    """The response of answers to an edit: `slope`, the median over contexts (1: a nat in is a nat out), its
    `spread` (half of what holds the middle 68 %), the share of contexts of the `wrong` sign; and the
    variation over contexts, spread over median, of what an edit adds to log-odds and to probability.

    Medians, as answers just beyond those of a hypothesis have log-odds of ±`LARGEST`.
    """

    slope: float
    spread: float
    wrong: float
    of_log_odds: float
    of_probability: float

    @classmethod
    def of(cls, nats: Sequence[float], log_odds: Float[np.ndarray, "x c"]) -> Self:
        """The response to edits by `nats`, ascending, 0 among them, of answered `log_odds`."""
        sizes = np.asarray(nats, float)
        if 0.0 not in sizes or len(sizes) != len(log_odds) or sizes.max() <= 0:
            raise Misuse(
                "A response needs edits by 0 and by more nats, with log-odds for each, got "
                f"{sizes.tolist()} and log-odds of shape {np.shape(log_odds)}."
            )
        centre = sizes - sizes.mean()
        slopes = centre @ log_odds / np.sum(centre**2)
        start, end = (log_odds[np.flatnonzero(sizes == size)[0]] for size in (0.0, sizes.max()))
        return cls(
            float(np.median(slopes)),
            spread(slopes),
            float(np.mean(slopes < 0)),
            variation(end - start),
            variation(expit(end) - expit(start)),
        )


def variation(changes: Float[np.ndarray, " c"]) -> float:
    """The spread over the size of the median; nan where that is 0."""
    middle = abs(float(np.median(changes)))
    return spread(changes) / middle if middle > 0 else float("nan")


def spread(values: Float[np.ndarray, " c"]) -> float:
    """Half of the range that holds the middle 68 %: the standard deviation of normal values."""
    low, high = np.quantile(values, [0.1587, 0.8413])
    return float(high - low) / 2


@dataclass(frozen=True)
class Rescaling:
    """The numbers of a probe, times `slope` and shifted by `shift` (k,), as log-odds."""

    slope: float
    shift: Float[np.ndarray, " k"]

    @classmethod
    def fit(
        cls,
        numbers: Float[np.ndarray, "... k"],
        beliefs: Float[np.ndarray, "... k"],
        slope: float | None = None,
    ) -> Self:
        """argmin E KL(b ‖ softmax(τ n + c)), convex; `slope` holds τ and leaves c."""
        numbers, beliefs = (
            np.asarray(part, float).reshape(-1, part.shape[-1]) for part in (numbers, beliefs)
        )

        def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
            scale = values[0] if slope is None else slope
            read = scale * numbers + values[1:]
            missed = (softmax(read, axis=-1) - beliefs) / len(numbers)
            steep = float(np.sum(missed * numbers)) if slope is None else 0.0
            value = -np.sum(beliefs * log_softmax(read, axis=-1)) / len(numbers)
            return float(value), np.array([steep, *missed.sum(axis=0)])

        start = np.array([1.0, *np.zeros(numbers.shape[1])])
        best = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9}).x
        return cls(float(best[0]) if slope is None else slope, best[1:] - best[1:].mean())

    def __call__(self, numbers: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... k"]:
        """Probabilities."""
        return softmax(self.slope * np.asarray(numbers, float) + self.shift, axis=-1)


def kept_information(
    numbers: Float[np.ndarray, "n k"],
    beliefs: Float[np.ndarray, "n k"],
    fitted: Float[np.ndarray, "m k"],
    of_fitted: Float[np.ndarray, "m k"],
) -> float:
    """I of numbers as log-odds after the one constant shift that is best for the `fitted` ones: D' may move
    a belief, and says nothing of the filter."""
    return information(beliefs, Rescaling.fit(fitted, of_fitted, slope=1.0)(numbers))


def two_way(log_odds: Float[np.ndarray, "..."]) -> Float[np.ndarray, "... 2"]:
    """Probabilities of a hypothesis and of the others."""
    return np.stack([expit(log_odds), expit(-log_odds)], axis=-1)


def against_others(numbers: Float[np.ndarray, "... k"], target: int) -> Float[np.ndarray, "..."]:
    """Log-odds of a hypothesis against all others."""
    numbers = np.asarray(numbers, float)
    return numbers[..., target] - logsumexp(np.delete(numbers, target, axis=-1), axis=-1)
