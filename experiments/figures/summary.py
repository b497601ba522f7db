"""The summary figure: the explained shift in the judged group against dose, one panel a way of finetuning."""

import math

from matplotlib.figure import Figure

from experiments.figures.dose_panels import DASHES, GRADES, REFERENCES, draw_explained, select, series
from experiments.figures.looks import rank
from experiments.figures.style import Drawing, Look, legend, marker_line, panels_grid
from experiments.scoring.labels import judged_groups, panel_name, panels
from experiments.storage.records import ScoreLine

NARROW, BODY, LINE = 5.4, 3.9, 0.135  # inches: width, height of all panels, a line of the legend
COLUMNS = 4  # of the legend


def draw_summary(lines: list[ScoreLine], mixtures: frozenset[str]) -> Figure:
    """Draw it; `mixtures` are the theories whose class is any mixture of hypotheses."""
    every, group = panels(lines), judged_groups(lines)[0]
    across = math.ceil(math.sqrt(len(every)))
    down = -(-len(every) // across)
    looks = _looks(lines)
    start = 0.3 + LINE * -(-len(looks) // COLUMNS)
    figure = Drawing(figsize=(NARROW, start + BODY + 0.35))
    legend(figure, looks, COLUMNS)
    grid = panels_grid(figure, start, BODY, down, across, wspace=0.08, hspace=0.14 + 0.07 * down)
    grid = grid.subplots(squeeze=False, sharex=False, sharey=True)
    for axes in grid.flat[len(every) :]:
        axes.remove()
    for index, (axes, (method, data)) in enumerate(zip(grid.flat, every, strict=False)):
        draw_explained(axes, select(lines, method, data, group), mixtures)
        name = panel_name(method, data)
        axes.set_title(name if across < 3 else name.replace(", D′ on ", ", "))
        if index + across >= len(every):
            axes.set_xlabel("dose (steps)")
        else:
            axes.tick_params(labelbottom=False)
    for axes in grid[:, 0]:
        axes.set_ylabel("explained")
    return figure


def _looks(lines: list[ScoreLine]) -> dict[str, Look]:
    names = sorted({theory for theory, _, _ in series(lines)}, key=rank)
    return {
        **{name.replace("-", " "): marker_line(name) for name in names},
        "fitted": {"color": "0.45", "marker": "o", **GRADES["fitted"]},
        "forecast": {"color": "0.45", "marker": "o", **GRADES["forecast"]},
        "best mixture": {"color": "black", "ls": DASHES["best_in_class"], "lw": 0.9},
        "another seed": {"color": "0.45", "ls": DASHES["other_base"], "lw": 0.9},
        **REFERENCES,
        "order-blind bound": {"color": "0.8", "lw": 5},
    }
