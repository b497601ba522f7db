"""Contents of cells: the typed arrays of theories, posteriors, replays and finetuned networks. Numpy only.

    Contexts        the contexts of an arm by group, with the exact process in them
    TheoryCell      contexts, and theories that need one network and its D' alone
    PosteriorCell   theories whose posteriors were sampled
    ReplayCell      theories that follow a method step by step, and forecasts of strengths
    FinetunedCell   finetuned networks and their reshuffled replicas

All answers are log-probabilities. Axes: s finetuning seeds, b strengths, d doses, c contexts, a answers, k
hypotheses, m directions. `update` arrays are full weights less those of the base network, of the first
finetuning seed, by layer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import numpy as np

from experiments.storage.records import Arrays, CellKind, Ladder
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
    "data_loss": "sd",
    "finetuned": "sdca",
    "replica": "sdca",
    "loss": "st",
    "distance": "sd",
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
        return cls(**_pick(arrays, CONTEXTS))


@dataclass(frozen=True)
class TheoryCell:
    """Theories that need no more than one base network and its D'.

    `implied_weights` (k,) is the prior over hypotheses that the base network's answers imply. `curvatures`
    (m,) and `modes`, layer -> (m, ...), are the directions in which D' curves the loss most at the base
    network. Where a teacher writes D', `teacher_answers` (c, a) are its answers and `teacher_update` its
    update. `observed` has further readouts of the base network, name -> (1, 1, c, ...). `reachable` (s, 3)
    are losses on D', in nats an answer, in the order of `REACHABLE`.
    """

    contexts: Contexts
    ladders: tuple[Ladder, ...]
    implied_weights: np.ndarray
    curvatures: np.ndarray
    modes: Arrays = field(default_factory=dict)
    teacher_answers: np.ndarray | None = None
    teacher_update: Arrays | None = None
    observed: Arrays = field(default_factory=dict)
    reachable: np.ndarray | None = None

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        arrays = self.contexts.to_arrays() | {"implied_weights": np.asarray(self.implied_weights)}
        arrays |= {"curvatures": np.asarray(self.curvatures)} | _join("mode", self.modes)
        arrays |= _join("observed", self.observed) | _join("teacher", self.teacher_update or {})
        arrays |= _known(teacher_answers=self.teacher_answers, reachable=self.reachable)
        return arrays | _ladder_arrays(self.ladders)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        optional = [name for name in ("teacher_answers", "reachable") if name in arrays]
        parts = _pick(arrays, (*CONTEXTS, "implied_weights", "curvatures", *optional))
        return cls(
            Contexts.from_arrays(arrays),
            _ladders(arrays, parts["base"].shape),
            parts["implied_weights"],
            parts["curvatures"],
            _split(arrays, "mode"),
            parts.get("teacher_answers"),
            _split(arrays, "teacher") if "teacher_answers" in optional else None,
            _split(arrays, "observed"),
            parts.get("reachable"),
        )


@dataclass(frozen=True)
class PosteriorCell:
    """Theories whose posteriors were sampled, perhaps for the first finetuning seeds alone."""

    ladders: tuple[Ladder, ...]

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        return _ladder_arrays(self.ladders)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        return cls(_ladders(arrays))


@dataclass(frozen=True)
class ReplayCell:
    """Theories that follow a method step by step, and forecasts of strengths for the others.

    `predictions` are answers (s, d, c, a) by theory, `strengths` forecasts of β (d,) by the name THEORY/PRIOR
    of a ladder, without a fitted number; `times` is the method's learning-rate time (d,) by metric;
    `update`, layer -> (d, ...), is that of the linearised network.
    """

    predictions: Arrays
    strengths: Arrays = field(default_factory=dict)
    times: Arrays = field(default_factory=dict)
    update: Arrays = field(default_factory=dict)

    def strength(self, ladder: Ladder) -> np.ndarray | None:
        """The strength (d,) of a ladder without a fitted number: of its theory, or by learning-rate time."""
        if ladder.name in self.strengths:
            return self.strengths[ladder.name]
        if ladder.times is None or ladder.metric not in self.times:
            return None
        return self.times[ladder.metric] * (ladder.betas[-1] / ladder.times[-1])  # β is proportional to τ

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        prefixed = {
            "replay": self.predictions,
            "strength": self.strengths,
            "time": self.times,
            "update": self.update,
        }
        return {key: value for prefix, part in prefixed.items() for key, value in _join(prefix, part).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that do not fit."""
        cell = cls(*(_split(arrays, prefix) for prefix in ("replay", "strength", "time", "update")))
        predictions = _join("replay", cell.predictions)
        by_dose = _join("strength", cell.strengths) | _join("time", cell.times)
        _fit(predictions | by_dose, dict.fromkeys(predictions, "sdca") | dict.fromkeys(by_dose, "d"))
        return cell


@dataclass(frozen=True)
class FinetunedCell:
    """Finetuned networks and their reshuffled replicas, which met D' in another order.

    `finetuned` and `replica` (s, d, c, a) are their answers after every dose, `loss` (s, t) is the training
    loss in nats, `distance` (s, d) the Euclidean norm of the update, `update`, layer -> (d, ...), that of the
    first seed, `observed` further readouts, name -> (s, d, c, ...). `data_loss` (s, d) is the loss on all of
    D', in nats an answer.
    """

    finetuned: np.ndarray
    replica: np.ndarray
    loss: np.ndarray
    distance: np.ndarray
    update: Arrays = field(default_factory=dict)
    observed: Arrays = field(default_factory=dict)
    data_loss: np.ndarray | None = None

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        arrays = {name: np.asarray(getattr(self, name)) for name in FINETUNED}
        arrays |= _known(data_loss=self.data_loss)
        return arrays | _join("update", self.update) | _join("observed", self.observed)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        optional = [name for name in ("data_loss",) if name in arrays]
        return cls(
            **_pick(arrays, (*FINETUNED, *optional)),
            update=_split(arrays, "update"),
            observed=_split(arrays, "observed"),
        )


CellContent: TypeAlias = TheoryCell | PosteriorCell | ReplayCell | FinetunedCell
CONTENTS: dict[CellKind, type[CellContent]] = {
    "theories": TheoryCell,
    "posteriors": PosteriorCell,
    "replays": ReplayCell,
    "finetuned": FinetunedCell,
}
CONTEXTS = (
    *("group", "questions", "answers", "components", "evidence", "exact", "base"),
    *("position", "calibration", "uninformed"),
)
REACHABLE = ("base network", "best bias", "best hypothesis")  # of D' itself
FINETUNED = ("finetuned", "replica", "loss", "distance")


def _pick(arrays: Mapping[str, np.ndarray], names: Iterable[str]) -> Arrays:
    """The named arrays; refuses those that are missing or whose axes do not fit."""
    missing = [name for name in names if name not in arrays]
    if missing:
        raise Misuse(f"The arrays {', '.join(missing)} are missing.")
    picked = {name: arrays[name] for name in names}
    _fit(picked, SHAPES)
    return picked


def _fit(arrays: Arrays, shapes: Mapping[str, str]) -> None:
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


def _known(**arrays: np.ndarray | None) -> Arrays:
    """The arrays that there are."""
    return {name: np.asarray(array) for name, array in arrays.items() if array is not None}


def _join(prefix: str, arrays: Arrays) -> Arrays:
    return {f"{prefix}/{name}": np.asarray(array) for name, array in arrays.items()}


def _split(arrays: Mapping[str, np.ndarray], prefix: str) -> Arrays:
    """The inverse of `_join` among other arrays."""
    keys = (key for key in arrays if key.startswith(f"{prefix}/"))
    return {key.removeprefix(f"{prefix}/"): arrays[key] for key in keys}


def _ladder_arrays(ladders: Iterable[Ladder]) -> Arrays:
    return {key: array for ladder in ladders for key, array in ladder.to_arrays().items()}


def _ladders(arrays: Mapping[str, np.ndarray], shape: tuple[int, ...] | None = None) -> tuple[Ladder, ...]:
    """All ladders; refuses answers that are not over contexts and answers of `shape`."""
    ladders = tuple(Ladder.from_arrays(arrays))
    for ladder in ladders:
        if shape is not None and ladder.log_probs.shape[2:] != shape:
            raise Misuse(
                f"The ladder {ladder.name} has answers {ladder.log_probs.shape}, but contexts have {shape}."
            )
    return ladders
