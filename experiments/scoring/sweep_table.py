"""The scores of a sweep: every line of every scorecard with the values of the axes. Numpy only.

A number of a point is a numeric column of its scorecard, or `learnt`, the share of inference that its base
networks have learnt.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.scoring.sweep_curves import CurvePoint, read_curves
from experiments.storage.files import as_csv, write_text
from experiments.storage.records import INTERVALS, Json, ScoreLine
from experiments.storage.run_folder import CONFIG, ROWS, RunFolder
from experiments.storage.sweep_folder import SCORES, SweepFolder, SweepPoint, SweepRecord, Value
from experiments.system.cores import cores
from theory.errors import Misuse

LEARNT = "learnt"
MANY = 2**25  # bytes of rows, some seconds of reading: processes cost one to start
NOTES = {"unfinished": "not finished yet.", "missing": "not begun yet."}


@dataclass(frozen=True)
class PointScores:
    """The scorecard of a point, and the curves of its study's own figures; `note` says why it has none, or
    why not all is in it."""

    point: SweepPoint
    lines: tuple[ScoreLine, ...] = ()
    learnt: float | None = None
    note: str = ""
    curves: tuple[CurvePoint, ...] = ()

    def number(self, line: ScoreLine, column: str) -> float | None:
        """A number of one of its lines."""
        if column == LEARNT:
            return self.learnt
        for name, ends in INTERVALS.items():
            if column in (f"{ends}_low", f"{ends}_high"):
                pair = getattr(line, name)
                return pair and pair[column.endswith("high")]
        return getattr(line, column)


@dataclass(frozen=True)
class SweepTable:
    """The scores of all points of a sweep."""

    record: SweepRecord
    points: tuple[PointScores, ...]

    def records(self) -> list[Json]:
        """A line for each line of each scorecard: axes, the run's folder, `learnt`, and its columns."""
        return [
            {
                **{axis.field: point.point.values[axis.field] for axis in self.record.axes},
                "run": point.point.folder,
                LEARNT: point.learnt,
                **line.record(),
            }
            for point in self.points
            for line in point.lines
        ]

    def notes(self) -> list[str]:
        """The reasons why scores are missing, a sentence a point."""
        return [f"{point.point.folder}: {point.note}" for point in self.points if point.note]


def read_sweep(sweep: SweepFolder) -> SweepTable:
    """The scores of what is finished; a point that cannot be read has a note instead."""
    record = sweep.record
    tables = (sweep.run(point).folder / ROWS for point in record.points)
    size = sum(path.stat().st_size for path in tables if path.exists())
    return SweepTable(record, tuple(_together(functools.partial(_read_point, sweep), record.points, size)))


def _together(
    read: Callable[[SweepPoint], PointScores], points: Sequence[SweepPoint], size: int
) -> Iterable[PointScores]:
    """All points, by a process for each core where their tables have many bytes."""
    count = min(len(cores()), len(points))
    if size < MANY or count < 2:
        return map(read, points)
    try:
        with ProcessPoolExecutor(count, get_context("spawn")) as pool:
            return list(pool.map(read, points))
    except BrokenProcessPool:  # a process was killed, for memory perhaps: one after the other needs less
        return map(read, points)


def _read_point(sweep: SweepFolder, point: SweepPoint) -> PointScores:
    status, run = sweep.status(point), sweep.run(point)
    try:
        lines, learnt = _scores(run)
        failures = [f"{cell.name} failed: {reason}" for cell, reason in run.failures().items()]
    except Misuse as error:
        return PointScores(point, note=f"cannot be read: {error}")
    note = " ".join(failures)
    if status != "finished":
        note = f"failed: {sweep.reason(point)}" if status == "failed" else NOTES[status]
    return PointScores(point, lines, learnt, note, read_curves(run.folder))


def _scores(run: RunFolder) -> tuple[tuple[ScoreLine, ...], float | None]:
    if not (run.folder / CONFIG).exists():
        return (), None
    quality = run.quality()
    return tuple(scorecard(table(run))), quality.learnt if quality else None


def write_scores(sweep: SweepFolder, scores: SweepTable) -> Path:
    """Write scores.csv, a tidy table; a value that is a list is in one column, with blanks."""
    path = sweep.folder / SCORES
    lines = [{name: entries(value) for name, value in line.items()} for line in scores.records()]
    write_text(path, as_csv(lines))
    return path


def entries(value: Value) -> Value:
    """A value as a cell of a table: a list with blanks between its entries, and commas inside them."""
    if not isinstance(value, tuple):
        return value
    parts = (",".join(map(str, part)) if isinstance(part, tuple) else str(part) for part in value)
    return " ".join(parts) or "none"
