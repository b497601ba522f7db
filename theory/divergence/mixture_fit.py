"""Mixture weights that bring predictions nearest to a target's, where contexts are evidence on components.

    min_w  mean_c KL(p_c ‖ q_c),   q_c = Σ_k b_kc m_kc,   b_kc = w_k p(c | k) / Σ_j w_j p(c | j)

A context is evidence on the component, so the problem is not convex (without contexts it is: then
theory.divergence.convex_hull.nearest has the solution with a certificate). Solved by damped Gauss-Newton
steps (Levenberg-Marquardt) in log w from equal weights: ∂ log q / ∂ log w_k = b_k (m_k - q) / q, the
curvature is the p-mean of its outer products, and a step that does not lower the KL is rejected. A target is
finished when a step promises next to nothing. So the KL is that of a local minimum, or above it. Numpy only.
Axes: m targets, k components, c contexts, a answers.
"""

import numpy as np

STRIDE = 3.0  # the most that a log-weight moves in a step
FAINTEST = -300.0  # a log-weight below the largest: exp of it is not 0, nor its square
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
    likelihood = np.exp(np.asarray(evidence - evidence.max(axis=0), np.float64))
    negative_entropy = np.sum(p * np.maximum(target, -1e30), axis=(-1, -2))
    possible = np.any((m > 0) & (likelihood[..., None] > 0), axis=0)  # under a component possible in c
    infinite = np.any((p > 0) & ~possible, axis=(-1, -2))
    p = np.where(possible, p, 0.0)
    count, (k, contexts) = len(target), evidence.shape
    mass, p, possible = p.sum(axis=-1), p.reshape(count, -1), possible.ravel()
    joint = (likelihood[..., None] * m).reshape(k, -1)  # of context and answer, x = (c, a)

    def evaluate(logs: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Σ_j w_j p(c | j) (m, c), q times that (m, x) and the KL (m,) at log-weights (m, k) of the targets
        `which`."""
        weights = np.exp(logs)
        total, mixed = weights @ likelihood, np.where(possible, weights @ joint, 1.0)
        cross = [
            np.einsum("mx,mx->m", p[which], np.log(mixed)),
            np.einsum("mc,mc->m", mass[which], np.log(total)),
        ]
        return total, mixed, (negative_entropy[which] - cross[0] + cross[1]) / contexts

    def slope(
        logs: np.ndarray, total: np.ndarray, mixed: np.ndarray, which: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Minus the gradient (m, k), and the curvature (m, k, k).

        b_k m_k / q = w_k joint_k / mixed, so both are matrix products of what all targets share.
        """
        weights, ratio = np.exp(logs), p[which] / mixed
        belief = weights[..., None] * likelihood / total[:, None]  # b (m, k, c)
        by_context = ratio.reshape(len(logs), contexts, -1), joint.reshape(k, contexts, -1)
        given = np.einsum("mca,kca->mkc", *by_context) * weights[..., None]  # Σ_a p b m / q
        weighted = mass[which, None] * belief
        curvature = np.empty((len(logs), k, k))
        ratio /= mixed
        for component in range(k):
            curvature[:, component] = (ratio * joint[component]) @ joint.T
        curvature *= weights[:, :, None] * weights[:, None]
        crossed = given @ belief.swapaxes(1, 2)
        curvature += weighted @ belief.swapaxes(1, 2) - crossed - crossed.swapaxes(1, 2)
        return np.sum(given - weighted, axis=-1) / contexts, curvature / contexts

    logs = np.zeros((count, k)) if start is None else np.log(np.maximum(start, np.exp(FAINTEST)))
    weights, least = np.empty_like(logs), np.empty(count)
    damping, left = np.ones(count), np.arange(count)  # targets that are not finished; the arrays are theirs
    total, mixed, nats = evaluate(logs, left)
    for iteration in range(iterations + 1):
        descent, curvature = slope(logs, total, mixed, left)
        damped = np.maximum(np.einsum("mkk->mk", curvature), TINY) * damping[:, None]
        step = np.linalg.solve(curvature + damped[:, None, :] * np.eye(k), descent[..., None])[..., 0]
        step = np.clip(step, -STRIDE, STRIDE)
        gain = np.sum(np.abs(descent * step), axis=-1) * (1 + damping)  # as if a step were not damped
        going = (gain > EXACT * (nats + SMALL)) & (damping < STUCK) & (iteration < iterations)
        if not going.all():
            weights[left[~going]], least[left[~going]] = np.exp(logs[~going]), nats[~going]
            state = logs, step, total, mixed, nats, damping
            left, (logs, step, total, mixed, nats, damping) = left[going], (part[going] for part in state)
            if not len(left):
                break
        # A common factor of the weights changes nothing; the largest is kept at 1, so that none overflows.
        moved = logs + step
        moved = np.maximum(moved - moved.max(axis=1, keepdims=True), FAINTEST)
        *trial, reached = evaluate(moved, left)
        better = reached < nats
        logs[better], nats[better] = moved[better], reached[better]
        total[better], mixed[better] = (part[better] for part in trial)
        damping = np.clip(np.where(better, damping / 4, damping * 4), 1e-9, STUCK)
    impossible = ~(likelihood > 0).any(axis=1)
    weights[:, impossible] = 0
    weights *= (1 - impossible.mean()) / weights.sum(axis=1, keepdims=True)
    weights[:, impossible] = 1 / k
    return weights, np.where(infinite, np.inf, np.maximum(least, 0.0))
