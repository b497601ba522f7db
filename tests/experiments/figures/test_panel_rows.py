"""Rows of panels: a legend has room of its own."""

import numpy as np
import pytest

from experiments.figures.panel_rows import Panel, Series, panel_rows
from experiments.figures.style import style
from experiments.scoring.intervals import Estimate


@pytest.mark.parametrize("names", [("SGD", "Adam"), ("SGD towards", "SGD away", "Adam towards", "Adam away")])
def test_a_legend_covers_no_interval(names):
    places = range(3)
    values = [Estimate(float(place), 0.1, (place - 1.0, place + 1.0)) for place in places]
    panel = Panel("shift", [Series(name, places, values, "k", "up") for name in names], ticks="abc", axis="")
    with style():
        drawn = panel_rows("world", {"row": [panel]})
        drawn.canvas.draw()
    (axes,) = drawn.axes
    bottom = axes.get_legend().get_window_extent().y0
    tops = [path.vertices[:, 1].max() for lines in axes.collections for path in lines.get_paths()]
    assert max(tops) == 3 and axes.transData.transform((0, np.max(tops)))[1] < bottom
