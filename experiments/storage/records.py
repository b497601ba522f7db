"""Records: what a run keeps, as types. `storage` reads and writes them, everyone else sees types. Numpy only.

    Cell        the least part of a run that is redone: its kind, way of finetuning, arm and base network
    Contexts    the contexts of an arm, with the exact process in them
    Ladder      a theory's answers over a grid of strengths
    Row         one theory at one dose on one group of contexts, a value (nats) for each finetuning seed
    ScoreLine   rows over all networks: the explained part of the shift with its error

Axes: s finetuning seeds, b strengths, d doses, c contexts, a answers, k hypotheses.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, TypeAlias

import numpy as np

from theory.errors import Misuse

Arrays: TypeAlias = dict[str, np.ndarray]
Json: TypeAlias = dict[str, Any]
Numbers = tuple[float, ...]
CellKind = Literal["theories", "posteriors", "replays", "finetuned"]
Grade = Literal["fitted", "law", "forecast"]

SEPARATOR = "--"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.,=+]|-(?!-))*(?<!-)")


def check_name(kind: str, name: str) -> str:
    """`name` if a file can be named by it and the name be read back; otherwise a sentence."""
    if not NAME.fullmatch(name):
        raise Misuse(
            f"{kind} {name!r} cannot name a file: use letters, digits and single dashes, or _ . , = + "
            "after the first character."
        )
    return name


@dataclass(frozen=True, order=True)
class Cell:
    """A part of a run: `theories` and `posteriors` have no method, `replays` and `finetuned` have one."""

    kind: CellKind
    arm: str
    base: int
    method: str = ""

    def __post_init__(self) -> None:
        check_name("The arm", self.arm)
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
        methods = {"theories": 0, "posteriors": 0, "replays": 1, "finetuned": 1}
        if kind not in methods or len(parts) != 2 + methods[kind] or not parts[-1].isdecimal():
            return None
        try:
            cell = cls(kind, parts[-2], int(parts[-1]), parts[0] if methods[kind] else "")  # pyright: ignore
        except Misuse:
            return None
        return cell if cell.name == name else None

    @property
    def is_forecast(self) -> bool:
        """Whether it says what theories expect, and nothing of a finetuned network."""
        return self.kind != "finetuned"

    def other(self, kind: CellKind, method: str = "") -> "Cell":
        """The cell of another kind at the same arm and base network."""
        return Cell(kind, self.arm, self.base, method)


@dataclass(frozen=True)
class Ladder:
    """A theory's answers `log_probs` (s, b, c, a) over strengths `betas` (b,), ascending from 0.

    `bound` says how its class is bounded: "path" is the grid itself, "mixture" any weights over hypotheses.
    `strengths` (d,) are forecasts of β at the doses by method, without a fitted number. Where posteriors were
    sampled, `problems` (s, b) has a sentence for every rung whose chains have not converged, else "", and
    `diagnostics` (s, b, h) the numbers behind it; `times` (b,) is the grid as learning-rate time τ.
    """

    theory: str
    prior: str
    betas: np.ndarray
    log_probs: np.ndarray
    bound: str = "path"
    problems: np.ndarray | None = None
    diagnostics: np.ndarray | None = None
    times: np.ndarray | None = None
    extra: Mapping[str, np.ndarray] | None = None

    @property
    def name(self) -> str:
        """THEORY/PRIOR."""
        return f"{self.theory}/{self.prior}"

    def to_arrays(self) -> Arrays:
        """Its arrays under names that `from_arrays` finds again."""
        own = {"betas": self.betas, "ladder": self.log_probs, "bound": np.array(self.bound)}
        own |= {key: value for key in OPTIONAL if (value := getattr(self, key)) is not None}
        own |= self.extra or {}
        return {f"{key}/{self.name}": np.asarray(value) for key, value in own.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Iterator[Self]:
        """Every ladder among the arrays of a cell, by name."""
        for key in sorted(key for key in arrays if key.startswith("ladder/")):
            name = key.removeprefix("ladder/")
            theory, prior = name.split("/")
            own = {
                kind: value
                for stored, value in arrays.items()
                if stored.endswith(f"/{name}") and (kind := stored.removesuffix(f"/{name}")).find("/") < 0
            }
            yield cls(
                theory,
                prior,
                own.pop("betas"),
                own.pop("ladder"),
                str(own.pop("bound")),
                *(own.pop(kind, None) for kind in OPTIONAL),
                extra=own,
            )


OPTIONAL = ("problems", "diagnostics", "times")


@dataclass(frozen=True)
class Row:
    """One theory at one dose on one group of contexts, from one base network; a value for each seed, in nats.

    `nats` is the mean over contexts of KL(finetuned ‖ theory), `shift` that of the base network, `replica`
    that of the replica which met the same D' in another order, `other_base` that of a network pretrained from
    another
    seed and finetuned on the same D' (None where there is none), `best_in_class` that of the best member of
    the theory's class, fitted to these very contexts. `converged` says whether the chains behind β converged.
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
    replica: Numbers
    other_base: Numbers | None
    best_in_class: Numbers
    converged: tuple[bool, ...] | None

    def to_json(self) -> Json:
        """Plain values, in a fixed order."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Json) -> Self:
        """The inverse; raises `Misuse` for values that are no row."""
        return cls(**_fitting(cls, values))


@dataclass(frozen=True)
class ScoreLine:
    """One theory at one dose on one group, over all `networks`: shares of the shift, and means in nats.

    `explained` is None where the shift does not exceed its noise, and where β was fitted on these contexts.
    `noise_ceiling` is the score of the replica that met D' in another order, `other_base` that of another
    pretraining seed, `best_in_class` that of the best member of the theory's class.
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
    noise_ceiling: float | None
    other_base: float | None
    best_in_class: float | None
    nats: float
    shift: float
    beta: float | None
    converged: float | None
    split: str | None
    networks: int

    def to_json(self) -> Json:
        """Plain values; `floor` and `ceiling`, the names of one version ago, stand beside the new ones."""
        return asdict(self) | {"floor": self.noise_ceiling, "ceiling": self.best_in_class}


def _fitting(kind: type, values: Json) -> Json:
    """The values of a dataclass, lists as tuples; refuses missing and unknown ones."""
    names = {field.name for field in fields(kind)}
    if not isinstance(values, Mapping) or set(values) != names:
        found = sorted(values) if isinstance(values, Mapping) else type(values).__name__
        raise Misuse(f"A {kind.__name__.lower()} has the fields {sorted(names)}, got {found}.")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
