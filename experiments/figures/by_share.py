"""Scores against the share of D' that the networks had learnt, where a dose says nothing by itself.

    figures/STUDY-by-share.png, .svg, .pdf, .csv    the judged group, a panel for each method and D'

The share is that of experiments.scoring.learnt: 0 is the base network, 1 the hypothesis under which D' is
most likely; networks that remember documents pass it. Points are doses. The table
has a line for each theory (nulls included) and dose. Numpy and matplotlib only.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.dose_panels import (
    BOTTOM,
    GRADES,
    REFERENCES,
    TOP,
    at_doses,
    draw_intervals,
    draw_references,
    explained_axis,
    intervals,
    off_scale,
    select,
    series,
)
from experiments.figures.looks import rank
from experiments.figures.style import WIDTH, legend, marker_line, panels_grid, save, style
from experiments.scoring.labels import judged_groups, panel_name, panels
from experiments.scoring.learnt import learnt
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import ScoreLine
from experiments.storage.run_folder import RunFolder

ABREAST, TALL, GAP, START = 2, 2.3, 0.6, 0.55  # panels side by side; inches of them, below and above them
COLUMNS = ("method", "data", "group", "dose", "theory", "prior", "grade", "explained", "shift")


def draw_by_share(run: RunFolder) -> list[Path]:
    """Draw whatever is finished; returns the files, none where no share of D' is known."""
    lines = [line for line in scorecard(table(run)) if line.grade != "law"]
    shares = {
        (entry.method, entry.data): dict(zip(entry.doses, map(float, known), strict=True))
        for entry in learnt(run)
        if len(known := [share for share in entry.networks if share is not None]) == len(entry.doses)
    }
    every = [panel for panel in panels(lines) if panel in shares]
    if not every:
        return []
    group = judged_groups(lines)[0]
    parts = {panel: select(lines, *panel, group) for panel in every}
    name = f"{run.study}-by-share"
    with style():
        figures = {name: _figure(parts, shares)}
        return save(run, figures, {name: _table(parts, shares)})


Panels = dict[tuple[str, str], list[ScoreLine]]
Shares = dict[tuple[str, str], dict[int, float]]  # share of D' learnt, by panel and dose


def _figure(parts: Panels, shares: Shares) -> Figure:
    down = -(-len(parts) // ABREAST)
    figure = Figure(figsize=(WIDTH, START + down * (TALL + GAP)))
    theories = {theory for lines in parts.values() for theory, _, _ in series(lines)}
    looks = {theory.replace("-", " "): marker_line(theory) for theory in sorted(theories, key=rank)}
    legend(figure, looks | REFERENCES, 5)
    tall = down * TALL + (down - 1) * GAP
    grid = panels_grid(figure, START, tall, down, min(ABREAST, len(parts)), wspace=0.12, hspace=0.5)
    grid = grid.subplots(squeeze=False, sharey=True)
    for axes in grid.flat[len(parts) :]:
        axes.remove()
    for axes, (panel, lines) in zip(grid.flat, parts.items(), strict=False):
        axes.set_title(panel_name(*panel))
        axes.set_xlabel("share of D′ learnt")
        _draw(axes, lines, shares[panel])
    for axes in grid[:, 0]:
        axes.set_ylabel("explained")
    return figure


def _draw(axes: Axes, lines: list[ScoreLine], shares: dict[int, float]) -> None:
    """Draw the scores of one panel; a value below the axis leaves a triangle."""
    doses = sorted({line.dose for line in lines})
    at = np.array([shares[dose] for dose in doses])
    explained_axis(axes)
    drawn = [(values, colour) for _, colour, values in draw_references(axes, at, lines)]
    curves = series(lines)
    for index, (theory, grade, curve) in enumerate(curves):
        line, values = marker_line(theory), at_doses(curve, "explained", doses)
        draw_intervals(axes, at, intervals(curve, doses), line["color"], index - len(curves) // 2)
        axes.plot(at, np.minimum(values, TOP), **line, **GRADES[grade])
        drawn.append((values, line["color"]))
    off_scale(axes, at.tolist(), drawn, BOTTOM, "v")


def _table(parts: Panels, shares: Shares) -> list[dict[str, object]]:
    """A line for each theory and dose, with the share of D' learnt."""
    records = []
    for panel, lines in parts.items():
        for line in lines:
            low, high = line.interval or (None, None)
            record: dict[str, object] = {name: getattr(line, name) for name in COLUMNS}
            record |= {"interval_low": low, "interval_high": high}
            records.append(record | {"data_learnt": f"{shares[panel][line.dose]:.4f}"})
    return records
