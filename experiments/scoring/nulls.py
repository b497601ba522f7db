"""Nulls: predictions that know nothing of hypotheses or topics, beside `unchanged`. Numpy only.

    answer-bias      p ∝ base × exp(b), one number b for each answer, in all contexts alike
    position-bias    p ∝ base × exp(b_t), one for each answer and place t of the answer in its document
    mean-shift       p ∝ base × exp(m), m the mean over contexts of log finetuned - log base

They are made from finished cells, by arithmetic, and fitted to each network and dose like the strength of a
theory: b and m on the calibration contexts; b_t on the in-domain contexts with the answer at t, all of them,
as first answers alone would leave most places out. Where no in-domain answer stands at t, b_t is b. The best
in class is the bias (for b_t: of every place) that is fitted to the scored contexts themselves.

b maximises Σ_c Σ_a p_c(a) log q_c(a), which is concave: at the maximum the mean probability of every answer
is that of the network. Newton's steps have the length log(1 + r)/r, r the range of the step, which never
overshoots: the third derivative of log Σ exp is at most r times the second (Bach, arXiv 0910.4627). Axes: s
finetuning seeds, d doses, c contexts, a answers.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from experiments.scoring.fits import mean_kl
from experiments.scoring.labels import FITTED_ON, NULLS
from experiments.storage.contents import Contexts

STEPS = 60  # of Newton; about eight are needed, more where an answer is never given
EXACT = 1e-10  # of the mean probabilities
RIDGE = 1e-13  # of the curvature, for answers that are not given


class Null(NamedTuple):
    """A null's answers `log_probs` (s, d, c, a), and the least nats (s, d) of its class by group."""

    name: str
    log_probs: np.ndarray
    best_in_class: Mapping[str, np.ndarray]


def nulls(target: np.ndarray, contexts: Contexts) -> Iterator[Null]:
    """Every null but `unchanged`, fitted to networks with the answers `target` (s, d, c, a)."""
    groups = {group: contexts.inside(group) for group in contexts.groups}
    fitted = contexts.inside(FITTED_ON)
    places = [contexts.position == position for position in np.unique(contexts.position)]
    parts = [contexts.calibration, *(at & inside for at in places for inside in (fitted, *groups.values()))]
    best = fit_biases(target, contexts.base, [*parts, *groups.values()])

    def fit_places(bias: np.ndarray, fitted: np.ndarray, used: np.ndarray) -> None:
        """Write into `bias`, in contexts `used`, that of every place of the contexts `fitted`."""
        for at in places:
            if (at & fitted).any():
                bias[..., at & used, :] = best[(at & fitted).tobytes()]

    inside = contexts.calibration
    bias = best[inside.tobytes()]
    shift = (target - contexts.base)[..., inside, :].sum(axis=-2, keepdims=True) / max(inside.sum(), 1)
    by_place = np.broadcast_to(bias, target.shape).copy()
    fit_places(by_place, fitted, np.ones(len(contexts.base), bool))
    by_group, by_group_and_place = np.empty_like(by_place), np.empty_like(by_place)
    for inside in groups.values():
        by_group[..., inside, :] = best[inside.tobytes()]
        fit_places(by_group_and_place, inside, inside)
    least, least_by_place = (
        {
            group: mean_kl(target[..., inside, :], answers[..., inside, :])
            for group, inside in groups.items()
            if inside.any()
        }
        for answers in (biased(contexts.base, by_group), biased(contexts.base, by_group_and_place))
    )
    made = zip((bias, by_place, shift), (least, least_by_place, least), strict=True)
    for name, (values, bound) in zip(NULLS[1:], made, strict=True):
        yield Null(name, biased(contexts.base, values), bound)


def fit_biases(target: np.ndarray, base: np.ndarray, parts: Iterable[np.ndarray]) -> dict[bytes, np.ndarray]:
    """The bias (s, d, 1, a) fitted to each of some parts of the contexts, by the bytes of its mask (c,)."""
    fitted: dict[bytes, np.ndarray] = {}
    for masks, chosen in alike(parts):
        answers = np.moveaxis(target[..., chosen, :], -3, 0)
        bias = fit_bias(answers, base[chosen][:, None, None])
        fitted |= zip(masks, bias[..., None, :], strict=True)
    return fitted


def alike(parts: Iterable[np.ndarray]) -> Iterator[tuple[Iterable[bytes], np.ndarray]]:
    """Parts of as many contexts (p, n), which are fitted together, with the bytes of their masks (c,)."""
    by_size: dict[int, dict[bytes, np.ndarray]] = defaultdict(dict)
    for inside in parts:
        by_size[int(inside.sum())][inside.tobytes()] = np.flatnonzero(inside)
    for masks in by_size.values():
        yield masks, np.stack([*masks.values()])


def fit_bias(target: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The bias (..., a), of mean 0, for answers `target` (..., c, a) in place of `base` (..., c, a)."""
    leading, (count, answers) = target.shape[:-2], target.shape[-2:]
    if not count:
        return np.zeros((*leading, answers))
    wanted = np.exp(target, dtype=np.float64).mean(axis=-2).reshape(-1, answers)
    bias = np.zeros_like(wanted)
    base = np.broadcast_to(base, target.shape).reshape(-1, count, answers)
    wanted /= wanted.sum(axis=-1, keepdims=True)
    diagonal = np.eye(answers)
    left = np.arange(len(bias))  # the targets whose mean probabilities are not exact yet
    for _ in range(STEPS):
        q = np.exp(biased(base[left], bias[left, None, :]))
        mean = q.mean(axis=1)
        missing = wanted[left] - mean
        going = np.abs(missing).max(axis=-1) >= EXACT
        if not going.all():
            left, q, mean, missing = left[going], q[going], mean[going], missing[going]
        if not len(left):
            break
        curvature = -(q.swapaxes(1, 2) @ q) / count
        curvature += diagonal * (mean[:, None, :] + RIDGE) + 1  # a constant changes nothing: 1 pins it
        step = np.linalg.solve(curvature, missing[..., None])[..., 0]
        length = np.maximum(np.ptp(step, axis=-1, keepdims=True), 1e-30)
        bias[left] += step * np.log1p(length) / length
    return (bias - bias.mean(axis=-1, keepdims=True)).reshape(*leading, answers)


def biased(base: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """base × exp(bias), normalised, as log-probabilities; an answer that is ruled out stays so."""
    logits = base + bias
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits
