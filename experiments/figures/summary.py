"""The summary figure: the explained shift in the judged group against dose, one panel a way of finetuning."""

import math

from matplotlib.figure import Figure

from experiments.figures.dose_panels import BEST_NULL, BEYOND, DASHES, GRADES, draw_explained, select, series
from experiments.figures.leading import Curve, leading
from experiments.figures.looks import rank
from experiments.figures.style import Drawing, Look, legend, marker_line, panels_grid
from experiments.scoring.labels import judged_groups, panel_name, panels
from experiments.storage.records import ScoreLine

NARROW, BODY, LINE = 5.4, 3.9, 0.135  # inches: width, height of all panels, a line of the legend
COLUMNS = 3  # of the legend


def draw_summary(lines: list[ScoreLine], mixtures: frozenset[str]) -> Figure:
    """Draw it; `mixtures` are the theories whose class is any mixture of hypotheses."""
    every, group = panels(lines), judged_groups(lines)[0]
    across = math.ceil(math.sqrt(len(every)))
    down = -(-len(every) // across)
    full = leading([line for line in lines if line.group == group])
    looks = _looks(lines, full)
    start = 0.3 + LINE * -(-len(looks) // COLUMNS)
    figure = Drawing(figsize=(NARROW, start + BODY + 0.35))
    legend(figure, looks, COLUMNS)
    grid = panels_grid(figure, start, BODY, down, across, wspace=0.08, hspace=0.14 + 0.07 * down)
    grid = grid.subplots(squeeze=False, sharex=False, sharey=True)
    for axes in grid.flat[len(every) :]:
        axes.remove()
    for index, (axes, (method, data)) in enumerate(zip(grid.flat, every, strict=False)):
        draw_explained(axes, select(lines, method, data, group), mixtures, full)
        name = panel_name(method, data)
        axes.set_title(name if across < 3 else name.replace(", D′ on ", ", "))
        if index + across >= len(every):
            axes.set_xlabel("dose (steps)")
        else:
            axes.tick_params(labelbottom=False)
    for axes in grid[:, 0]:
        axes.set_ylabel("explained")
    return figure


def _looks(lines: list[ScoreLine], full: frozenset[Curve]) -> dict[str, Look]:
    curves = sorted({curve[:2] for curve in series(lines)}, key=lambda curve: (rank(curve[0]), curve[1]))
    others: dict[str, Look] = {"other theories": {"color": "0.6", "lw": 0.6}}
    return {
        **{
            f"{theory.replace('-', ' ')}, {grade}": marker_line(theory) | GRADES[grade]
            for theory, grade in curves
            if (theory, grade) in full
        },
        **(others if len(curves) > len(full) else {}),
        "best mixture": {"color": "black", "ls": DASHES["best_in_class"], "lw": 0.9},
        "best null": BEST_NULL,
        "order-blind bound": BEYOND,
    }
