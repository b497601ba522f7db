"""Calibration of samples against predictions of one process: a bound on what chance can do. Numpy only.

    S = Σ_n w (1[x_t = v] - p_v),    p = predict(x)_t,    w = 1, w = p_v, or w = 1[x_(t-1) = u]

Given what stands before it every term has mean 0 and variance w² p_v (1 - p_v), whatever the process: S is a
martingale, and |S| > L/3 + (L²/9 + 2 L V)^½ has probability below 2 e^-L, V the sum of the variances (D. A.
Freedman, Annals of Probability 3, 1975). w = 1 finds tokens that are drawn too often; w = p_v also finds
samples of the right frequencies that do not depend on what stands before them, as predictions do; and
w = 1[x_(t-1) = u], for every token u, those that are right but for the mean over u, where there are not more
than `MOST_PAIRS` of these sums.

Axes: n documents, t positions, v vocabulary; u the token before.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

DOCUMENTS = 4000
MOST_PAIRS = 5_000_000


@dataclass(frozen=True)
class Calibration:
    """The sum furthest beyond chance: of a `token` at a `position` (None: at all), |S| over its bound as
    `excess`; above 1 the sampler and the predictor are of two processes. `drawn` is Σ w 1[x_t = v],
    `predicted` Σ w p_v, `weighted` whether w is p_v, and `after` the token u before (None: any)."""

    excess: float
    token: int
    position: int | None
    drawn: float
    predicted: float
    weighted: bool
    after: int | None = None

    def sentence(self) -> str:
        """The difference, in words."""
        where = "at all positions together" if self.position is None else f"at position {self.position}"
        where += "" if self.after is None else f" after token {self.after}"
        counted = "the predicted probabilities of its draws sum to" if self.weighted else "it is drawn"
        unit = "" if self.weighted else " times"
        return (
            f"token {self.token}, {where}: {counted} {self.drawn:.5g}{unit} where {self.predicted:.5g} are "
            "expected, beyond chance"
        )


def calibration(
    tokens: Int[np.ndarray, "n t"], log_probs: Float[np.ndarray, "n t v"], level: float = 1e-6
) -> Calibration:
    """Compare samples with the log-probabilities (nats) that their process predicts on them.

    `level` is the probability that samples of the right process have any excess above 1. A token that is
    drawn though it is impossible has an infinite one; so have predictions that are not numbers.
    """
    probs, tokens = np.exp(np.asarray(log_probs, float)), np.asarray(tokens)
    length, vocabulary = probs.shape[1:]
    hits = tokens[..., None] == np.arange(vocabulary)
    pairs = (length - 1) * vocabulary**2
    sums = [(weights, _weighted_sums(hits, probs, weights)) for weights in (np.ones(()), probs)]
    if 0 < pairs <= MOST_PAIRS:
        sums.append((np.ones(()), _sums_after(tokens, hits, probs)))
    limit = np.log(2 * sum(parts[0].size for _, parts in sums) / level)
    extremes = []
    for weights, (drawn, predicted, variance, impossible) in sums:
        bound = limit / 3 + np.sqrt(limit**2 / 9 + 2 * limit * np.maximum(variance, 0))
        excess = np.abs(drawn - predicted) / bound
        excess[(impossible > 0) | ~np.isfinite(excess)] = np.inf
        at = np.unravel_index(np.argmax(excess), excess.shape)
        row, token, after = int(at[0]), int(at[-1]), int(at[1]) if len(at) > 2 else None
        extremes.append(
            Calibration(
                float(excess[at]),
                token,
                row + 1 if after is not None else None if row == length else row,
                float(drawn[at]),
                float(predicted[at]),
                weights.ndim > 0,
                after,
            )
        )
    return max(extremes, key=lambda entry: entry.excess)


def _weighted_sums(hits: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Sums over documents by position, and over all positions (t + 1, v): of what is drawn, of what is
    predicted, of variances and of draws that are impossible."""
    every = (weights * hits, weights * probs, weights**2 * probs * (1 - probs), hits & (probs == 0))
    totals = [part.sum(axis=0) for part in every]
    return [np.concatenate([part, part.sum(axis=0, keepdims=True)]) for part in totals]


def _sums_after(tokens: np.ndarray, hits: np.ndarray, probs: np.ndarray) -> list[np.ndarray]:
    """The same by position, from the second on, and by the token before (t - 1, u, v)."""
    length, vocabulary = probs.shape[1:]
    every = (hits, probs, probs * (1 - probs), hits & (probs == 0))
    sums = [np.zeros((length - 1, vocabulary, vocabulary)) for _ in every]
    for position in range(1, length):
        order = np.argsort(tokens[:, position - 1], kind="stable")
        before, starts = np.unique(tokens[order, position - 1], return_index=True)
        for total, part in zip(sums, every, strict=True):
            total[position - 1, before] = np.add.reduceat(part[order, position].astype(float), starts)
    return sums
