"""KL from the convex hull of components: min_w mean_c KL(p_c ‖ Σ_k w_k m_kc), w on the simplex.

    p_c    a target's distribution of answers in context c,   m_kc  that of component k
    g_k    = mean_c Σ_a p_c(a) m_kc(a) / q_c(a),  q = Σ_k w_k m_k: minus the derivative of the KL along w_k

Either one w for all contexts, the predictions of a mixture where contexts are empty, or another w for each
context, which bounds its predictions in any. Both problems are convex. For any weights w, and the best w*,
Jensen's inequality gives

    KL(w) - KL(w*) = mean_c Σ_a p_c log(q*_c / q_c) <= log Σ_k w*_k g_k <= log max_k g_k

so `gap` = log max_k g_k is a certificate: the least KL lies between `nats` - `gap` and `nats`, however w was
computed. The method is a primal-dual interior point: as Σ_k w_k g_k = 1, the minimum of KL + Σ w over w ≥ 0
has Σ w = 1, and its conditions are 1 - g_k = s_k ≥ 0 and w_k s_k = 0. Numpy only.
"""

from dataclasses import dataclass

import numpy as np

from theory.errors import Misuse

# w_k s_k is not driven below this, as components may be copies of each other; the gap ends at k times it.
FINEST = 1e-11


@dataclass(frozen=True)
class Nearest:
    """Weights (m, k), and KL and its certificate (m,) in nats; free weights have an axis c after m.

    At the edge of the hull, a weight that should be 0 is about √gap.
    """

    weights: np.ndarray
    nats: np.ndarray
    gap: np.ndarray

    @property
    def at_least(self) -> np.ndarray:
        """A lower bound of the KL, in nats, over all weights: above 0, the target is outside the hull."""
        return np.maximum(self.nats - self.gap, 0.0)


def nearest(
    target: np.ndarray, components: np.ndarray, *, shared: bool = True, iterations: int = 30
) -> Nearest:
    """The point of the components' hull nearest to each target.

    `target` (m, c, a) and `components` (k, c, a) are log-probabilities of answers, renormalised here.
    `shared`: one w for all contexts, nats averaged over them; otherwise a w for each. A target with an answer
    that no component gives is ∞ nats away. Raises `Misuse` for shapes that do not match.
    """
    if target.ndim != 3 or components.ndim != 3 or target.shape[1:] != components.shape[1:]:
        raise Misuse(
            "Targets (m, c, a) and components (k, c, a) must have the same contexts and answers, "
            f"got {target.shape} and {components.shape}."
        )
    p, m = (np.exp(np.asarray(log_probs, np.float64)) for log_probs in (target, components))
    p, m = (probs / probs.sum(axis=-1, keepdims=True) for probs in (p, m))
    # With shared weights (context, answer) is a single axis x, over which p sums to 1; without, every context
    # is a problem of its own, and c a batch axis in front of k.
    if shared:
        p = p.reshape(len(target), -1) / target.shape[1]
        m = m.reshape(len(components), -1)
    else:
        m = m.swapaxes(0, 1)
    possible = np.any(m > 0, axis=-2)  # under some component
    infinite = np.any((p > 0) & ~possible, axis=-1)
    p, m = np.where(possible, p, 0.0), np.where(possible[..., None, :], m, 1.0)
    weights, gap = _interior_point(p, m, iterations)
    q = _mixture(weights, m)
    count = target.shape[1] if shared else 1
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(count * p / q), 0.0)
    nats = np.maximum(terms.sum(axis=-1), 0.0)
    return Nearest(weights, np.where(infinite, np.inf, nats), np.where(infinite, 0.0, gap))


def _interior_point(p: np.ndarray, m: np.ndarray, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (..., k) of the smallest gap so far, and that gap; p (..., x), m (..., k, x)."""
    k = m.shape[-2]
    weights = np.full((*p.shape[:-1], k), 1 / k)
    slack = np.ones_like(weights)
    best, least = weights, np.full(weights.shape[:-1], np.inf)
    for _ in range(iterations + 1):
        ratio = m / _mixture(weights, m)[..., None, :]
        g = np.einsum("...x,...kx->...k", p, ratio)
        # On the way Σ w is not 1. At w / Σ w, which is what is returned, g is larger by the factor Σ w.
        gap = np.log(np.maximum(np.max(g, axis=-1) * weights.sum(axis=-1), 1.0))
        better = gap < least
        best = np.where(better[..., None], weights / weights.sum(axis=-1, keepdims=True), best)
        least = np.where(better, gap, least)
        # Newton's equations for g - 1 + s = 0 and w s = centre, with the slacks eliminated.
        scaled = ratio * np.sqrt(p)[..., None, :]
        matrix = scaled @ scaled.swapaxes(-1, -2) + (slack / weights)[..., None] * np.eye(k)
        centre = np.maximum(0.1 * np.mean(weights * slack, axis=-1, keepdims=True), FINEST) / weights
        move = np.linalg.solve(matrix, (g - 1 + centre)[..., None])[..., 0]
        slack_move = centre - slack - slack / weights * move
        weights = weights + _stride(weights, move) * move
        slack = slack + _stride(slack, slack_move) * slack_move
    return best, least


def _mixture(weights: np.ndarray, m: np.ndarray) -> np.ndarray:
    return np.einsum("...k,...kx->...x", weights, m)


def _stride(value: np.ndarray, move: np.ndarray) -> np.ndarray:
    """The longest stride, up to 1, that keeps all values positive with a little to spare."""
    with np.errstate(divide="ignore"):
        limit = np.where(move < 0, -0.99 * value / move, np.inf)
    return np.minimum(1.0, limit.min(axis=-1, keepdims=True))
