"""Calibration of samples against predictions of one process: a bound on what chance can do. Numpy only.

    S = Σ_n w (1[x_t = v] - p_v),    p = predict(x)_t,    w = 1, or w = p_v

Given what stands before it every term has mean 0 and variance w² p_v (1 - p_v), whatever the process: S is a
martingale, and |S| > L/3 + (L²/9 + 2 L V)^½ has probability below 2 e^-L, V the sum of the variances (D. A.
Freedman, Annals of Probability 3, 1975). w = 1 finds tokens that are drawn too often; w = p_v also finds
samples of the right frequencies that do not depend on what stands before them, as predictions do.

Axes: n documents, t positions, v vocabulary.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

DOCUMENTS = 4000


@dataclass(frozen=True)
class Calibration:
    """The sum furthest beyond chance: of a `token` at a `position` (None: at all), |S| over its bound as
    `excess`; above 1 the sampler and the predictor are of two processes. `drawn` is Σ w 1[x_t = v],
    `predicted` Σ w p_v, and `weighted` whether w is p_v."""

    excess: float
    token: int
    position: int | None
    drawn: float
    predicted: float
    weighted: bool

    def sentence(self) -> str:
        """The difference, in words."""
        where = "at all positions together" if self.position is None else f"at position {self.position}"
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
    probs = np.exp(np.asarray(log_probs, float))
    length, vocabulary = probs.shape[1:]
    hits = np.asarray(tokens)[..., None] == np.arange(vocabulary)
    limit = np.log(4 * (length + 1) * vocabulary / level)
    extremes = []
    for weights in (np.ones(()), probs):
        drawn, predicted, variance = (
            _with_total((weights * hits).sum(axis=0)),
            _with_total((weights * probs).sum(axis=0)),
            _with_total((weights**2 * probs * (1 - probs)).sum(axis=0)),
        )
        bound = limit / 3 + np.sqrt(limit**2 / 9 + 2 * limit * np.maximum(variance, 0))
        excess = np.abs(drawn - predicted) / bound
        impossible = _with_total((hits & (probs == 0)).sum(axis=0)) > 0
        excess[impossible | ~np.isfinite(excess)] = np.inf
        row, token = np.unravel_index(np.argmax(excess), excess.shape)
        extremes.append(
            Calibration(
                float(excess[row, token]),
                int(token),
                None if row == length else int(row),
                float(drawn[row, token]),
                float(predicted[row, token]),
                weights.ndim > 0,
            )
        )
    return max(extremes, key=lambda entry: entry.excess)


def _with_total(sums: np.ndarray) -> np.ndarray:
    """Values (t, v), and below them their sum over positions, (t + 1, v)."""
    return np.concatenate([sums, sums.sum(axis=0, keepdims=True)])
