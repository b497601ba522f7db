"""Fits: strengths by least mean KL on a refined ladder, and the best that a class can reach. Numpy only.

Answers are log-probabilities. Axes: s finetuning seeds, b strengths, d doses, c contexts, a answers, k
hypotheses. A ladder that ends early, or whose rung did not converge, is nan there; a fit never chooses such a
rung.
"""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

import numpy as np

from experiments.storage.contents import Contexts
from experiments.storage.records import Ladder
from theory.divergence.convex_hull import nearest
from theory.divergence.mixture_fit import fit_weights

NEAR = 0.1  # weight of all hypotheses together, in a start next to one of them
FINE = 200  # a ladder is refined to at least so many strengths, by interpolation in log-probability


class FineLadder(NamedTuple):
    """Strengths (b,), answers (s, b, c, a) and, where a second number is fitted, its values (b,)."""

    betas: np.ndarray
    rungs: np.ndarray
    hyperparameters: np.ndarray | None = None

    def nearest(self, betas: np.ndarray, hyperparameters: np.ndarray | None = None) -> np.ndarray:
        """The index of the rung of the nearest β (s, d), at these values of the second number."""
        distance = np.abs(self.betas - betas[..., None])
        if self.hyperparameters is not None and hyperparameters is not None:
            alike = np.isclose(self.hyperparameters, hyperparameters[..., None], rtol=1e-5, atol=0)
            distance = np.where(alike, distance, np.inf)
        return distance.argmin(axis=-1)


Refined: TypeAlias = Callable[[str], FineLadder]
"""The refined ladder THEORY/PRIOR."""


def refined(ladders: Iterable[Ladder]) -> Refined:
    """The finer ladder of every THEORY/PRIOR, made on demand and kept."""
    known = {ladder.name: ladder for ladder in ladders}
    return functools.cache(lambda name: fine_ladder(known[name]))


def fine_ladder(ladder: Ladder, inside: np.ndarray | slice = slice(None)) -> FineLadder:
    """The finer ladder in some contexts: by itself at each value of a second number, which is not
    interpolated."""
    log_probs, values = ladder.log_probs[..., inside, :], ladder.hyperparameters
    if values is None:
        return FineLadder(*finer(ladder.betas, log_probs))
    known = np.unique(values)
    parts = [finer(ladder.betas[values == value], log_probs[:, values == value]) for value in known]
    betas, rungs = zip(*parts, strict=True)
    second = np.repeat(known, [len(part) for part in betas])
    return FineLadder(np.concatenate(betas), np.concatenate(rungs, axis=1), second)


def finer(betas: np.ndarray, rungs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """More rungs by straight lines in log-probability (renormalised) and in log β; in β up to the first."""
    count = -(-FINE // (len(betas) - 1))
    parts = np.arange(count) / count
    low, high = rungs[:, :-1, None], rungs[:, 1:, None]
    with np.errstate(invalid="ignore"):  # 0 × -inf; an answer that a rung rules out is ruled out next to it
        between = (1 - parts[:, None, None]) * low + parts[:, None, None] * high
    between[:, :, 0] = rungs[:, :-1]
    between = between.reshape(rungs.shape[0], -1, *rungs.shape[2:])
    between = np.concatenate([between, rungs[:, -1:]], axis=1)
    between -= np.log(np.einsum("sbca->sbc", np.exp(between)))[..., None]
    position = np.arange(between.shape[1]) / count
    fine = np.exp(np.interp(position, np.arange(1, len(betas)), np.log(betas[1:])))
    fine[: count + 1] = betas[0] + position[: count + 1] * (betas[1] - betas[0])
    return fine, between


def fit(target: np.ndarray, rungs: np.ndarray) -> np.ndarray:
    """The index of the rung of least mean KL for every network and dose, (s, d)."""
    return _cross_entropy(target, rungs).argmin(axis=-1)


def nearest_rungs(betas: np.ndarray, rungs: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The β nearest to the wanted ones (s, d) and its answers, nan past the end of what was solved."""
    missing = np.isnan(rungs[..., 0, 0])[:, None]
    chosen = np.where(missing, np.inf, np.abs(betas - wanted[..., None])).argmin(axis=-1)
    ends = np.where(missing[:, 0], -np.inf, betas).max(axis=1, keepdims=True)
    inside = _up_to(wanted, ends)
    return betas[chosen], np.where(inside[..., None, None], choose(rungs, chosen), np.nan)


def off_grid(betas: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Whether a theory has no strength (nan), or one past the end of its grid, (s, d): it says nothing there.

    Answers that are nan at any other strength are a failure of the theory.
    """
    return ~_up_to(wanted, betas[-1])


def _up_to(wanted: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return wanted <= ends * (1 + 1e-3)


def choose(rungs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The chosen (s, d) of the rungs (s, b, c, a): (s, d, c, a)."""
    return rungs[np.arange(rungs.shape[0])[:, None], chosen]


def converged_at(problems: np.ndarray | None, grid: np.ndarray, betas: np.ndarray) -> np.ndarray | None:
    """Whether the rungs next to each β (s, d), on both sides, have no problem; None without chains.

    `problems` (s, b) may be of more seeds, whose first are meant; `grid` (b,) are their strengths.
    """
    if problems is None:
        return None
    converged = problems[: len(betas)] == ""
    above = np.clip(np.searchsorted(grid * (1 + 1e-6), betas), 0, len(grid) - 1)
    below = np.where(grid[above] <= betas * (1 + 1e-6), above, np.maximum(above - 1, 0))
    seeds = np.arange(len(converged))[:, None]
    return converged[seeds, above] & converged[seeds, below]


def least_on_path(target: np.ndarray, rungs: np.ndarray) -> np.ndarray:
    """The least mean KL of any rung on these contexts, (s, d)."""
    entropy = np.sum(np.exp(target) * target, axis=(2, 3))
    return np.maximum(entropy + _cross_entropy(target, rungs).min(axis=-1), 0.0) / target.shape[2]


def least_of_mixtures(
    target: np.ndarray, contexts: Contexts, reference: np.ndarray | None = None
) -> np.ndarray:
    """The least mean KL of any weights over the hypotheses on these contexts, (s, d).

    With a `reference` (c, a), the prior's answers there, mixtures are anchored at the base network. It is the
    least there is where contexts say nothing of the hypothesis, and the least that was found otherwise: going
    down from equal weights, and from next to the best single hypothesis.
    """
    answers = target.reshape(-1, *target.shape[2:])
    components, evidence = contexts.components, contexts.evidence
    if reference is not None:
        components, evidence = anchored_hypotheses(contexts, reference)
    if (evidence == evidence[0]).all():
        least = nearest(answers, components).nats  # convex, exact
    else:
        alone = np.stack([mean_kl(answers, hypothesis) for hypothesis in components], axis=1)
        near = (1 - NEAR) * np.eye(len(components))[alone.argmin(axis=1)] + NEAR / len(components)
        starts = np.concatenate([np.full_like(near, 1 / len(components)), near])
        _, reached = fit_weights(np.concatenate([answers, answers]), components, evidence, start=starts)
        least = np.minimum(reached.reshape(2, -1).min(axis=0), alone.min(axis=1))
    return least.reshape(target.shape[:2])


class Mixtures:
    """The best that any weights over the hypotheses reach, by group and reference: theories share them."""

    def __init__(self, target: np.ndarray, contexts: Contexts):
        self.target, self.contexts = target, contexts
        self._known: dict[str, list[tuple[np.ndarray | None, np.ndarray]]] = {}

    def least(self, group: str, reference: np.ndarray | None) -> np.ndarray:
        """Nats (s, d); references that are equal but for rounding are one."""
        known = self._known.setdefault(group, [])
        for other, nats in known:
            if other is reference or (
                other is not None and reference is not None and np.allclose(other, reference, atol=1e-4)
            ):
                return nats
        inside = self.contexts.inside(group)
        within = None if reference is None else reference[inside]
        nats = least_of_mixtures(self.target[..., inside, :], self.contexts.of(group), within)
        known.append((reference, nats))
        return nats


def anchored_hypotheses(contexts: Contexts, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Components and evidence whose mixtures are those of the contexts, anchored at the base network.

    For any weights w, base × (Σ_k b_kc m_kc) / reference, normalised, is Σ_k b'_kc m'_kc with m'_kc = base ×
    m_kc / (reference S_kc), S_kc its sum over answers, and beliefs b'_kc ∝ w_k e_kc S_kc. An answer that the
    reference rules out stays at the base network's probability, under every hypothesis.
    """
    with np.errstate(invalid="ignore"):
        ratio = np.where(np.isneginf(reference), 0.0, contexts.components - reference)
    logits = contexts.base + ratio
    sums = np.log(np.sum(np.exp(logits), axis=-1))
    return logits - sums[..., None], contexts.evidence + sums


def mean_kl(target: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
    """Mean KL(target ‖ log_probs) over contexts, (s, d): ∞ where answers that are given are ruled out."""
    return np.maximum(divergence(target, log_probs).mean(axis=-1), 0.0)


def kl(target: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
    """KL(target ‖ log_probs) in every context, (..., c), none below 0 by rounding."""
    return np.maximum(divergence(target, log_probs), 0.0)


def divergence(target: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
    """KL(target ‖ log_probs) at every context, (..., c); 0 log 0 counts as 0."""
    with np.errstate(invalid="ignore"):
        terms = np.exp(target) * (target - log_probs)
    return np.where(np.isneginf(target), 0.0, terms).sum(axis=-1)


def _cross_entropy(target: np.ndarray, rungs: np.ndarray) -> np.ndarray:
    """-Σ p log q over contexts and answers, (s, d, b): one matrix product a seed; ∞ where q is missing."""
    weights = np.exp(target).reshape(*target.shape[:2], -1)
    cross = -np.einsum("sdx,sbx->sdb", weights, rungs.reshape(*rungs.shape[:2], -1), optimize=True)
    return np.where(np.isnan(cross), np.inf, cross)
