"""Rows of small panels, each a few lines of estimates with their intervals. Matplotlib only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.looks import METHOD_INKS
from experiments.figures.style import WIDTH, save, style
from experiments.scoring.intervals import Estimate
from experiments.scoring.measure_line import MeasureLine
from experiments.storage.run_folder import RunFolder

TALL, TOP = 1.25, 0.45  # inches: a row, above the first
COLOURS = {"": "#000000", "sgd": METHOD_INKS["sgd"], "adam": METHOD_INKS["adam"]}
OTHERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
POINTS = {"": "o", "up": "^", "down": "v"}  # styles without a line
MARKERS = {"-": "o", "--": "s", ":": "^", "-.": "D"} | POINTS
NAME = 0.14  # of a panel's height: a line of its legend
LONG = 22  # characters of a name that has a line of the legend to itself


@dataclass(frozen=True)
class Series:
    """Points of one line: positions, estimates, label, colour and style (of a line, or of points alone)."""

    label: str
    at: Sequence[float]
    values: Sequence[Estimate]
    colour: str
    style: str = "-"


@dataclass(frozen=True)
class Panel:
    """A panel: its title, what Bayes says, its lines, and names of positions along the axis."""

    title: str
    series: Sequence[Series]
    bayes: float | None = None
    ticks: Sequence[str] = ()
    axis: str = "depth (blocks)"


def draw_measured(
    run: RunFolder, lines: Sequence[MeasureLine], figure: Callable[[Sequence[MeasureLine]], Figure]
) -> list[Path]:
    """Save a figure of lines under the study's name, and every line as a table; nothing without lines."""
    if not lines:
        return []
    with style():
        return save(run, {run.study: figure(lines)}, {run.study: [line.record() for line in lines]})


def panel_rows(title: str, rows: Mapping[str, Sequence[Panel]]) -> Figure:
    """A figure with a row for each name, of at most three panels."""
    drawn = Figure(figsize=(WIDTH, TOP + TALL * len(rows)))
    high = drawn.get_figheight()
    drawn.text(0.01, 1 - 0.16 / high, title, fontsize=8)
    for row, (name, panels) in enumerate(rows.items()):
        bottom = 1 - (TOP + TALL * (row + 1) - 0.35) / high
        head = bottom + (TALL - 0.38) / high
        drawn.text(0.008, head, name, fontsize=6.5, fontweight="bold", va="top")
        for column, panel in enumerate(panels):
            box = (0.15 + 0.29 * column, bottom, 0.22, (TALL - 0.55) / high)
            _panel(drawn.add_axes(box), panel)
    return drawn


def _panel(axes: Axes, panel: Panel) -> None:
    """Draw lines with their intervals."""
    axes.set_title(panel.title, fontsize=6.5, pad=2)
    if panel.bayes is not None:
        axes.axhline(panel.bayes, color="0.7", lw=0.8, zorder=0)
    drawn = [series for series in panel.series if series.values]
    for index, series in enumerate(drawn):
        at = np.asarray(series.at, float) + 0.06 * (index - (len(drawn) - 1) / 2)
        values = np.array([value.value for value in series.values])
        ends = np.array([value.interval or (value.value, value.value) for value in series.values])
        line = {"color": series.colour, "ls": "none" if series.style in POINTS else series.style, "lw": 0.9}
        line |= {"marker": MARKERS[series.style], "ms": 2.4}
        axes.plot(at, values, label=series.label, **line)
        axes.vlines(at, ends[:, 0], ends[:, 1], color=series.colour, lw=0.7)
    if panel.ticks:
        is_short = len(panel.ticks) <= 3  # then names have room side by side
        turned = {} if is_short else {"rotation": 30, "ha": "right"}
        axes.set_xticks(range(len(panel.ticks)), [*panel.ticks], fontsize=5, **turned)
        axes.set_xlim(-0.5, len(panel.ticks) - 0.5)
    else:
        depths = sorted({int(depth) for series in panel.series for depth in series.at})
        axes.set_xticks(depths)
        axes.set_xlim(min(depths, default=0) - 0.4, max(depths, default=0) + 0.4)
    axes.set_xlabel(panel.axis, fontsize=5.5, labelpad=1)
    axes.tick_params(labelsize=5.5)
    labels = [series.label for series in drawn if not series.label.startswith("_")]
    if labels not in ([], ["base"]):
        _legend_above(axes, labels)


def _legend_above(axes: Axes, labels: Sequence[str]) -> None:
    """Raise the top of a panel for its legend, which so covers no point and no interval."""
    columns = 1 if max(map(len, labels)) > LONG else 2
    low, high = axes.get_ylim()
    axes.set_ylim(low, low + (high - low) / (1 - NAME * ceil(len(labels) / columns)))
    room = {"handlelength": 1.6, "labelspacing": 0.2, "borderpad": 0.1, "borderaxespad": 0.1}
    axes.legend(fontsize=4.5, ncols=columns, columnspacing=1.0, loc="upper left", **room)
