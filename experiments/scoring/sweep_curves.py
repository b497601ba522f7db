"""Curves of a study's own figures over a sweep: a number that no scorecard has, at every point. No jax.

Every run writes what its figures show into tables (experiments.figures.curves): a point of a curve is a mean
over networks with its interval, by row and column of its panel, name (`who`) and position (`at`). A curve is
chosen by the name of its row, which gives a panel for each column and a line for each `who`, or by its `who`,
which gives a panel for each row and a line for each column.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER = ["row", "column", "who", "at", "mean", "low", "high", "networks"]
FIRST, LAST = "first", "last"


@dataclass(frozen=True)
class CurvePoint:
    """A mean over networks, with the ends of its interval where there is one, at a position of a curve."""

    row: str
    column: str
    curve: str
    at: str
    mean: float
    interval: tuple[float, float] | None

    def seen_as(self, name: str) -> tuple[str, str] | None:
        """The title of its panel and the name of its line under a curve's name; None where it is another."""
        if self.row == name:
            return self.column, self.curve
        return (self.row, self.column) if self.curve == name else None


def read_curves(folder: Path) -> tuple[CurvePoint, ...]:
    """The points of all curves in the tables of a run's folder; other tables are left out."""
    return tuple(point for path in sorted((folder / "figures").glob("*.csv")) for point in _points(path))


def _points(path: Path) -> Iterator[CurvePoint]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != HEADER:
            return
        for line in reader:
            if line["mean"]:
                ends = (float(line["low"]), float(line["high"])) if line["low"] and line["high"] else None
                row, column, curve, at = (line[name] for name in HEADER[:4])
                yield CurvePoint(row, column, curve, at, float(line["mean"]), ends)


def curve_names(points: Sequence[CurvePoint]) -> list[str]:
    """The names that choose a curve."""
    return sorted({name for point in points for name in (point.row, point.curve)})


def curve_points(points: Sequence[CurvePoint], name: str, dose: str) -> Iterator[tuple[str, str, CurvePoint]]:
    """Panel, line and point of every curve of a name, at its first or last position or at a given one.

    A curve of one position, like a comparison at one narrow rate, has that at any dose.
    """
    curves: dict[tuple[str, str], list[CurvePoint]] = {}
    for point in points:
        if seen := point.seen_as(name):
            curves.setdefault(seen, []).append(point)
    for (panel, line), along in curves.items():
        if len(along) == 1:
            yield panel, line, along[0]
            continue
        chosen = {FIRST: along[:1], LAST: along[-1:]}.get(dose)
        for point in [point for point in along if point.at == dose] if chosen is None else chosen:
            yield f"{panel}, at {point.at}", line, point
