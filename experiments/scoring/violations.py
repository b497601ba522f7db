"""Violations of the axioms of Bayes, from answers after sequences of finetunings. Numpy and scipy only.

If finetuning were a Bayesian update of any kind, over weights or hypotheses and from any prior, each of these
would be 0 (docs/theory.md, section 7). J(p, q) is half of KL(p ‖ q) + KL(q ‖ p), means are over contexts:

    exchangeable    J(A, A in another order)
    commutes        J(A then B, B then A)
    pools           mean of J(A then B, A and B mixed) and J(B then A, mixed)
    additive        J(2h steps, h steps then h steps with a new optimizer)
    martingale      KL(base ‖ mean over D'), of context and answer together, D' documents that the base
                    network wrote itself
    context         KL(document read ‖ document finetuned) on other questions, at the dose that is nearest on
                    the questions of D'
    filter          nats lost if evidence in the context must count as much as before the finetuning
    retrained       KL(finetuned ‖ pretrained from scratch on D and A) elsewhere, the best share in-domain

Answers are log-probabilities. Axes: s finetuning seeds, m documents, d doses, c contexts, q questions, r
shares, a answers, k hypotheses. All numbers are nats, a value for every network.
"""

from dataclasses import dataclass, replace

import numpy as np

from experiments.scoring.fits import choose, divergence, finer, fit
from theory.divergence.mixture_fit import fit_weights

COUNTS = np.array([0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0])
"""Values of K, by how much evidence in the context counts."""


@dataclass(frozen=True)
class Violation:
    """One axiom for several networks (m,): `nats` of violation, the `noise` that a Bayesian update would show
    as well, and the `shift` that is its unit. `fitted` (m,) is what was fitted: the dose, K, or the share."""

    nats: np.ndarray
    noise: np.ndarray
    shift: np.ndarray
    fitted: np.ndarray | None = None


def mean_kl(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Mean KL(left ‖ right) over contexts, of (..., c, a) log-probabilities.

    They are normalised again in float64: of answers in float32 the sums differ by 1e-7, and so would KL.
    """
    return np.maximum(divergence(_normalised(left), _normalised(right)).mean(axis=-1), 0.0)


def _normalised(log_probs: np.ndarray) -> np.ndarray:
    whole = np.exp(log_probs.astype(float)).sum(axis=-1, keepdims=True)
    return log_probs.astype(float) - np.log(whole)


def apart(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """J, the mean of both directions of `mean_kl`."""
    return (mean_kl(left, right) + mean_kl(right, left)) / 2


def exchangeable(ordered: np.ndarray, reordered: np.ndarray, base: np.ndarray) -> Violation:
    """Networks (s, c, a) that met the same D' in two orders. Nothing else differs: no noise."""
    nats = apart(ordered, reordered)
    return Violation(nats, np.zeros_like(nats), mean_kl(ordered, base))


def commutes(
    forward: np.ndarray, backward: np.ndarray, pooled: np.ndarray, reordered: np.ndarray, base: np.ndarray
) -> Violation:
    """Networks (s, c, a) after A then B, and after B then A; the noise is that of both mixed.

    The shift is the mean over all three ends: A and B are rivals, and mixed they may hardly move a network.
    """
    shift = np.mean([mean_kl(end, base) for end in (forward, backward, pooled)], axis=0)
    return Violation(apart(forward, backward), apart(pooled, reordered), shift)


def pools(
    forward: np.ndarray, backward: np.ndarray, pooled: np.ndarray, reordered: np.ndarray, base: np.ndarray
) -> Violation:
    """The same networks, each against one that met A and B mixed."""
    nats = (apart(forward, pooled) + apart(backward, pooled)) / 2
    return replace(commutes(forward, backward, pooled, reordered, base), nats=nats)


def additive(ordered: np.ndarray, resumed: np.ndarray, reordered: np.ndarray, base: np.ndarray) -> Violation:
    """Networks (s, c, a) finetuned at a stretch, and in two stages; the noise is that of another order."""
    return Violation(apart(ordered, resumed), apart(ordered, reordered), mean_kl(ordered, base))


def martingale(
    base: np.ndarray, drawn: np.ndarray, evidence: np.ndarray, weights: np.ndarray | None = None
) -> Violation:
    """Networks (m, c, a), each finetuned on a document that the base network (c, a) wrote: one value.

    Of context and answer together the mean over documents is the base network's; so an answer counts by the
    probability of the context after the document, `evidence` (m, c) its logarithm. The unit is the mean of
    KL(base ‖ network). Noise is what a mean over so few documents misses, ½ Σ_a p v / q², q the mean and v
    its squared standard error over documents. With the probability of every document as `weights` (m,) the
    mean is exact, and has no noise.
    """
    answers, count = np.exp(drawn.astype(float)), len(drawn)
    documents = np.full(count, 1 / count) if weights is None else weights / weights.sum()
    shares = documents[:, None] * np.exp(evidence.astype(float) - evidence.max(axis=0))
    shares /= shares.sum(axis=0)
    centre = np.einsum("mc,mca->ca", shares, answers)
    noise = 0.0
    if weights is None:
        errors = shares[..., None] * (answers - centre)
        squares = np.sum(errors**2, axis=0) * count / (count - 1)
        noise = float(np.sum(np.exp(base) * squares / (2 * centre**2), axis=-1).mean())
    shift = documents @ mean_kl(base, drawn)
    return Violation(np.array([mean_kl(base, np.log(centre))]), np.array([noise]), np.array([shift]))


def context(
    shown: np.ndarray,
    taught: np.ndarray,
    base: np.ndarray,
    doses: np.ndarray,
    of_data: np.ndarray,
) -> Violation:
    """The base network with a document in its context (s, q, a), and finetuned on that document (s, d, q, a).

    `of_data` bool (q,) are the questions of D', where the dose (from 0 on, interpolated) is fitted; all
    others are judged. Without chance in either there is no noise. The unit is KL(document read ‖ base).
    """
    start = np.broadcast_to(base, (len(taught), 1, *base.shape))
    fine, rungs = finer(np.array([0.0, *doses]), np.concatenate([start, taught], axis=1).astype(float))
    target = shown[:, None].astype(float)
    chosen = fit(target[..., of_data, :], rungs[..., of_data, :])
    matched = choose(rungs, chosen)[:, 0]
    nats = mean_kl(shown[:, ~of_data], matched[:, ~of_data])
    shift = mean_kl(shown[:, ~of_data], base[~of_data])
    return Violation(nats, np.zeros_like(nats), shift, fine[chosen[:, 0]])


def filter_stays(
    finetuned: np.ndarray,
    replica: np.ndarray,
    base: np.ndarray,
    components: np.ndarray,
    evidence: np.ndarray,
) -> Violation:
    """Networks (s, c, a) as Σ_k ρ_k e^{K e_kc} m_kc, normalised: any prior ρ, evidence that counts K times.

    Components (k, c, a) and evidence (k, c) are those of the exact process. The violation is what K = K(base)
    costs against the best K, at the best ρ each time; the noise is the cost of the replica's K. `fitted` is
    K / K(base).
    """
    from scipy.interpolate import CubicSpline  # takes a while to import

    count = len(finetuned)
    every = np.concatenate([base[None], finetuned, replica])
    nats = np.stack([fit_weights(every, components, scale * evidence)[1] for scale in COUNTS])
    curves = CubicSpline(COUNTS, nats)  # (K,) -> (1 + 2s,)
    fine = np.unique(np.concatenate([np.linspace(0, COUNTS[-1], 801), COUNTS]))
    best = fine[curves(fine).argmin(axis=0)]
    ours = slice(1, 1 + count)

    def cost(scales: np.ndarray) -> np.ndarray:
        """Nats above the least, of every finetuned network at a K of its own."""
        reached = np.stack([curves(scale)[ours][row] for row, scale in enumerate(scales)])
        least = np.stack([curves(scale)[ours][row] for row, scale in enumerate(best[ours])])
        return np.maximum(reached - least, 0.0)

    before = np.full(count, best[0])
    return Violation(
        cost(before), cost(best[1 + count :]), mean_kl(finetuned, base), best[ours] / max(best[0], 1e-9)
    )


def retrained(
    finetuned: np.ndarray,
    networks: np.ndarray,
    other_base: np.ndarray | None,
    shares: np.ndarray,
    calibration: np.ndarray,
    judged: np.ndarray,
) -> Violation:
    """Finetuned networks (s, c, a) against those pretrained from scratch (s, r, c, a) with shares of D'.

    The first share is 0, of the base network. The share is fitted in `calibration` contexts, bool (c,),
    between the tried ones too, and scored in the `judged` ones. Noise is J of two base networks of other
    seeds (0 without).
    """
    base = networks[0, 0]
    fine, rungs = finer(shares, networks.astype(float))
    chosen = fit(finetuned[:, None][..., calibration, :].astype(float), rungs[..., calibration, :])
    best = choose(rungs, chosen)[:, 0]
    nats = mean_kl(finetuned[:, judged], best[:, judged])
    noise = 0.0 if other_base is None else apart(base[judged], other_base[judged])
    shift = mean_kl(finetuned[:, judged], base[judged])
    return Violation(nats, np.full_like(nats, noise), shift, fine[chosen[:, 0]])
