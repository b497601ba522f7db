"""Effects of hypotheses on answers, and what contexts have in common of them. Numpy only.

    y_zc(a) = log p(a | c, z) - mean over answers        log-probabilities less what normalises them
    e_zc    = y_zc - Σ_z w_z y_zc                        the effect of hypothesis z in context c

    common share = Σ_z w_z Σ_{c ≠ c'} e_zc · e_zc' / ((C - 1) Σ_z w_z Σ_c e_zc · e_zc)

It estimates a two-way analysis of variance, e_zc = A_z + B_zc: a main effect of z, alike in all contexts, and
an interaction, another in each. Where the parts B are independent of each other with mean 0, above stands C
(C - 1) |A|² in expectation and below (C - 1) C (|A|² + |B|²): the share of the main effect, without the bias
|B|² / C of the squared mean over contexts. It is 1 where the effect is alike in all contexts, about 0 where
each has its own, and at least -1 / (C - 1).

Axes: k hypotheses, c contexts, a answers; `...` is any of those in front.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from theory.errors import Misuse

LogProbs: TypeAlias = Float[np.ndarray, "k c a"]
LEAST = -30.0  # nats: an answer that is ruled out counts as one of this log-probability


def effects(log_probs: LogProbs, weights: Float[np.ndarray, " k"] | None = None) -> LogProbs:
    """e_zc of the answers of every hypothesis, which have equal weights unless they are given.

    An answer that all hypotheses rule out in a context is none there, and has no effect.
    """
    clipped = np.maximum(np.asarray(log_probs, float), LEAST)
    possible = np.any(clipped > LEAST, axis=0)
    means = np.sum(clipped * possible, axis=-1) / np.maximum(possible.sum(axis=-1), 1)
    centred = (clipped - means[..., None]) * possible
    return centred - np.tensordot(_weights(centred, weights), centred, axes=(0, 0))


def alike(parts: LogProbs, weights: Float[np.ndarray, " k"] | None = None) -> float:
    """The share of `parts` that all contexts have in common, as the effects of the common share; nan for a
    single context, and where all parts are 0."""
    values = np.asarray(parts, float)
    contexts, weight = values.shape[1], _weights(values, weights)
    squares = weight @ np.sum(values**2, axis=(1, 2))
    if contexts < 2 or not squares > 0:
        return float("nan")
    sums = weight @ np.sum(values.sum(axis=1) ** 2, axis=-1)
    return float((sums - squares) / (contexts - 1) / squares)


def common_share(log_probs: LogProbs, weights: Float[np.ndarray, " k"] | None = None) -> float:
    """The share of the hypotheses' effect on answers that is common to all contexts."""
    return alike(effects(log_probs, weights), weights)


def projected_share(
    change: Float[np.ndarray, "*batch c a"],
    directions: LogProbs,
    base: Float[np.ndarray, "c a"],
) -> Float[np.ndarray, "*batch"]:
    """The share of a change of log-probabilities that the best combination of `directions` reaches.

    Least squares in the Fisher metric of the answers `base` (log-probabilities), Σ_c Var_{p_c}(u), to second
    order twice the summed KL of the change u from the base: 1 in the span, 0 at a right angle to it; nan
    where nothing changes. Answers ruled out in a direction count as `LEAST`.
    """
    weight = np.exp(np.asarray(base, float))
    rows = _whitened(np.maximum(np.asarray(directions, float), LEAST), weight)
    moved = _whitened(np.asarray(change, float), weight)
    _, sizes, basis = np.linalg.svd(rows, full_matrices=False)
    basis = basis[sizes > 1e-8 * max(sizes.max(initial=0.0), 1e-30)]
    whole = np.sum(moved**2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, np.sum((moved @ basis.T) ** 2, axis=-1) / whole, np.nan)


def _whitened(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """√p (u - E_p u) with contexts and answers as one axis, (..., c × a)."""
    centred = values - np.sum(weight * values, axis=-1, keepdims=True)
    rows = np.sqrt(weight) * centred
    return rows.reshape(*rows.shape[:-2], -1)


def _weights(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    given = np.ones(len(values)) if weights is None else np.asarray(weights, float)
    if not np.all(given >= 0) or not given.sum() > 0:
        raise Misuse(f"{len(values)} weights of hypotheses are needed, at least 0, got {given!r:.60}.")
    return given / given.sum()
