"""Contexts of an arm, and the checks of arrays that cells share. Numpy only.

Axes: s finetuning seeds, b strengths, d doses, c contexts, a answers, k hypotheses, m directions or
documents, q questions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from experiments.storage.records import Arrays
from theory.errors import Misuse

SHAPES = {  # of the arrays without prefix: a letter an axis
    "group": "c",
    "questions": "c",
    "answers": "a",
    "components": "kca",
    "evidence": "kc",
    "exact": "ca",
    "base": "ca",
    "position": "c",
    "calibration": "c",
    "uninformed": "ca",
    "implied_weights": "k",
    "curvatures": "m",
    "teacher_answers": "ca",
    "reachable": "sr",
    "resolution": "c",
    "data_loss": "sd",
    "base_read_out": "sdc",
    "base_blocks": "sdc",
    "finetuned": "sdca",
    "replica": "sdca",
    "loss": "st",
    "distance": "sd",
    "ordered": "sca",
    "reordered": "sca",
    "resumed": "sca",
    "forward": "sca",
    "backward": "sca",
    "pooled": "sca",
    "pooled_reordered": "sca",
    "drawn": "nca",
    "drawn_evidence": "nc",
    "rows": "q",
    "shown": "sqa",
    "taught": "sdqa",
    "doses": "d",
    "pairs": "",
}


@dataclass(frozen=True)
class Contexts:
    """The contexts of an arm, in groups, with the exact process in each.

    `group` (c,) and `questions` (c,), the last token of each context, are text, as are `answers` (a,).
    `components` (k, c, a) are the answers of every hypothesis, `evidence` (k, c) the log-probability of the
    context under it, `exact` (c, a) the answers of the process and `base` (c, a) those of the base network.
    `position` (c,) is the place of the answer in its document, `calibration` bool (c,) says on which contexts
    strengths are fitted: without it on all of `in_domain`. `uninformed` (c, a) are the answers of a predictor
    that never infers the hypothesis of a document, nan where they are not known.
    """

    group: np.ndarray
    questions: np.ndarray
    answers: np.ndarray
    components: np.ndarray
    evidence: np.ndarray
    exact: np.ndarray
    base: np.ndarray
    position: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    calibration: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    uninformed: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        defaults = {"position": np.zeros(len(self.group), int), "calibration": self.group == "in_domain"}
        defaults |= {"uninformed": np.full_like(self.exact, np.nan)}
        for name, default in defaults.items():
            if not len(getattr(self, name)):
                object.__setattr__(self, name, default)

    @property
    def groups(self) -> list[str]:
        """Names of the groups in order of appearance."""
        return list(dict.fromkeys(self.group.tolist()))

    def inside(self, group: str) -> np.ndarray:
        """Whether each context is of a group, bool (c,)."""
        return self.group == group

    def of(self, group: str) -> "Contexts":
        """The contexts of one group."""
        inside = self.inside(group)
        return Contexts(
            self.group[inside],
            self.questions[inside],
            self.answers,
            self.components[:, inside],
            self.evidence[:, inside],
            self.exact[inside],
            self.base[inside],
            self.position[inside],
            self.calibration[inside],
            self.uninformed[inside],
        )

    def to_arrays(self) -> Arrays:
        """Its arrays by name."""
        return {name: np.asarray(getattr(self, name)) for name in CONTEXTS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        return cls(**pick(arrays, CONTEXTS))


CONTEXTS = (
    *("group", "questions", "answers", "components", "evidence", "exact", "base"),
    *("position", "calibration", "uninformed"),
)


def pick(arrays: Mapping[str, np.ndarray], names: Iterable[str]) -> Arrays:
    """The named arrays; refuses those that are missing or whose axes do not fit."""
    missing = [name for name in names if name not in arrays]
    if missing:
        raise Misuse(f"The arrays {', '.join(missing)} are missing.")
    picked = {name: arrays[name] for name in names}
    check_axes(picked, SHAPES)
    return picked


def check_axes(arrays: Arrays, shapes: Mapping[str, str]) -> None:
    """Refuse arrays that have other axes than `shapes`, or disagree about the length of one."""
    lengths: dict[str, int] = {}
    for name, array in arrays.items():
        axes = shapes[name]
        fits = array.ndim == len(axes) and all(
            lengths.setdefault(axis, size) == size for axis, size in zip(axes, array.shape, strict=True)
        )
        if not fits:
            known = ", ".join(f"{axis} = {size}" for axis, size in lengths.items())
            raise Misuse(
                f"The array {name} of shape {array.shape} has not the axes ({', '.join(axes)}) with {known}."
            )


def present(**arrays: np.ndarray | None) -> Arrays:
    """The arrays that there are."""
    return {name: np.asarray(array) for name, array in arrays.items() if array is not None}


def prefixed(prefix: str, arrays: Arrays) -> Arrays:
    """Arrays under the names PREFIX/NAME."""
    return {f"{prefix}/{name}": np.asarray(array) for name, array in arrays.items()}


def unprefixed(arrays: Mapping[str, np.ndarray], prefix: str) -> Arrays:
    """The inverse of `prefixed` among other arrays."""
    keys = (key for key in arrays if key.startswith(f"{prefix}/"))
    return {key.removeprefix(f"{prefix}/"): arrays[key] for key in keys}
