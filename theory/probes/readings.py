"""Scores of what is read of an event, against its exact probability: loss, calibration, and the ceilings.

    p            exact probability of the event, of the network's own future, say (theory.probes.futures)
    p̂            what a probe reads
    floor        mean entropy of p: no reading of anything has a smaller log loss, in nats
    excess       log loss of p̂ over the floor, the mean of KL(p ‖ p̂)
    slope, intercept    of the log-odds of p on those of p̂, the best by log loss: 1 and 0 are calibrated
    auc          chance that a position where the event comes is ranked above one where it does not

The outcome is drawn after the reading, so p itself has an AUC below 1: that is the ceiling of every probe.
Arrays are numpy's; no jax.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import entr, logit

from theory.errors import Misuse
from theory.probes.codes import divergence, fit_log_odds

LEAST = 1e-12  # probability that a reading counts as at least


@dataclass(frozen=True)
class Reading:
    """The quality of readings of an event; `prior` is the entropy (nats) of its mean probability."""

    prior: float
    floor: float
    excess: float
    slope: float
    intercept: float
    auc: float
    ceiling: float


def score_reading(read: Float[np.ndarray, "..."], exact: Float[np.ndarray, "..."]) -> Reading:
    """The score of readings p̂ (...) against exact probabilities p of the same shape."""
    read, exact = (np.asarray(part, float).reshape(-1) for part in (read, exact))
    if read.shape != exact.shape or not read.size:
        raise Misuse(
            f"Readings and exact probabilities must have one shape, got {read.size} and {exact.size} of them."
        )
    if not all(
        np.isfinite(part).all() and part.min() > -1e-6 and part.max() < 1 + 1e-6 for part in (read, exact)
    ):
        raise Misuse(
            "Readings and exact probabilities must be between 0 and 1; clip what a linear probe reads."
        )
    read, exact = read.clip(LEAST, 1 - LEAST), exact.clip(0, 1)
    line = fit_log_odds(logit(read)[:, None], _both(exact), 1e-10)
    return Reading(
        prior=float(entr(_both(exact).mean(axis=0)).sum()),
        floor=float(entr(_both(exact)).sum(axis=-1).mean()),
        excess=divergence(_both(exact), _both(read)),
        slope=float(line.filters[0, 1] - line.filters[0, 0]),
        intercept=float(line.offset[1] - line.offset[0]),
        auc=ranking(read, exact),
        ceiling=ranking(exact, exact),
    )


def ranking(
    scores: Float[np.ndarray, " n"],
    exact: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
) -> float:
    """AUC of scores for an event that comes with the exact probabilities; a tie counts as half.

    With `groups` two positions are compared that are of one group; what all of a group share then has 1/2.
    nan where the event is certain, or impossible, at all positions.
    """
    chosen = [slice(None)] if groups is None else [groups == group for group in np.unique(groups)]
    ranked, pairs = 0.0, 0.0
    for part in chosen:
        _, rank = np.unique(scores[part], return_inverse=True)
        comes, stays = (np.bincount(rank, weights=weights[part]) for weights in (exact, 1 - exact))
        ranked += comes @ (np.cumsum(stays) - stays / 2)
        pairs += comes.sum() * stays.sum()
    return float(ranked / pairs) if pairs else np.nan


def _both(chances: np.ndarray) -> np.ndarray:
    """Probabilities that the event does not come, and that it does."""
    return np.stack([1 - chances, chances], axis=-1)
