"""The figure of the column's use: six panels, every statement of which is a line that was measured."""

import numpy as np

from experiments.scoring.curves import CurveLine
from experiments.scoring.intervals import Estimate
from experiments.storage.column_use import AT_NEWLINES
from experiments.studies.figures import column_use as drawing


def line(test, measure, networks="base", depth=1, value=1.0):
    estimate = Estimate(value, 0.1, (value - 0.2, value + 0.2))
    return CurveLine("narrowest", test, measure, networks, 0, depth, estimate, 8)


LINES = [
    *(line("M8", "classes", depth=depth, value=3.0 - depth) for depth in range(3)),
    *(line("M9", f"column, {where}") for where in ("at newlines", "elsewhere")),
    *(line("M9", f"without column, {where}", "exact", 0, 0.25) for where in ("at newlines", "elsewhere")),
    line("M10", "all heads, newline", value=0.5),
    line("M11", "apart", value=4.0),
    *(line("M12", f"{name}, beyond others", value=0.1 * at) for at, name in enumerate(AT_NEWLINES)),
]


def test_panels_show_what_was_measured():
    drawn = drawing.figure(LINES)
    assert len(drawn.axes) == 6
    values = [[list(part.get_ydata()) for part in axes.get_lines()] for axes in drawn.axes]
    assert [3.0, 2.0, 1.0] in values[0]
    assert [1.0] in values[1] and any(np.allclose(part, 0.25) for part in values[1])  # the exact process
    assert [0.5] in values[3] and [4.0] in values[4]
    labels = [text.get_text() for text in drawn.axes[5].get_legend().get_texts()]
    assert labels == [*AT_NEWLINES]


def test_a_run_without_these_measures_has_no_figure(monkeypatch):
    monkeypatch.setattr(drawing, "use_lines", lambda run: [])
    assert drawing.draw_use(None) == []
