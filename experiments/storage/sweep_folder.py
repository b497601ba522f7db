"""A sweep's folder: ordinary runs, one a point, and the manifest that says which is which. No jax.

sweep.json           the manifest (`SweepRecord`): study, centre, axes, points, and a hash of all that
POINT/               the run of a point, a folder like that of any run (experiments.storage.run_folder)
POINT.failed.json    why the run of a point ended without a result, until it is run again
scores.csv           every line of every scorecard, with the values of the axes as columns
figures/, networks/  base networks lie there with --out alone
lock                 held while a process writes
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from experiments.storage import files
from experiments.storage.files import read_json, sweep, write_json
from experiments.storage.manifests import Failure, OwnFile, check_hash
from experiments.storage.records import Json
from experiments.storage.run_folder import CONFIG, DONE, RunFolder
from experiments.storage.typed import typed
from theory.errors import Misuse

MANIFEST, SCORES, FAILED = "sweep.json", "scores.csv", ".failed.json"
ELSEWHERE = "put it back, or choose another --out"
SHARE = "pretraining.until_learnt"
EARLY = ("lock", "networks")  # what a sweep that was killed at once leaves
Status: TypeAlias = Literal["finished", "failed", "unfinished", "missing"]
Value: TypeAlias = Any  # of a field of a config: a number, a word, or a tuple of such


@dataclass(frozen=True)
class Axis:
    """A field of a config, by its dotted name, and the values that it takes."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class SweepPoint:
    """A point: the name of its run's folder, and the value of every axis there."""

    folder: str
    values: dict[str, Value]


@dataclass(frozen=True)
class SweepRecord:
    """The content of sweep.json. `config` are the options of the centre; `hash` is over all else."""

    study: str
    preset: str
    config: dict[str, Any]
    axes: tuple[Axis, ...]
    one_at_a_time: bool
    points: tuple[SweepPoint, ...]
    generation: int
    hash: str
    files: tuple[OwnFile, ...] = ()

    @classmethod
    def make(
        cls, centre: Json, axes: Sequence[Axis], one_at_a_time: bool, points: Sequence[SweepPoint]
    ) -> Self:
        """The manifest of a sweep about a run with the record `centre`."""
        values: Json = {
            **centre,
            "axes": [asdict(axis) for axis in axes],
            "one_at_a_time": one_at_a_time,
            "points": [asdict(point) for point in points],
            "generation": files.GENERATION,
        }
        values = json.loads(json.dumps(values))  # tuples are lists, as they are read back
        return cls.from_json(values | {"hash": files.digest(values)})

    @classmethod
    def from_json(cls, values: Json) -> Self:
        """The inverse of `to_json`; raises `Misuse` for what is none, or was changed since it was written."""
        record = typed(cls, values)
        check_hash(values, record.generation)
        axes = tuple(replace(axis, values=tuple(map(plain, axis.values))) for axis in record.axes)
        points = tuple(
            replace(point, values={name: plain(value) for name, value in point.values.items()})
            for point in record.points
        )
        return replace(record, axes=axes, points=points)

    def to_json(self) -> Json:
        """Plain values."""
        values = asdict(self)
        return {name: value for name, value in values.items() if value or name != "files"}

    @property
    def in_order(self) -> list[SweepPoint]:
        """The points in the order in which they are run. One at a time, those whose pretraining ends at a
        smaller share of inference come first: that of the others goes on from there."""
        shares = [point.values.get(SHARE) or 1.0 if self.one_at_a_time else 1.0 for point in self.points]
        return [self.points[index] for index in sorted(range(len(shares)), key=shares.__getitem__)]

    def axis(self, field: str) -> Axis:
        """An axis by its field."""
        return next(axis for axis in self.axes if axis.field == field)

    def centre(self, field: str) -> Value:
        """The value of a field at the centre."""
        value: Any = self.config
        for part in field.split("."):
            value = value[part]
        return plain(value)


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's folder, for reading and writing."""

    folder: Path

    @property
    def exists(self) -> bool:
        """Whether there is a manifest."""
        return (self.folder / MANIFEST).exists()

    @property
    def record(self) -> SweepRecord:
        """The manifest; one that is damaged, or was changed, is refused."""
        path = self.folder / MANIFEST
        try:
            return SweepRecord.from_json(read_json(path, ELSEWHERE))
        except Misuse as error:
            raise Misuse(
                f"{path} is no manifest of a sweep: {error}; put it back, or choose another --out."
            ) from error

    def run(self, point: SweepPoint) -> RunFolder:
        """The run of a point."""
        return RunFolder(self.folder / point.folder)

    def status(self, point: SweepPoint) -> Status:
        """The state of a point's run; one with a reason has failed, even if it was finished before that."""
        folder = self.folder / point.folder
        if self._reason(point).exists():
            return "failed"
        if (folder / DONE).exists():
            return "finished"
        return "unfinished" if (folder / CONFIG).exists() else "missing"

    def reason(self, point: SweepPoint) -> str:
        """The reason why the run of a point failed; empty where it did not."""
        path = self._reason(point)
        return typed(Failure, read_json(path)).reason if path.exists() else ""

    def fail(self, point: SweepPoint, reason: str) -> None:
        """Record why the run of a point ended without a result."""
        write_json(self._reason(point), {"reason": reason})

    def begin(self, point: SweepPoint) -> None:
        """Forget that the run of a point failed, as it is run again."""
        self._reason(point).unlink(missing_ok=True)

    def _reason(self, point: SweepPoint) -> Path:
        return self.folder / f"{point.folder}{FAILED}"


def plain(value: object) -> Value:
    """A value as configs hold it: lists of JSON as tuples."""
    return tuple(map(plain, value)) if isinstance(value, list) else value


def create_sweep(folder: Path, record: SweepRecord) -> SweepFolder:
    """A sweep's folder for this record: new, or that of the same record. The folder's lock is to be held."""
    made = SweepFolder(folder)
    if made.exists:
        if made.record.hash != record.hash:
            raise Misuse(
                f"{folder} holds another sweep; choose another --out, or omit --out to get a folder for each."
            )
    elif strangers := sorted({path.name for path in folder.glob("[!.]*")} - {*EARLY}):
        raise Misuse(
            f"{folder} is not empty and holds no sweep (no {MANIFEST}, but {strangers[0]}); choose another "
            "--out."
        )
    sweep(folder)
    if not made.exists:
        write_json(folder / MANIFEST, record.to_json())
    return made


def find_sweep(folder: str | Path) -> SweepFolder:
    """The sweep in a folder, or the only one below it."""
    root = Path(folder)
    if not root.is_dir():
        raise Misuse(f"There is no folder {folder}; give the folder that `finebayes sweep` printed.")
    below = [root] if SweepFolder(root).exists else [path.parent for path in root.glob(f"**/{MANIFEST}")]
    if not below:
        raise Misuse(
            f"{folder} holds no sweep (no {MANIFEST}); give the folder that `finebayes sweep` printed."
        )
    if len(below) > 1:
        names = ", ".join(map(str, sorted(below)))
        raise Misuse(f"{folder} holds {len(below)} sweeps; give one of them: {names}.")
    made = SweepFolder(below[0])
    made.record  # noqa: B018 (checked here, once)
    return made


def runs_in(folder: str | Path) -> list[str | Path]:
    """The folders of the finished runs of a sweep; the folder itself where it holds none."""
    made = SweepFolder(Path(folder))
    if not made.exists:
        return [folder]
    points = [point for point in made.record.points if made.status(point) == "finished"]
    if not points:
        raise Misuse(f"No run of the sweep in {folder} is finished yet.")
    return [made.folder / point.folder for point in points]
