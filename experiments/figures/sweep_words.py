"""The common part of figures of a sweep: titles, names of series, notes below. Matplotlib only."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.looks import rank
from experiments.scoring.sweep_panels import COLUMNS, CURVE, SHARES, Choice, Series
from experiments.scoring.sweep_table import SweepTable

TITLES = {
    "explained": "explained part of the shift",
    "shift": "shift (nats)",
    "nats": "mean KL from the theory (nats)",
    "base_error": "error of the base networks (nats)",
    "beta": "β, in each theory's own unit",
    "learnt": "share of inference learnt",
    "over_null": "explained beyond the best null",
}
WIDE_RANGE = 30.0  # of positive numbers, largest by smallest: from here on their scale is logarithmic
MOST = 6  # points with a note
NOTE = 0.1  # inches: a line of notes


def spread(numbers: Sequence[float]) -> float:
    """The largest of positive numbers by the smallest; 0 where one is not positive."""
    finite = [number for number in numbers if np.isfinite(number)]
    return max(finite) / min(finite) if finite and min(finite) > 0 else 0.0


def series_rank(series: Series) -> tuple[bool, tuple[int, str]]:
    """The order of legends: forecasts last."""
    return series[1] == "forecast", rank(series[0])


def series_name(series: Series) -> str:
    """A theory and its grade in words."""
    name, grade = series
    return name if grade == CURVE else f"{name.replace('-', ' ')}, {grade}"


def heading(figure: Figure, choice: Choice, axes: Sequence[str]) -> None:
    """Write the title of a figure: its number, contexts, dose and axes."""
    dose = {"last": "the last dose", "first": "the first dose"}.get(choice.dose, f"dose {choice.dose}")
    title = TITLES.get(choice.column, choice.column.replace("_", " "))
    where = f" on {choice.group.replace('_', '-')} contexts at {dose}"
    if choice.column == "learnt" or choice.column not in COLUMNS:
        where = ""
    text = f"{title[:1].upper()}{title[1:]}{where}, by {' and '.join(axes)}"
    figure.text(0.02, 1 - 0.16 / figure.get_figheight(), text, fontsize=8)


def short_title(column: str) -> str:
    """A column as the name of an axis."""
    return column.replace("_", " ") if column in SHARES else TITLES.get(column, column.replace("_", " "))


def notes_of(scores: SweepTable) -> list[str]:
    """The reasons why points are missing, in lines; of many, the first."""
    notes = scores.notes()
    lines = [line for note in notes[:MOST] for line in textwrap.wrap(note, 165)[:2]]
    return [*lines, *[f"... and {len(notes) - MOST} more points"] * (len(notes) > MOST)]


def write_notes(figure: Figure, notes: list[str]) -> None:
    """Write notes at the foot."""
    high = figure.get_figheight()
    for index, note in enumerate(reversed(notes)):
        figure.text(0.02, (0.04 + NOTE * index) / high, note, fontsize=5.8, color="0.25")
