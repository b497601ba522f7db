"""The figures of a sweep: a number of the scores along one axis as lines, or over two as heat maps.

    FOLDER/figures/COLUMN-by-AXIS.png, .svg, .pdf      lines with intervals of 95 %, a panel a method and D'
    FOLDER/figures/COLUMN-by-AXIS-AXIS.png, ...        heat maps, a row a theory

Full lines are fitted, dashed ones with open markers are forecasts; the broad pale line is the best null.
Where a run failed or is missing there is a hatched gap, and a note below says why. An axis whose values are
spaced by ratios is logarithmic; one of words has its values side by side. Numpy and matplotlib only.
"""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.dose_panels import BEST_NULL, BOTTOM, GRADES, TOP, explained_axis, off_scale
from experiments.figures.style import (
    ABREAST,
    FORMATS,
    WIDTH,
    Drawing,
    Look,
    legend,
    marker_line,
    panels_grid,
    save_figure,
    style,
)
from experiments.figures.sweep_map import draw_maps
from experiments.figures.sweep_words import (
    NOTE,
    WIDE_RANGE,
    heading,
    notes_of,
    series_name,
    series_rank,
    short_title,
    spread,
    write_notes,
)
from experiments.scoring.labels import UNCHANGED
from experiments.scoring.sweep_panels import (
    SHARES,
    At,
    Choice,
    Panel,
    Series,
    axis_values,
    is_geometric,
    is_numeric,
    label,
    plotted_axes,
    settled,
    sweep_panels,
)
from experiments.scoring.sweep_table import SweepTable
from experiments.storage.records import Interval
from experiments.storage.sweep_folder import SweepFolder, Value
from theory.errors import Misuse

TALL, ALONE = 1.45, 2.2  # inches: a row of panels, the only one
MISSING = "no run"


def draw_sweep(sweep: SweepFolder, scores: SweepTable, choice: Choice, by: Sequence[str] = ()) -> list[Path]:
    """Draw every figure of a choice; returns the files written."""
    paths, column = [], re.sub(r"[^\w-]+", "-", choice.column)
    for axes in plotted_axes(scores.record, by):
        names = "-".join(name.rpartition(".")[2] for name in axes)
        with style():
            drawn = sweep_figure(scores, choice, axes)
            for kind in FORMATS:
                paths.append(sweep.folder / "figures" / f"{column}-by-{names}.{kind}")
                save_figure(paths[-1], drawn)
    return paths


def sweep_figure(scores: SweepTable, choice: Choice, axes: Sequence[str]) -> Figure:
    """The figure of a choice along one axis, or over two."""
    choice = settled(scores, choice)
    panels = sweep_panels(scores, choice, axes)
    if not any(panel.numbers for panel in panels):
        raise Misuse(
            f"No point has a number in the column {choice.column} of these theories, contexts and dose; "
            "choose another --theory, --group or --dose."
        )
    values = [axis_values(scores.record, name) for name in axes]
    if len(axes) == 1:
        return _lines(scores, choice, panels, axes[0], values[0])
    return draw_maps(scores, choice, panels, (axes[0], axes[1]), (values[0], values[1]))


def _lines(scores: SweepTable, choice: Choice, panels: list[Panel], axis: str, values: list[Value]) -> Figure:
    looks = _looks(choice, panels)
    across = len(panels) if len(panels) <= ABREAST else ABREAST - 1
    down, notes = -(-len(panels) // across), notes_of(scores)
    tall = TALL * down if down > 1 else ALONE
    start = 0.62 + 0.135 * -(-len(looks) // ABREAST)
    figure = Drawing(figsize=(WIDTH, start + tall + 0.5 + NOTE * len(notes)))
    heading(figure, choice, [axis])
    _legend(figure, looks)
    grid = panels_grid(figure, start, tall, down, across, wspace=0.1, hspace=0.35)
    every = grid.subplots(squeeze=False, sharex=True, sharey=True)
    positions = _positions(values)
    for index, (axes, panel) in enumerate(zip(every.flat, panels, strict=False)):
        axes.set_title("\n".join(textwrap.wrap(panel.title, 150 // across)))
        _draw_lines(axes, choice, panel, values, positions)
        if index + across >= len(panels):
            axes.set_xlabel(axis)
            axes.tick_params(labelbottom=True)
    for axes in every.flat[len(panels) :]:
        axes.remove()
    for axes in every[:, 0]:
        axes.set_ylabel(short_title(choice.column))
    write_notes(figure, notes)
    return figure


def _draw_lines(axes: Axes, choice: Choice, panel: Panel, values: list[Value], positions: np.ndarray) -> None:
    shares, drawn = choice.column in SHARES, []
    joined = is_numeric(values)
    if shares:
        explained_axis(axes)
    if choice.column == "explained":
        null = np.array([panel.best_null.get((value,), np.nan) for value in values])
        axes.plot(positions, np.minimum(null, TOP), **BEST_NULL, ls="-" if joined else "", zorder=1)
        alone = _alone(null) if joined else np.isfinite(null)
        mark: Look = {"color": BEST_NULL["color"], "alpha": BEST_NULL["alpha"], "ls": ""}
        axes.plot(positions[alone], np.minimum(null, TOP)[alone], "_", ms=9, mew=2.6, zorder=1, **mark)
        drawn.append((null, BEST_NULL["color"]))
    for series in sorted(panel.numbers, key=series_rank):
        look: Look = _look(series) if joined else {**_look(series), "ls": ""}
        numbers = np.array([panel.numbers[series].get((value,), np.nan) for value in values], float)
        shown = np.minimum(numbers, TOP) if shares else numbers
        axes.plot(positions, shown, **look)
        low, high = _ends(choice, panel.intervals.get(series, {}), values)
        if joined:
            axes.fill_between(positions, low, high, color=look["color"], alpha=0.11, lw=0)
        axes.vlines(positions, low, high, color=look["color"], lw=0.7, alpha=0.6)
        drawn.append((numbers, look["color"]))
    if shares:
        off_scale(axes, positions.tolist(), drawn, BOTTOM, "v")
    elif spread([number for numbers, _ in drawn for number in numbers]) > WIDE_RANGE:
        axes.set_yscale("log")
    _value_axis(axes, values, positions)
    _hatch_gaps(axes, panel, values, positions)


def _alone(numbers: np.ndarray) -> np.ndarray:
    """Numbers without neighbours, to which a line would lead."""
    there = np.concatenate([[False], np.isfinite(numbers), [False]])
    return there[1:-1] & ~there[:-2] & ~there[2:]


def _ends(
    choice: Choice, intervals: dict[At, Interval], values: list[Value]
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of intervals at every value; nan without one."""
    pairs = np.array([intervals.get((value,), (np.nan, np.nan)) for value in values])
    if choice.column in SHARES:
        pairs = np.clip(pairs, BOTTOM - 1, TOP)
    return pairs[:, 0], pairs[:, 1]


def _positions(values: list[Value]) -> np.ndarray:
    return np.array(values if is_numeric(values) else range(len(values)), float)


def _value_axis(axes: Axes, values: list[Value], positions: np.ndarray) -> None:
    """The axis of a sweep: its values are its ticks, at distances that they tell."""
    if is_geometric(values):
        axes.set_xscale("log")
        wide = (positions[-1] / positions[0]) ** (0.5 / len(values))
        axes.set_xlim(positions[0] / wide, positions[-1] * wide)
    else:
        wide = (positions[-1] - positions[0] or 1.0) * 0.5 / len(values)
        axes.set_xlim(positions[0] - wide, positions[-1] + wide)
    names = [label(value) for value in values]
    axes.set_xticks(positions, _thinned(axes, names))
    axes.minorticks_off()


def _thinned(axes: Axes, names: list[str]) -> list[str]:
    """As many names as there is room for, the last among them; long ones in lines."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    room = axes.get_position().width * figure.get_figwidth() / len(names)
    letters = max(int(room / 0.062), 1)
    if any(len(name) > letters and " " in name for name in names):
        return [name.replace(" ", "\n") for name in names]
    every = -(-max(map(len, names)) // letters)
    return [name if (len(names) - 1 - index) % every == 0 else "" for index, name in enumerate(names)]


def _hatch_gaps(axes: Axes, panel: Panel, values: list[Value], positions: np.ndarray) -> None:
    """Hatch the values without a number: no run has been finished there, or its score is undefined."""
    numbers = {at for series in panel.numbers.values() for at in series}
    scale = np.log if axes.get_xscale() == "log" else np.array
    inverse = np.exp if axes.get_xscale() == "log" else np.array
    low, high = scale(np.array(axes.get_xlim()))
    centres = scale(positions)
    edges = np.concatenate([[low], (centres[1:] + centres[:-1]) / 2, [high]])
    for index, value in enumerate(values):
        if (value,) in numbers:
            continue
        left, right = inverse(edges[index : index + 2])
        axes.axvspan(left, right, fc="white", ec="0.75", hatch="/////", lw=0, zorder=3)
        words = "undefined" if (value,) in panel.scored else MISSING
        box = {"fc": "white", "ec": "none", "pad": 1}
        centre = {"rotation": 90, "ha": "center", "va": "center", "color": "0.3", "zorder": 4}
        axes.text(positions[index], 0.5, words, transform=axes.get_xaxis_transform(), bbox=box, **centre)


def _look(series: Series) -> Look:
    theory, grade = series
    if theory == UNCHANGED:  # a number of the panel, not of a theory
        return {"color": "black", "marker": "o", "ls": "-"}
    return {**marker_line(theory), **GRADES.get(grade, {})}


def _looks(choice: Choice, panels: list[Panel]) -> dict[str, Look]:
    series = sorted({key for panel in panels for key in panel.numbers}, key=series_rank)
    looks = {series_name(key): _look(key) for key in series if key[0] != UNCHANGED}
    return looks | ({"best null": BEST_NULL} if choice.column == "explained" else {})


def _legend(figure: Figure, looks: dict[str, Look]) -> None:
    if looks:
        legend(figure, looks, ABREAST)
        figure.legends[0].set_bbox_to_anchor((0.5, 1 - 0.22 / figure.get_figheight()))
