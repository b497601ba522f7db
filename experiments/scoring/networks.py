"""Networks behind the rows of a table: compact columns by theory, dose and group, gathered row by row.

A table has a row for each base network; a score is over all of them. Of each row a few numbers for each
network are kept, in arrays, and those that theories have in common (the shift, its replica) once. A file has
its rows by method and D', and scores are of one of these at a time. So a table of any number of rows, methods
and D' is scored without being held. Numpy only.
"""

import itertools
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from experiments.storage.records import IMPORTED, Grade, Row
from experiments.storage.row_file import RowFile
from theory.errors import Misuse

RESOLUTION = 1e-6  # nats: a shift below it is rounding of float32
OPTIONAL = ("replica", "other_base", "predicted_shift", "base_read_out", "base_blocks", "predicted_noise")
SHARED = ("draws", "bases", "seeds", "shift", "replica", "other_base")  # by theories of one dose and group
Whole: TypeAlias = "array[int]"
Column: TypeAlias = "array[float]"


class RowKey(NamedTuple):
    """The fields of a row that all networks of a line have in common."""

    study: str
    method: str
    data: str
    dose: int
    theory: str
    prior: str
    grade: Grade
    group: str

    @property
    def panel(self) -> tuple[str, str, str, int, str]:
        """Study, method, D', dose and group: where theories are compared."""
        return self.study, self.method, self.data, self.dose, self.group


def _whole() -> Whole:
    return array("i")


def _column() -> Column:
    return array("d")


@dataclass(slots=True)
class Networks:
    """Numbers of the networks of one key, in nats, a value each; a column is None where a row lacks it.

    `betas`, `hyperparameters`, `converged` and `base_errors` are of the rows that have them. `failed` counts
    the networks for which the theory fails, for `reasons`. `resolution` is the least shift that can be told
    from none: measured, and never below that of float32.
    """

    split: str | None
    draws: Whole = field(default_factory=_whole)
    bases: Whole = field(default_factory=_whole)
    seeds: Whole = field(default_factory=_whole)
    nats: Column = field(default_factory=_column)
    shift: Column = field(default_factory=_column)
    best_in_class: Column = field(default_factory=_column)
    replica: "Column | None" = field(default_factory=_column)
    other_base: "Column | None" = field(default_factory=_column)
    predicted_shift: "Column | None" = field(default_factory=_column)
    base_read_out: "Column | None" = field(default_factory=_column)
    base_blocks: "Column | None" = field(default_factory=_column)
    predicted_noise: "Column | None" = field(default_factory=_column)
    betas: Column = field(default_factory=_column)
    hyperparameters: Column = field(default_factory=_column)
    converged: Column = field(default_factory=_column)
    base_errors: Column = field(default_factory=_column)
    failed: int = 0
    reasons: tuple[str, ...] = ()
    resolution: float = RESOLUTION

    def add(self, row: Row) -> None:
        """Take the networks of one more row."""
        count = len(row.nats)
        self.draws.extend(itertools.repeat(row.draw, count))
        self.bases.extend(itertools.repeat(row.base, count))
        self.seeds.extend(range(count))
        self.nats.extend(row.nats)
        self.shift.extend(row.shift)
        self.best_in_class.extend(row.best_in_class)
        for name in OPTIONAL:
            values = getattr(row, name)
            if values is None:
                setattr(self, name, None)
            elif (column := getattr(self, name)) is not None:
                column.extend(values)
        self.betas.extend(row.beta or ())
        self.hyperparameters.extend(row.hyperparameters or ())
        self.converged.extend(row.converged or ())
        if row.base_error is not None:
            self.base_errors.append(row.base_error)
        if row.failures is not None:
            reasons = [reason for reason in row.failures if reason]
            self.failed += len(reasons)
            self.reasons = tuple(dict.fromkeys([*self.reasons, *reasons]))
        if row.resolution is not None:
            self.resolution = max(self.resolution, row.resolution)

    def share(self, others: "Networks") -> None:
        """Take the columns of other theories' networks where they are equal."""
        for name in SHARED:
            ours, theirs = getattr(self, name), getattr(others, name)
            if ours is not None and theirs is not None and ours.tobytes() == theirs.tobytes():
                setattr(self, name, theirs)


def gather_by_data(rows: Iterable[Row]) -> Iterator[dict[RowKey, Networks]]:
    """The networks of one method and D' after the other, where these stand together, as in every file that a
    run writes; a file with other rows between them is refused. Of other rows, and of an imported table, whose
    scores depend on all of its models, the networks of all at once."""
    if not isinstance(rows, RowFile) or rows.study == IMPORTED:
        yield gather(rows)
        return
    finished: set[tuple[str, str]] = set()
    for named, part in itertools.groupby(rows, lambda row: (row.method, row.data)):
        if named in finished:
            rows.refuse(Misuse(f"its rows of {named[0]} and {named[1]} do not stand together"))
        finished.add(named)
        yield gather(part)


def gather(rows: Iterable[Row]) -> dict[RowKey, Networks]:
    """The networks of every key, in the order of the rows."""
    gathered: dict[RowKey, Networks] = {}
    for row in rows:
        key = RowKey(row.study, row.method, row.data, row.dose, row.theory, row.prior, row.grade, row.group)
        networks = gathered.get(key)
        if networks is None:
            networks = gathered[key] = Networks(row.split)
        networks.add(row)
    first: dict[tuple[object, ...], Networks] = {}
    for key, networks in gathered.items():
        networks.share(first.setdefault(key.panel, networks))
    return gathered


def of_one_model(gathered: Mapping[RowKey, Networks]) -> bool:
    """Whether all networks are of the one base model of an imported table."""
    if {key.study for key in gathered} != {IMPORTED}:
        return False
    return len({base for networks in gathered.values() for base in networks.bases}) == 1
