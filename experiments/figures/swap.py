"""Shares of state and read-out in the shift against dose, a line a method.

    figures/STUDY-swap.png, .svg, .pdf, .csv    the judged group, a row for each D'

The shares are those of experiments.scoring.swap, and bands their intervals of 95 % by base networks × D'. A
method that moves one part alone is a control (1 and 0 by construction) and is dashed. The table has all
groups of contexts. Numpy and matplotlib only.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.figures.dose_panels import at_doses, dose_ticks, off_scale, select
from experiments.figures.looks import method_colours
from experiments.figures.style import Look, dose_axis, legend, panel_figure, save, style, titles
from experiments.scoring.labels import METHODS, UNCHANGED, judged_groups, panel_name, panels
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import ScoreLine
from experiments.storage.run_folder import RunFolder

SHARES = {"state_share": "state share", "read_out_share": "read-out share"}
BOTTOM, NEAR, TOP = -0.6, -0.1, 1.08  # the lower edge where a share is below NEAR, or else NEAR
EXACT = 0.002  # of 0 and 1: controls are so up to the rounding of a small shift
ROW, LINE, COLUMNS = 1.75, 0.14, 4  # inches of a row of panels and of a line of the legend; its columns
CONTROL: Look = {"ls": "--", "mfc": "white", "mew": 0.8}
MARKERS = "osD^vPXph<>*d8"


def draw_swap(run: RunFolder) -> list[Path]:
    """Draw whatever is finished; returns the files, none of cells made before there was a swap."""
    figures, tables = swap_figure(run.study, scorecard(table(run)))
    with style():
        return save(run, figures, tables) if figures else []


def swap_figure(
    study: str, lines: Sequence[ScoreLine]
) -> tuple[dict[str, Figure], dict[str, list[dict[str, object]]]]:
    """The figure and its table by their name, none where no share is known."""
    known = [line for line in lines if line.theory == UNCHANGED and line.state_share is not None]
    if not known:
        return {}, {}
    name = f"{study}-swap"
    with style():
        return {name: _figure(known)}, {name: [_record(line) for line in known]}


def _figure(lines: list[ScoreLine]) -> Figure:
    group = judged_groups(lines)[0]
    inside = [line for line in lines if line.group == group]
    every = panels(inside)
    methods, arms = (list(dict.fromkeys(panel[side] for panel in every)) for side in (0, 1))
    looks = _looks(methods, inside)
    values = [getattr(line, field) for line in inside for field in SHARES if getattr(line, field) is not None]
    bottom = BOTTOM if min(values) < NEAR else NEAR
    start = 0.4 + LINE * -(-len(methods) // COLUMNS)
    figure, grid = panel_figure(start, ROW * len(arms), len(arms), 2, below=0.4, wspace=0.08, hspace=0.3)
    legend(figure, {_label(*entry): entry[1] for entry in looks.items()}, COLUMNS)
    for row, arm in zip(grid, arms, strict=True):
        for axes, field in zip(row, SHARES, strict=True):
            doses, drawn = dose_ticks(axes, inside), []
            for edge in (0, 1):
                axes.axhline(edge, color="0.45", lw=0.6)
            axes.set_ylim(bottom, TOP)
            for method in methods:
                ours = select(inside, method, arm, group)
                values = at_doses(ours, field, doses)
                ends = {line.dose: getattr(line, f"{field}_interval") or (np.nan,) * 2 for line in ours}
                low, high = np.array([ends.get(dose, (np.nan,) * 2) for dose in doses], float).T
                axes.fill_between(doses, low, high, color=looks[method]["color"], alpha=0.11, lw=0)
                axes.plot(doses, values, **looks[method])
                drawn.append((values, looks[method]["color"]))
            off_scale(axes, doses, drawn, bottom, "v")
        row[0].set_ylabel(panel_name("", arm).removeprefix(", "))
    titles(grid[0], list(SHARES.values()))
    dose_axis(grid[-1])
    return figure


def _looks(methods: Sequence[str], lines: Sequence[ScoreLine]) -> dict[str, Look]:
    """The line of every method."""
    looks: dict[str, Look] = {}
    for index, (method, colour) in enumerate(method_colours(methods).items()):
        looks[method] = {"color": colour, "marker": MARKERS[index % len(MARKERS)], "ms": 3, "lw": 0.9}
        if is_control([line for line in lines if line.method == method]):
            looks[method] |= CONTROL
    return looks


def _label(method: str, look: Look) -> str:
    return METHODS.get(method, method) + " (control)" * ("ls" in look)


def is_control(lines: Sequence[ScoreLine]) -> bool:
    """Whether a method moves the read-out alone, or never: all of the shift is in one part at every dose."""
    pairs = np.array([(line.state_share, line.read_out_share) for line in lines], float)
    return any((np.abs(pairs - ends) < EXACT).all() for ends in ((0, 1), (1, 0)))


def _record(line: ScoreLine) -> dict[str, object]:
    """A line of the table."""
    columns = ("method", "data", "group", "dose", "shift", "networks")
    whole = line.record()
    ends = [f"{field}{end}" for field in SHARES for end in ("", "_low", "_high")]
    return {name: whole[name] for name in (*columns, *ends)}
