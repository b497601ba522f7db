"""The yardstick `last-dose`: the shift at the dose before, scaled by one number. Numpy only.

    p ∝ base × exp(s d),      d = log p' - log base,      p' the same network at the dose before

A yardstick looks at finetuned networks, as no theory may, and knows of no hypothesis and no weights: a theory
that loses to it has said less of a dose than the dose before says, though it may say so earlier and without a
network. s is fitted to each network and dose on the calibration contexts, where it maximises
Σ_c Σ_a p_c(a) log q_c(a), which is concave in s, by Newton's steps of the length log(1 + r)/r, r the range of
the step, which never overshoot (as in experiments.scoring.nulls). At the first dose there is none before: the
yardstick is undefined. The other, `shift-curve`, is of sizes alone (experiments.scoring.sizes). Axes: s
finetuning seeds, d doses, c contexts, a answers.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.scoring.fits import mean_kl
from experiments.scoring.nulls import biased
from experiments.storage.contents import Contexts

STEPS, EXACT = 60, 1e-10  # of Newton; of a step
LEAST = 1e-30  # of a curvature, where the dose before has moved nothing


class LastDose(NamedTuple):
    """Its answers `log_probs` (s, d, c, a), the `scales` (s, d), the least nats (s, d) of any scale by group,
    and where (s, d) it is undefined."""

    log_probs: np.ndarray
    scales: np.ndarray
    best_in_class: Mapping[str, np.ndarray]
    undefined: np.ndarray


def last_dose(target: np.ndarray, contexts: Contexts) -> LastDose:
    """Fitted to networks with the answers `target` (s, d, c, a) at ascending doses."""
    base, target = contexts.base.astype(float), target.astype(float)
    with np.errstate(invalid="ignore"):
        moved = np.nan_to_num(np.roll(target, 1, axis=1) - base, nan=0.0, neginf=0.0)
    undefined = np.broadcast_to(np.arange(target.shape[1]) == 0, target.shape[:2])

    known: dict[bytes, np.ndarray] = {}

    def scaled(inside: np.ndarray) -> np.ndarray:
        """The best scales (s, d) in the contexts `inside`, nan where there is no dose before."""
        name = inside.tobytes()
        if name not in known:
            best = fit_scale(target[..., inside, :], base[inside], moved[..., inside, :])
            known[name] = np.where(undefined, np.nan, best)
        return known[name]

    def answers(scales: np.ndarray) -> np.ndarray:
        return biased(base, scales[..., None, None] * moved)

    scales = scaled(contexts.calibration)
    least = {
        group: mean_kl(target[..., inside, :], answers(scaled(inside))[..., inside, :])
        for group in contexts.groups
        if (inside := contexts.inside(group)).any()
    }
    return LastDose(answers(scales), scales, least, undefined)


def fit_scale(target: np.ndarray, base: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The s (...) by which base × exp(s d) is nearest answers (..., c, a); d (..., c, a), base (c, a)."""
    scale = np.ones(target.shape[:-2])
    wanted = np.sum(np.exp(target) * moved, axis=(-1, -2))
    spread = np.ptp(moved, axis=-1).max(axis=-1, initial=0.0)
    for _ in range(STEPS):
        q = np.exp(biased(base, scale[..., None, None] * moved))
        mean = np.sum(q * moved, axis=-1)
        variance = np.sum(q * (moved - mean[..., None]) ** 2, axis=(-1, -2))
        step = (wanted - mean.sum(axis=-1)) / np.maximum(variance, LEAST)
        length = np.maximum(np.abs(step) * spread, LEAST)
        step *= np.log1p(length) / length
        scale = scale + step
        if np.abs(step).max(initial=0.0) < EXACT:
            break
    return scale
