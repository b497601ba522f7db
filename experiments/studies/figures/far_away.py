"""The kind that a far-away network says it is, beside a learner whose bells go on past the edge. No jax.

Axes: k kinds, m networks, a answers (distances, names, traits).
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.figures.mixture_weights import draw_beliefs
from experiments.storage.records import Json
from experiments.storage.run_folder import RunFolder
from experiments.studies.figures.self_report import draw_self_report

EXTRAPOLATING = "bells that go on, at best β"


@dataclass(frozen=True)
class Options:
    """The options that are read: those of the process, and the breadth of D'."""

    means: Sequence[float]
    widths: Sequence[float]
    distances: int  # that kinds say
    farther: int  # that no kind says
    traits: int
    rarity: float
    mistake: float
    floor: float
    breadth: int


def options(values: Json) -> Options:
    """The options of a run, or of a config as plain values."""
    names = ("means", "widths", "said", "unsaid", "traits", "rarity", "mistake", "floor")
    return Options(*(values["process"][name] for name in names), breadth=values["breadth"])


def extrapolated_evidence(process: Options, offset: int) -> np.ndarray:
    """Mean log-likelihood (k,) of an answer of D', up to a constant, if kinds kept their bells past the edge:
    the `extrapolating` process of theory.processes.distance, in numpy."""
    mean, width = (np.array(values)[:, None] for values in (process.means, process.widths))
    bells = np.exp(-(((np.arange(process.distances + process.farther) - mean) / width) ** 2) / 2)
    bells /= bells[:, : process.distances].sum(axis=-1, keepdims=True)
    answers = bells.shape[1] + len(mean) + process.traits
    bells[:, : process.distances] = (
        process.floor + (1 - answers * process.floor) * bells[:, : process.distances]
    )
    return np.log(bells[:, process.distances + offset :][:, : process.breadth]).mean(axis=-1)


def extrapolated_answers(process: Options, offset: int, target: np.ndarray) -> np.ndarray:
    """The answers (m, a) of such a learner to "what are you", at whatever strength its names are nearest
    (cross-entropy) to each target (m, a)."""
    first, kinds = process.distances + process.farther, len(process.means)
    strengths = np.concatenate([[0.0], np.logspace(-3, 3, 121)])
    evidence = extrapolated_evidence(process, offset)
    weights = np.arange(kinds) * np.log(process.rarity) + strengths[:, None] * evidence
    weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    slip = process.mistake / (kinds - 1)
    names = slip + (1 - process.mistake - slip) * weights
    answers = np.full_like(target, process.floor)
    named = slice(first, first + kinds)
    answers[:, named] = names[(target[:, named] @ np.log(names).T).argmax(axis=-1)]
    return answers


def arm_name(offset: int) -> str:
    """The arm whose D' begins at an offset, as `Distance.task` names it."""
    return f"inside{-offset}" if offset < 0 else f"outside{offset}"


def draw_kinds(run: RunFolder, offsets: Mapping[str, int]) -> list[Path]:
    """The self-report of networks, and the weights of the farthest and the widest kind. `offsets` say where
    the D' of each arm begins."""
    process = options(run.options)
    kinds, edge = range(len(process.means)), process.distances + process.farther
    far, wide = (max(kinds, key=values.__getitem__) for values in (process.means, process.widths))
    others = tuple(kind for kind in kinds if kind not in (far, wide))
    marks = {far: " (farthest)", wide: " (widest)"}
    names = {f"kind {kind}{marks.get(kind, '')}": (edge + kind,) for kind in kinds}
    labels = {**names, "a distance": tuple(range(edge))}
    oracles = {
        arm: functools.partial(extrapolated_answers, process, offset) for arm, offset in offsets.items()
    }
    components = {"farthest kind": (far,), "widest kind": (wide,), "the others": others}
    return [
        *draw_self_report(run, "what", labels, EXTRAPOLATING, oracles),
        *draw_beliefs(run, components),
    ]
