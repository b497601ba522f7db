"""Mixture weights that bring predictions nearest to a target's, where contexts are evidence on components.

    min_w  mean_c KL(p_c ‖ q_c),   q_c = Σ_k b_kc m_kc,   b_kc = w_k p(c | k) / Σ_j w_j p(c | j)

A context is evidence on the component, so the problem is not convex (without contexts it is: then
theory.divergence.convex_hull.nearest has the solution with a certificate). Solved by damped Gauss-Newton
steps (Levenberg-Marquardt) in log w from equal weights: ∂ log q / ∂ log w_k = b_k (m_k - q) / q, the
curvature is the p-mean of its outer products, and a step that does not lower the KL is rejected. So the KL is
that of a local minimum, or above it. Numpy only. Axes: m targets, k components, c contexts, a answers.
"""

import numpy as np

STRIDE = 3.0  # the most that a log-weight moves in a step
FAINTEST = -690.0  # a log-weight below the largest: exp of it is not 0
TINY = 1e-14
EXACT, SMALL = 1e-9, 1e-4  # a target is finished when a step promises less than this part of its KL
STUCK = 1e9  # damping at which no step lowers the KL any more


def fit_weights(
    target: np.ndarray,
    components: np.ndarray,
    evidence: np.ndarray,
    iterations: int = 60,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (m, k), and the mean KL (m,) in nats that they reach.

    `target` (m, c, a) and `components` (k, c, a) are log-probabilities, `evidence` (k, c) is
    log p(context | component). Answers that no component gives are omitted from the fit; the KL of a target
    that gives them is ∞. A component that is impossible in every context keeps the weight 1/k. `start` (m, k)
    are other weights to go down from than equal ones.
    """
    m, p = (np.exp(np.asarray(log_probs, np.float64)) for log_probs in (components, target))
    likelihood = np.exp(evidence - evidence.max(axis=0))
    negative_entropy = np.sum(p * np.maximum(target, -1e30), axis=-1)
    possible = np.any((m > 0) & (likelihood[..., None] > 0), axis=0)  # under a component possible in c
    infinite = np.any((p > 0) & ~possible, axis=(-1, -2))
    p = np.where(possible, p, 0.0)
    count, (k, contexts) = len(target), evidence.shape
    by_context = m.swapaxes(0, 1)  # (c, k, a)

    def evaluate(logs: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """b (m, k, c), q (m, c, a) and the KL (m,) at log-weights (m, k) of the targets `which`."""
        posterior = np.exp(logs)[:, :, None] * likelihood
        posterior /= posterior.sum(axis=1, keepdims=True)
        mixed = (posterior.transpose(2, 0, 1) @ by_context).swapaxes(0, 1)
        q = np.where(possible, mixed, 1.0)
        gap = negative_entropy[which] - np.sum(p[which] * np.log(q), axis=-1)
        return posterior, q, np.mean(gap, axis=-1)

    logs = np.zeros((count, k)) if start is None else np.log(np.maximum(start, np.exp(FAINTEST)))
    weights, least = np.empty_like(logs), np.empty(count)
    damping, left = np.ones(count), np.arange(count)  # targets that are not finished; the arrays are theirs
    posterior, q, nats = evaluate(logs, left)
    for iteration in range(iterations + 1):
        # √p ∂ log q / ∂ log w: its Gram matrix is the curvature, its product with √p minus the gradient.
        root = np.sqrt(p[left])
        jacobian = posterior[..., None] * (m - q[:, None]) * (root / q)[:, None]
        jacobian = jacobian.reshape(len(left), k, -1)
        descent = (jacobian @ root.reshape(len(left), -1, 1))[..., 0] / contexts
        curvature = jacobian @ jacobian.swapaxes(1, 2) / contexts
        damped = np.maximum(np.einsum("mkk->mk", curvature), TINY) * damping[:, None]
        step = np.linalg.solve(curvature + damped[:, None, :] * np.eye(k), descent[..., None])[..., 0]
        step = np.clip(step, -STRIDE, STRIDE)
        gain = np.sum(np.abs(descent * step), axis=-1) * (1 + damping)  # as if a step were not damped
        going = (gain > EXACT * (nats + SMALL)) & (damping < STUCK) & (iteration < iterations)
        if not going.all():
            weights[left[~going]], least[left[~going]] = np.exp(logs[~going]), nats[~going]
            left, logs, step, posterior, q, nats, damping = (
                part[going] for part in (left, logs, step, posterior, q, nats, damping)
            )
            if not len(left):
                break
        # A common factor of the weights changes nothing; the largest is kept at 1, so that none overflows.
        moved = logs + step
        moved = np.maximum(moved - moved.max(axis=1, keepdims=True), FAINTEST)
        trial = evaluate(moved, left)
        better = trial[2] < nats
        logs = np.where(better[:, None], moved, logs)
        posterior, q = (
            np.where(better[:, None, None], new, old)
            for new, old in zip(trial[:2], (posterior, q), strict=True)
        )
        nats = np.where(better, trial[2], nats)
        damping = np.clip(np.where(better, damping / 4, damping * 4), 1e-9, STUCK)
    impossible = ~(likelihood > 0).any(axis=1)
    weights[:, impossible] = 0
    weights *= (1 - impossible.mean()) / weights.sum(axis=1, keepdims=True)
    weights[:, impossible] = 1 / k
    return weights, np.where(infinite, np.inf, np.maximum(least, 0.0))
