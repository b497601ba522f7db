"""Weights over members that bring a mixture's answers nearest to a target's, through contexts that speak.

    min_w  mean_c KL(p_c ‖ q_c),   q_c = Σ_k b_kc m_kc,   b_kc = w_k p(c | k) / Σ_j w_j p(c | j)

A context says something of the member, so the problem is not convex (without contexts it is: then
theory.divergence.convex_hull.nearest has the answer with a certificate). Found by damped Gauss-Newton steps
(Levenberg-Marquardt) in log w from equal weights: ∂ log q / ∂ log w_k = b_k (m_k - q) / q, the curvature is
the p-mean of its outer products, and a step that does not lower the KL is not taken. So the KL is that of a
local minimum, or above it. Numpy only. Axes: m targets, k members, c contexts, a answers.
"""

import numpy as np

STRIDE = 3.0  # the most that a log-weight moves in a step
FAINTEST = -690.0  # a log-weight below the largest: exp of it is not 0
TINY = 1e-14


def fit_weights(
    target: np.ndarray, components: np.ndarray, evidence: np.ndarray, iterations: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (m, k), and the mean KL (m,) in nats that they reach.

    target (m, c, a), members (k, c, a) log-probabilities, evidence (k, c) log p(context | member). Answers
    that no member gives are left out of the fit; the KL of a target that gives them is ∞. A member that no
    context allows is left with 1/k.
    """
    likely, wanted = np.exp(components), np.exp(target)
    seen = np.exp(evidence - evidence.max(axis=0))
    floor = np.sum(wanted * np.maximum(target, -1e30), axis=-1)
    told = np.any((likely > 0) & (seen[..., None] > 0), axis=0)  # by a member that the context allows
    lost = np.any((wanted > 0) & ~told, axis=(-1, -2))
    wanted = np.where(told, wanted, 0.0)
    root, count, (k, contexts) = np.sqrt(wanted), len(target), evidence.shape

    def at(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        belief = np.exp(logs)[:, :, None] * seen
        belief /= belief.sum(axis=1, keepdims=True)
        answers = np.where(told, np.einsum("mkc,kca->mca", belief, likely, optimize=True), 1.0)
        return belief, answers, np.mean(floor - np.sum(wanted * np.log(answers), axis=-1), axis=-1)

    logs, damping = np.zeros((count, k)), np.ones(count)
    belief, answers, nats = at(logs)
    for _ in range(iterations):
        slopes = belief[..., None] * (likely - answers[:, None]) * (root / answers)[:, None]
        slopes = slopes.reshape(count, k, -1)
        downhill = (slopes @ root.reshape(count, -1, 1))[..., 0] / contexts
        curvature = slopes @ slopes.swapaxes(1, 2) / contexts
        bent = np.maximum(np.einsum("mkk->mk", curvature), TINY) * damping[:, None]
        step = np.linalg.solve(curvature + bent[:, None, :] * np.eye(k), downhill[..., None])[..., 0]
        moved = logs + np.clip(step, -STRIDE, STRIDE)
        moved = np.maximum(moved - moved.max(axis=1, keepdims=True), FAINTEST)
        tried = at(moved)
        better = tried[2] < nats
        logs = np.where(better[:, None], moved, logs)
        belief, answers = (
            np.where(better[:, None, None], new, old)
            for new, old in zip(tried[:2], (belief, answers), strict=True)
        )
        nats = np.where(better, tried[2], nats)
        damping = np.clip(np.where(better, damping / 4, damping * 4), 1e-9, 1e9)
        if (damping == 1e9).all():  # nothing is left to gain
            break
    weights, silent = np.exp(logs), ~(seen > 0).any(axis=1)
    weights[:, silent] = 0
    weights *= (1 - silent.mean()) / weights.sum(axis=1, keepdims=True)
    weights[:, silent] = 1 / k
    return weights, np.where(lost, np.inf, np.maximum(nats, 0.0))
