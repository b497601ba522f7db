"""How far answers are from the hull of some members': min_w mean_c KL(p_c ‖ Σ_k w_k m_kc), w on the simplex.

    p_c    a target's distribution of answers in context c,   m_kc  member k's
    g_k    = mean_c Σ_a p_c(a) m_kc(a) / q_c(a),  q = Σ_k w_k m_k: minus the slope of the KL along w_k

Either one w for all contexts, which is what a mixture can say where contexts are empty, or one for each
context, which bounds what it can say in any. Both are convex. For any weights w, and the best w*, Jensen's
inequality gives

    KL(w) - KL(w*) = mean_c Σ_a p_c log(q*_c / q_c) <= log Σ_k w*_k g_k <= log max_k g_k

so `gap` = log max_k g_k is a certificate: the least KL lies between `nats` - `gap` and `nats`, however w
was found. Found by a primal-dual interior point method: as Σ_k w_k g_k = 1, the minimum of KL + Σ w over
w ≥ 0 has Σ w = 1, and its conditions are 1 - g_k = s_k ≥ 0 and w_k s_k = 0. Numpy only.
"""

from dataclasses import dataclass

import numpy as np

from theory.errors import Misuse

# w_k s_k is not driven below this, as members may be copies of each other; the gap ends at k times it
FINEST = 1e-11


@dataclass(frozen=True)
class Nearest:
    """Weights (m, k), and KL and its certificate (m,) in nats; free weights have an axis c after m.

    At the edge of the hull, a weight that should be 0 is found as about √gap.
    """

    weights: np.ndarray
    nats: np.ndarray
    gap: np.ndarray

    @property
    def at_least(self) -> np.ndarray:
        """Nats that no weights come below: above 0, the target is outside the hull for sure."""
        return np.maximum(self.nats - self.gap, 0.0)


def nearest(
    target: np.ndarray, components: np.ndarray, *, shared: bool = True, iterations: int = 30
) -> Nearest:
    """The point of the members' hull nearest to each target.

    `target` (m, c, a) and `members` (k, c, a) are log-probabilities of answers, renormalised here. `shared`:
    one w for all contexts, nats averaged over them; otherwise one for each. A target with an answer that no
    member gives is ∞ nats away. Raises `Misuse` for shapes that do not match.
    """
    if target.ndim != 3 or components.ndim != 3 or target.shape[1:] != components.shape[1:]:
        raise Misuse(
            "Targets (m, c, a) and members (k, c, a) must have the same contexts and answers, "
            f"got {target.shape} and {components.shape}."
        )
    wanted, likely = (np.exp(np.asarray(each, np.float64)) for each in (target, components))
    wanted, likely = (each / each.sum(axis=-1, keepdims=True) for each in (wanted, likely))
    if shared:
        wanted = wanted.reshape(len(target), -1) / target.shape[1]
        likely = likely.reshape(len(components), -1)
    else:
        likely = likely.swapaxes(0, 1)
    told = np.any(likely > 0, axis=-2)  # by some member
    lost = np.any((wanted > 0) & ~told, axis=-1)
    wanted, likely = np.where(told, wanted, 0.0), np.where(told[..., None, :], likely, 1.0)
    weights, gap = _interior_point(wanted, likely, iterations)
    answers = _answers(weights, likely)
    count = target.shape[1] if shared else 1
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(wanted > 0, wanted * np.log(count * wanted / answers), 0.0)
    nats = np.maximum(terms.sum(axis=-1), 0.0)
    return Nearest(weights, np.where(lost, np.inf, nats), np.where(lost, 0.0, gap))


def _interior_point(wanted: np.ndarray, likely: np.ndarray, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (..., k) of the smallest gap met, and that gap; wanted (..., x), likely (..., k, x)."""
    k = likely.shape[-2]
    weights = np.full((*wanted.shape[:-1], k), 1 / k)
    slack = np.ones_like(weights)
    best, least = weights, np.full(weights.shape[:-1], np.inf)
    for _ in range(iterations + 1):
        ratio = likely / _answers(weights, likely)[..., None, :]
        slope = np.einsum("...x,...kx->...k", wanted, ratio)
        # the same at normalised weights
        gap = np.log(np.maximum(np.max(slope, axis=-1) * weights.sum(axis=-1), 1.0))
        better = gap < least
        best = np.where(better[..., None], weights / weights.sum(axis=-1, keepdims=True), best)
        least = np.where(better, gap, least)
        scaled = ratio * np.sqrt(wanted)[..., None, :]
        matrix = scaled @ scaled.swapaxes(-1, -2) + (slack / weights)[..., None] * np.eye(k)
        centre = np.maximum(0.1 * np.mean(weights * slack, axis=-1, keepdims=True), FINEST) / weights
        move = np.linalg.solve(matrix, (slope - 1 + centre)[..., None])[..., 0]
        slack_move = centre - slack - slack / weights * move
        weights = weights + _stride(weights, move) * move
        slack = slack + _stride(slack, slack_move) * slack_move
    return best, least


def _answers(weights: np.ndarray, likely: np.ndarray) -> np.ndarray:
    return np.einsum("...k,...kx->...x", weights, likely)


def _stride(value: np.ndarray, move: np.ndarray) -> np.ndarray:
    """The longest stride, up to 1, that keeps all values positive with a little to spare."""
    with np.errstate(divide="ignore"):
        limit = np.where(move < 0, -0.99 * value / move, np.inf)
    return np.minimum(1.0, limit.min(axis=-1, keepdims=True))
