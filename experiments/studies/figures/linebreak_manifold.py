"""Curves of the column, substitutions, past lines, heads, and what finetuning does to each. No jax."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import WIDTH, save, style
from experiments.scoring.column_use import use_lines
from experiments.scoring.curves import TESTS, CurveLine, curve_lines
from experiments.scoring.findings import Findings
from experiments.scoring.intervals import Estimate
from experiments.scoring.labels import METHODS, number, number_with_interval
from experiments.scoring.newline_code import newline_lines
from experiments.storage.contents import CurveCell
from experiments.storage.curve_cell import USED
from experiments.storage.run_folder import RunFolder

COLOURS = {"base": "#000000", "untrained": "0.6", "exact": "#CC79A7", "sgd": "#0072B2", "adam": "#D55E00"}
OTHERS_SHOWN = ("M4", "M6", "M8", "M9", "M11")  # tests of other networks than base ones in the table
OTHERS = ("#009E73", "#E69F00", "#56B4E9", "#CC79A7")
HIGH, ROWS, COLUMNS = 1.75, 3, 3  # inches of a row
CAPTION = (
    "Intervals of 95 % over base networks and D′; depth counts blocks; finetuned networks are those of the "
    "last dose. Above, of the mean stream by column: variance in principal components (dot: what the exact "
    "probabilities of newlines need for 95 %), mean cosine by lag, and R² of a helix beside random smooth "
    "curves of the same spectrum. Middle: slopes after the code of a column is replaced by another's (grey "
    "line: what Bayes says), shares of a newline's log-odds that statistics of past lines explain beyond the "
    "column, and the share of a head's cosines that depends on line length less column. Below: cosines of "
    "the best head of the first base network, and how far finetuning bends the curve and turns heads, each "
    "less what another order of D′ does."
)


@dataclass(frozen=True)
class Series:
    """A line of a panel: its name, and estimates at positions."""

    name: str
    at: Sequence[float]
    values: Sequence[Estimate]
    style: str = "-"


def draw_manifold(run: RunFolder) -> list[Path]:
    """The figure, and every line as a table."""
    lines = [*curve_lines(run), *use_lines(run), *newline_lines(run)]
    if not lines:
        return []
    cells = [run.read(cell) for cell in sorted(run.cells("inside"), key=lambda cell: cell.base)]
    with style():
        drawn = figure(lines, [cell for cell in cells if isinstance(cell, CurveCell)])
        return save(run, {run.study: drawn}, {run.study: [line.record() for line in lines]})


def figure(lines: Sequence[CurveLine], cells: Sequence[CurveCell]) -> Figure:
    """Three rows: the curve; what uses it; heads and finetuning."""
    drawn, axes = panels_of([line for line in lines if line.networks == "base"], ROWS)
    last = max(line.dose for line in lines)
    methods = list(dict.fromkeys(line.networks for line in lines if line.dose))

    def series(test: str, measure: str, networks: str, style_: str = "-", name: str = "") -> Series:
        chosen = [
            line
            for line in lines
            if (line.test, line.measure, line.networks) == (test, measure, networks)
            and line.dose in (0, last)
        ]
        at, values = [line.depth for line in chosen], [line.value for line in chosen]
        return Series(name or networks, at, values, style_)

    _profiles(
        axes[0], "variance in components", np.stack([cell.spectrum for cell in cells]), cells[0].depths, 1
    )
    axes[0].axhline(0.95, color="0.7", lw=0.8)
    axes[0].plot(float(cells[0].exact_dimension), 0.95, "o", color=COLOURS["exact"], ms=4)
    axes[0].set_xlabel("components", fontsize=6)
    _profiles(axes[1], "mean cosine by lag", np.stack([cell.by_lag for cell in cells]), cells[0].depths, 0)
    axes[1].axhline(0, color="0.7", lw=0.8)
    axes[1].set_xlabel("columns apart", fontsize=6)
    helix = [series("M2", "helix", "base"), series("M2", "surrogates", "base", ":", "random curves")]
    draw_lines(axes[2], "R² of a helix", [*helix, series("M2", "helix", "untrained")])
    axes[2].set_ylim(bottom=max(axes[2].get_ylim()[0], -0.5))
    dashes = {"exact": "-", "own": "--", "random": ":"}
    slopes = [series("M3", f"slope: {name}", "base", dash, name) for name, dash in dashes.items()]
    finetuned = [series("M3", "slope: own", method, "--", METHODS.get(method, method)) for method in methods]
    draw_lines(axes[3], "slope after substitution", [*slopes, *finetuned], 1.0)
    shown = ("exact", "base", *methods)
    _bars(axes[4], [[_only(lines, name, networks, last) for name in USED] for networks in shown], shown)
    twists = [
        series("M5", "share", "base"),
        series("M5", "rotations", "base", ":", "rotations"),
        series("M5", "raw", "base", "--", "raw stream"),
        series("M5", "share", "untrained"),
    ]
    draw_lines(axes[5], "share of line length − column", twists)
    _cosines(axes[6], cells[0])
    for axis, measure, title in (
        (axes[7], "bend beyond twin", "bend of the curve"),
        (axes[8], "turn beyond twin", "turn of heads"),
    ):
        draw_lines(
            axis,
            f"{title}, beyond twin",
            [series("M6", measure, method, name=METHODS.get(method, method)) for method in methods],
            0.0,
        )
    return drawn


def panels_of(lines: Sequence[CurveLine], rows: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many rows of panels, under D' and the number of networks that lines are of."""
    drawn = Figure(figsize=(WIDTH, 0.3 + HIGH * rows))
    count = max(line.count for line in lines)
    drawn.text(0.01, 1 - 0.16 / drawn.get_figheight(), f"{lines[0].data}, base networks: {count}", fontsize=8)
    return drawn, [_panel(drawn, index) for index in range(rows * COLUMNS)]


def make_room(axes: Axes) -> None:
    """Leave a third of a panel's height to its legend."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.5 * (high - low))


def _panel(drawn: Figure, index: int) -> Axes:
    """An axes of the grid, row by row from above."""
    row, column = divmod(index, COLUMNS)
    high = drawn.get_figheight()
    bottom = 1 - (0.3 + HIGH * (row + 1) - 0.42) / high
    axes = drawn.add_axes((0.07 + 0.325 * column, bottom, 0.25, (HIGH - 0.72) / high))
    axes.tick_params(labelsize=5.5)
    return axes


def _colour(name: str, index: int) -> str:
    key = next((key for key, label in METHODS.items() if label == name), name)
    return COLOURS.get(key, OTHERS[index % len(OTHERS)])


def draw_lines(axes: Axes, title: str, every: Sequence[Series], bayes: float | None = None) -> None:
    """Draw lines with their intervals."""
    axes.set_title(title, fontsize=6.5, pad=2)
    if bayes is not None:
        axes.axhline(bayes, color="0.7", lw=0.8, zorder=0)
    drawn = [series for series in every if series.values]
    for index, series in enumerate(drawn):
        at = np.asarray(series.at, float) + 0.06 * (index - (len(drawn) - 1) / 2)
        values = [value.value for value in series.values]
        ends = np.array([value.interval or (value.value, value.value) for value in series.values])
        colour = _colour(series.name, index)
        axes.plot(at, values, color=colour, ls=series.style, lw=0.9, marker="o", ms=2.4, label=series.name)
        axes.vlines(at, ends[:, 0], ends[:, 1], color=colour, lw=0.7)
    depths = sorted({int(depth) for series in drawn for depth in series.at})
    axes.set_xticks(depths)
    axes.set_xlabel("depth (blocks)", fontsize=6, labelpad=1)
    axes.legend(fontsize=4.5, handlelength=1.8, labelspacing=0.2, borderpad=0.1)


def _profiles(axes: Axes, title: str, profiles: np.ndarray, depths: np.ndarray, start: int) -> None:
    """Means (networks, l, x) over networks, a line a depth, and every network faintly."""
    axes.set_title(title, fontsize=6.5, pad=2)
    at = start + np.arange(profiles.shape[2])
    for row, depth in enumerate(depths.tolist()):
        colour = OTHERS[row % len(OTHERS)]
        axes.plot(at, profiles[:, row].T, color=colour, lw=0.3, alpha=0.5)
        axes.plot(at, profiles[:, row].mean(axis=0), color=colour, lw=1.1, label=f"depth {depth}")
    axes.legend(fontsize=4.5, handlelength=1.8, labelspacing=0.2, borderpad=0.1)


def _bars(axes: Axes, values: Sequence[Sequence[Estimate]], names: Sequence[str]) -> None:
    """Shares of statistics, a group a statistic."""
    axes.set_title("share of newline's log-odds", fontsize=6.5, pad=2)
    width = 0.8 / len(names)
    for index, (row, name) in enumerate(zip(values, names, strict=True)):
        at = np.arange(len(row)) + width * (index - (len(names) - 1) / 2)
        ends = np.array([value.interval or (value.value, value.value) for value in row])
        axes.bar(
            at,
            [value.value for value in row],
            width,
            color=_colour(name, index),
            label=METHODS.get(name, name),
        )
        axes.vlines(at, ends[:, 0], ends[:, 1], color="0.3", lw=0.7)
    axes.set_xticks(range(len(USED)), [*USED], rotation=25, ha="right", fontsize=5)
    axes.legend(fontsize=4.5, handlelength=1.0, labelspacing=0.2, borderpad=0.1)


def _cosines(axes: Axes, cell: CurveCell) -> None:
    """Cosines of the head that depends most on the difference, of all blocks after the first."""
    block = int(np.argmax(cell.base_twist[1:, 0])) + 1 if len(cell.base_twist) > 1 else 0
    axes.set_title(f"cosines of a head, block {block + 1}", fontsize=6.5, pad=2)
    extent = (cell.lengths[0] - 0.5, cell.lengths[-1] + 0.5, cell.columns[0] - 0.5, cell.columns[-1] + 0.5)
    axes.imshow(
        cell.cosines[block], origin="lower", aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, extent=extent
    )
    axes.set_xlabel("line length", fontsize=6, labelpad=1)
    axes.set_ylabel("column", fontsize=6, labelpad=1)


def _only(lines: Sequence[CurveLine], measure: str, networks: str, last: int) -> Estimate:
    """The share of a statistic of past lines."""
    return next(
        line.value
        for line in lines
        if (line.test, line.measure, line.networks) == ("M4", measure, networks) and line.dose in (0, last)
    )


def manifold_findings(run: RunFolder) -> Findings:
    """Counts of what is refuted, and a table of the base networks and of what finetuning moves."""
    lines = [*curve_lines(run), *use_lines(run), *newline_lines(run)]
    if not lines:
        return Findings(("Nothing is measured yet.",), (("test",),), CAPTION)
    last = max(line.dose for line in lines)
    shown = [
        line
        for line in sorted(lines, key=lambda line: [*TESTS].index(line.test))
        if line.dose in (0, last)
        and (line.networks == "base" or line.test in OTHERS_SHOWN)
        and (line.test != "M14" or line.bayes or line.measure.endswith("share of ceiling"))
    ]
    body = [
        (
            f"{line.test} {TESTS[line.test]}",
            METHODS.get(line.networks, line.networks),
            str(line.depth) if line.depth else "",
            line.measure,
            number_with_interval(line.value.value, line.value.interval),
            _says(line),
        )
        for line in shown
    ]
    header = ("test", "networks", "depth", "measure", "value", "Bayes")
    sentences = [_sentence([line for line in shown if line.bayes])]
    for part in (("M8", "M12"), ("M13", "M14")):
        if not any(line.test == part[0] for line in lines):
            sentences.append(
                f"Cells lack {part[0]} to {part[1]}, of which they were made before; --again measures them."
            )
    return Findings(tuple(sentences), (header, *body), CAPTION)


def _sentence(judged: Sequence[CurveLine]) -> str:
    """A sentence: so many statements are refuted, by test."""
    if all(line.value.interval is None for line in judged):
        return "With one base network nothing has an interval."
    counts = [
        f"{test} {name} {sum(line.refuted for line in judged if line.test == test)} of "
        f"{sum(line.test == test for line in judged)}"
        for test, name in TESTS.items()
        if any(line.test == test for line in judged)
    ]
    return (
        "By its whole interval, so many measures are off what a Bayesian network would have (over methods "
        f"and depths): {'; '.join(counts)}."
    )


def _says(line: CurveLine) -> str:
    if line.bayes is None:
        return ""
    low, high = line.bayes
    if low == high:
        return number(low)
    if np.isinf(high):
        return "> 0" if low == np.finfo(float).tiny else f"≥ {number(low)}"
    return f"≤ {number(high)}" if np.isinf(low) else f"{number(low)} to {number(high)}"
