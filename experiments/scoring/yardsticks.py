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
from experiments.scoring.nulls import alike, biased
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

    groups = {group: contexts.inside(group) for group in contexts.groups}
    best: dict[bytes, np.ndarray] = {}
    for masks, chosen in alike([contexts.calibration, *groups.values()]):
        answers, steps = (np.moveaxis(values[..., chosen, :], -3, 0) for values in (target, moved))
        scales = fit_scale(answers, base[chosen][:, None, None], steps)
        best |= zip(masks, np.where(undefined, np.nan, scales), strict=True)

    def scaled(inside: np.ndarray, within: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The answers by the scales that were fitted inside some contexts, within others."""
        return biased(base[within], best[inside.tobytes()][..., None, None] * moved[..., within, :])

    least = {
        group: mean_kl(target[..., inside, :], scaled(inside, inside)) for group, inside in groups.items()
    }
    inside = contexts.calibration
    return LastDose(scaled(inside), best[inside.tobytes()], least, undefined)


def fit_scale(target: np.ndarray, base: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The s (p, ...) by which base × exp(s d) is nearest answers (p, ..., c, a); d (p, ..., c, a), base (...,
    c, a). Steps end in each of the p parts of contexts once all in it are exact."""
    scale = np.ones(target.shape[:-2])
    others = tuple(range(1, scale.ndim))
    going = np.ones_like(scale, bool)
    wanted = (np.exp(target) * moved).sum(axis=(-1, -2))
    spread = np.ptp(moved, axis=-1).max(axis=-1, initial=0.0)
    for _ in range(STEPS):
        q = np.exp(biased(base, scale[..., None, None] * moved))
        mean = (q * moved).sum(axis=-1)
        variance = (q * (moved - mean[..., None]) ** 2).sum(axis=(-1, -2))
        step = (wanted - mean.sum(axis=-1)) / np.maximum(variance, LEAST)
        length = np.maximum(np.abs(step) * spread, LEAST)
        step *= np.log1p(length) / length
        scale = np.where(going, scale + step, scale)
        going = going & ~(np.abs(step).max(axis=others, initial=0.0, keepdims=True) < EXACT)
        if not going.any():
            break
    return scale
