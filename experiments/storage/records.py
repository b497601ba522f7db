"""Records of a run as types: cells, ladders, rows and lines of the scorecard. Numpy only.

    Cell        the least part of a run that is redone: its kind, method, arm and base network
    Ladder      a theory's answers over a grid of strengths
    Row         one theory at one dose on one group of contexts, a value (nats) for each finetuning seed
    ScoreLine   rows over all networks: the explained part of the shift with its error

`experiments.storage.contents` has the arrays that cells hold; `experiments.storage.run_folder` reads and
writes all of them. Axes: s finetuning seeds, b strengths, d doses, c contexts, a answers, h diagnostics.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, TypeAlias, cast, get_args

import numpy as np

from experiments.storage.typed import INFINITE, typed
from theory.errors import Misuse

Arrays: TypeAlias = dict[str, np.ndarray]
Json: TypeAlias = dict[str, Any]
Numbers: TypeAlias = tuple[float, ...]
Interval: TypeAlias = tuple[float, float]
CellKind: TypeAlias = Literal[
    "theories", "posteriors", "replays", "finetuned", "axioms", "retrained", "inside"
]
Grade: TypeAlias = Literal["fitted", "law", "forecast"]

SEPARATOR = "--"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.,=+]|-(?!-))*(?<!-)")
LONGEST = 100  # characters of a name: a file has two, and 255 in all
OF_METHOD = ("replays", "finetuned", "axioms")
IMPORTED = "imported-table"  # the study of runs whose numbers were computed elsewhere
UNSCORED = ("axioms", "inside")  # of studies that score no theory
BOUNDS = ("path", "mixture")
OPTIONAL = ("problems", "diagnostics", "times", "reference", "rate", "hyperparameters")  # of a ladder
SWAP = ("base_read_out", "base_blocks")  # of a row
MEASURED = (*SWAP, "resolution", "predicted_noise", "hyperparameters")  # where it was


def check_name(kind: str, name: str) -> str:
    """`name` if a file can be named by it and the name be read back; otherwise a sentence."""
    if not NAME.fullmatch(name):
        raise Misuse(
            f"{kind} {name!r} cannot name a file: use letters, digits and single dashes, or _ . , = + "
            "after the first character."
        )
    if len(name) > LONGEST:
        raise Misuse(f"{kind} {name[:20]}... has {len(name)} characters, and {LONGEST} are the most.")
    return name


@dataclass(frozen=True, order=True)
class Cell:
    """A part of a run: those of the kinds `OF_METHOD` have a method, all others have none."""

    kind: CellKind
    arm: str
    base: int
    method: str = ""

    def __post_init__(self) -> None:
        check_name("The arm", self.arm)
        if (
            self.kind not in get_args(CellKind)
            or bool(self.method) != (self.kind in OF_METHOD)
            or self.base < 0
        ):
            raise Misuse(
                f"A cell has a kind ({', '.join(get_args(CellKind))}), a base from 0 on, and a method if "
                f"it is of {' or '.join(OF_METHOD)}; got {self.kind!r}, {self.base} and {self.method!r}."
            )
        if self.method:
            check_name("The method", self.method)

    @property
    def name(self) -> str:
        """The name of its file, without suffix."""
        return SEPARATOR.join([self.kind, *[self.method] * bool(self.method), self.arm, str(self.base)])

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The inverse of `name`; None for a file that is no cell."""
        kind, *parts = name.split(SEPARATOR)
        if len(parts) != 2 + (kind in OF_METHOD) or not parts[-1].isdecimal():
            return None
        try:
            cell = cls(cast(CellKind, kind), parts[-2], int(parts[-1]), *parts[:-2])
        except Misuse:
            return None
        return cell if cell.name == name else None

    @property
    def is_forecast(self) -> bool:
        """Whether it holds expectations of theories only, and nothing of a finetuned network."""
        return self.kind not in ("finetuned", *UNSCORED)

    def other(self, kind: CellKind, method: str = "") -> "Cell":
        """The cell of another kind at the same arm and base network."""
        return Cell(kind, self.arm, self.base, method)


@dataclass(frozen=True)
class Ladder:
    """A theory's answers `log_probs` (s, b, c, a) over strengths `betas` (b,), ascending from 0.

    `bound` says how its class is bounded: "path" is the grid itself, "mixture" any weights over hypotheses.
    Where posteriors were sampled, `problems` (s, b) has a sentence for every rung whose chains have not
    converged, else "", and `diagnostics` (s, b, h) the numbers behind it; `times` (b,) is the grid as
    learning-rate time τ in the metric `metric`, whose time after a method's steps forecasts β. `reference`
    (c, a) are the prior's answers where the ladder is anchored at the base network, so that its first rung is
    that network; `rate` (s,) is β for a unit of learning-rate time in the identity metric, a second forecast.
    `note` is a sentence for the report. `extra` holds further arrays by name: samples, step sizes. Where a
    second number is fitted, `hyperparameters` (b,) has it at every rung, and `betas` ascend anew at each.
    """

    theory: str
    prior: str
    betas: np.ndarray
    log_probs: np.ndarray
    bound: str = "path"
    problems: np.ndarray | None = None
    diagnostics: np.ndarray | None = None
    times: np.ndarray | None = None
    metric: str = ""
    reference: np.ndarray | None = None
    rate: np.ndarray | None = None
    note: str = ""
    extra: Mapping[str, np.ndarray] | None = None
    hyperparameters: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.log_probs)
        wanted = {"betas": shape[1:2], "problems": shape[:2], "diagnostics": shape[:2], "times": shape[1:2]}
        wanted |= {"reference": shape[2:], "rate": shape[:1], "hyperparameters": shape[1:2]}
        odd = {
            name: np.shape(value)
            for name, rungs in wanted.items()
            if (value := getattr(self, name)) is not None and np.shape(value)[: len(rungs)] != rungs
        }
        if len(shape) != 4 or odd or self.bound not in BOUNDS or "/" in f"{self.theory}{self.prior}":
            raise Misuse(
                f"The ladder {self.name} needs answers (s, b, c, a), arrays over b strengths, a bound "
                f"({' or '.join(BOUNDS)}); got answers {shape}, misfits {odd} and bound {self.bound!r}."
            )

    @property
    def name(self) -> str:
        """THEORY/PRIOR."""
        return f"{self.theory}/{self.prior}"

    def to_arrays(self) -> Arrays:
        """Its arrays under names that `from_arrays` reads."""
        arrays = {**(self.extra or {}), "betas": self.betas, "ladder": self.log_probs}
        arrays |= {key: value for key in OPTIONAL if (value := getattr(self, key)) is not None}
        arrays |= {key: np.array(getattr(self, key)) for key in ("bound", "metric", "note")}
        return {f"{key}/{self.name}": np.asarray(value) for key, value in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Iterator[Self]:
        """Every ladder among the arrays of a cell, by name."""
        for name in sorted(key.removeprefix("ladder/") for key in arrays if key.startswith("ladder/")):
            parts = {
                kind: value
                for key, value in arrays.items()
                if (kind := key.removesuffix(f"/{name}")) != key and "/" not in kind
            }
            if name.count("/") != 1 or not parts.keys() >= {"betas", "bound"}:
                raise Misuse(f"The ladder {name} needs a name THEORY/PRIOR, strengths and a bound.")
            theory, prior = name.split("/")
            betas, log_probs, bound = (parts.pop(key) for key in ("betas", "ladder", "bound"))
            rungs = theory, prior, betas, log_probs, str(bound)
            optional = {key: parts.pop(key, None) for key in OPTIONAL}
            metric, note = (str(parts.pop(key, "")) for key in ("metric", "note"))
            yield cls(*rungs, **optional, metric=metric, note=note, extra=parts or None)


@dataclass(frozen=True)
class Row:
    """One theory at one dose on one group of contexts, from one base network; a value for each seed, in nats.

    `nats` is the mean over contexts of KL(finetuned ‖ theory), `shift` that of the base network, `replica`
    that of the replica which met the same D' in another order, `other_base` that of a network pretrained from
    another seed and finetuned on the same D' (each None where there is none), `best_in_class` that of the
    best member of the theory's class, fitted to these contexts. `nats` is ∞ where the theory rules out an
    answer that the network gives, and where it fails for a network: `failures` has the reasons, "" for
    networks that it predicts, and is None without any. `converged` says whether the chains behind β
    converged. `base_error` is the mean of KL(exact process ‖ base network): below it a shift says as much of
    pretraining as of finetuning. `resolution` is the least shift (nats) that can be told from none, if
    measured. `draw` is the draw of the process; base networks are numbered through all draws.
    `predicted_shift` is the mean of KL(theory ‖ base network): the size of the shift as the theory has it.
    `hyperparameters` are a second fitted number's. Rows of “unchanged” alone have `predicted_noise`, the mean
    KL between two orders of D' as the theory noise predicts it, and `base_read_out` and `base_blocks`, that
    from the finetuned network with a part swapped for the base network's (experiments.scoring.swap).
    """

    study: str
    method: str
    data: str
    base: int
    dose: int
    theory: str
    prior: str
    grade: Grade
    split: str | None
    group: str
    beta: Numbers | None
    nats: Numbers
    shift: Numbers
    replica: Numbers | None
    other_base: Numbers | None
    best_in_class: Numbers
    converged: tuple[bool, ...] | None
    base_error: float | None = None
    draw: int = 0
    base_read_out: Numbers | None = None
    base_blocks: Numbers | None = None
    failures: tuple[str, ...] | None = None
    predicted_shift: Numbers | None = None
    resolution: float | None = None
    predicted_noise: Numbers | None = None
    hyperparameters: Numbers | None = None

    def to_json(self) -> Json:
        """Plain values, in a fixed order, without what was not measured; ∞, for which JSON has no number, is
        a word."""
        return {
            key: _plain(value) if type(value) is tuple else value for key, value in self.measured().items()
        }

    def measured(self) -> Json:
        """The fields in a fixed order, without what was not measured."""
        values = dict(vars(self))
        for key in MEASURED:
            if values[key] is None:
                del values[key]
        return values

    @classmethod
    def from_json(cls, values: Json) -> Self:
        """The inverse; raises `Misuse` for values that are no row."""
        return typed(cls, values)


def _plain(values: tuple[Any, ...]) -> list[Any]:
    if math.inf in values:
        return [INFINITE if part == math.inf else part for part in values]
    return list(values)


@dataclass(frozen=True, slots=True)  # a scorecard may have a million
class Sample:
    """The networks behind a line, by draw of the process, base network (numbered through all draws) and
    finetuning seed (the index of D' in its draw), in nats; `replica` is None where there is none.
    `of_one_model`: their only base network is the very model that is meant, and no sample of others."""

    draws: Sequence[int]
    bases: Sequence[int]
    seeds: Sequence[int]
    nats: Sequence[float]
    shift: Sequence[float]
    replica: Sequence[float] | None
    best_in_class: Sequence[float]
    of_one_model: bool = False


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One theory at one dose on one group, over all `networks`: shares of the shift, and means in nats.

    `explained` is None where the shift does not exceed its noise, and where β was fitted on these contexts;
    `interval` is its interval of 95 %, which with `standard_error` is None where there is one base network or
    one D' alone (of one imported model: one D'). `noise_ceiling` is the score of the replica that met D' in
    another order, `order_blind` the best that a theory blind to that order can reach, `other_base` the score
    of another pretraining seed, `best_in_class` that of the best member of the theory's class. `over_null` is
    what the theory explains beyond `best_null`, the best null theory on the same networks. `base_error` is
    what the base networks got wrong of the process, in nats. `state_share` and `read_out_share` say where the
    shift lies, whatever the theory (experiments.scoring.swap). `noise` is the mean KL from the replica, in
    nats, and `predicted_noise` the same as predicted before finetuning. The line is over `networks` of the
    `finetuned` ones; for `failed` of them the theory has no prediction, which scores -∞, and `failure` says
    why. `beta` and `hyperparameter`, a second fitted number, are medians. `sample` are the networks.
    """

    study: str
    method: str
    data: str
    dose: int
    theory: str
    prior: str
    grade: Grade
    group: str
    explained: float | None
    standard_error: float | None
    interval: Interval | None
    best_null: str | None
    over_null: float | None
    over_null_interval: Interval | None
    noise_ceiling: float | None
    order_blind: float | None
    other_base: float | None
    best_in_class: float | None
    nats: float
    shift: float
    beta: float | None
    converged: float | None
    split: str | None
    networks: int
    base_error: float | None = None
    state_share: float | None = None
    state_share_interval: Interval | None = None
    read_out_share: float | None = None
    read_out_share_interval: Interval | None = None
    finetuned: int | None = None
    failed: int = 0
    failure: str = ""
    noise: float | None = None
    predicted_noise: float | None = None
    hyperparameter: float | None = None
    sample: Sample | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> Json:
        """Plain values; `floor` and `ceiling`, the names of one version ago, stand beside the new ones."""
        return self.record() | {"floor": self.noise_ceiling, "ceiling": self.best_in_class}

    def record(self) -> Json:
        """Plain values by column; an interval is two columns, and the sample none."""
        record: Json = {}
        for column in fields(self):
            value = getattr(self, column.name)
            if column.name in INTERVALS:
                low, high = value or (None, None)
                record |= {f"{INTERVALS[column.name]}_low": low, f"{INTERVALS[column.name]}_high": high}
            elif column.name != "sample":
                infinite = isinstance(value, float) and math.isinf(value)
                record[column.name] = f"{'-' * (value < 0)}{INFINITE}" if infinite else value
        return record


INTERVALS = {  # fields, and the names of columns
    "interval": "interval",
    "over_null_interval": "over_null",
    "state_share_interval": "state_share",
    "read_out_share_interval": "read_out_share",
}
