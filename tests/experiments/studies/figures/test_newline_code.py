"""The figure of the newline's code: three panels, every statement of which is a line that was measured."""

import numpy as np

from experiments.scoring.curves import CurveLine
from experiments.scoring.intervals import Estimate
from experiments.storage.newline_code import RANKED_BY
from experiments.studies.figures import newline_code as drawing


def line(test, measure, depth=1, value=1.0, networks="base"):
    estimate = Estimate(value, 0.1, (value - 0.2, value + 0.2))
    return CurveLine("narrowest", test, measure, networks, 0, depth, estimate, 8)


LINES = [
    line("M13", "heads: comparison", 0, 0.9),  # of all blocks: no point of the panel
    *(line("M13", "heads: comparison", depth, 0.1 * depth) for depth in (1, 2)),
    *(line("M13", "perceptron: comparison", depth, 0.3 * depth) for depth in (1, 2)),
    line("M13", "heads: log-odds", value=0.7),
    line("M13", "heads: probability", value=0.6),
    *(line("M14", f"within 3, early: {name}", value=0.5 + 0.05 * at) for at, name in enumerate(RANKED_BY)),
]


def test_panels_show_what_was_measured():
    drawn = drawing.figure(LINES)
    assert len(drawn.axes) == 3
    values = [[list(part.get_ydata()) for part in axes.get_lines()] for axes in drawn.axes]
    assert [0.1, 0.2] in values[0] and any(np.allclose(part, [0.3, 0.6]) for part in values[0])
    assert [0.7] in values[1] and [0.6] in values[1]
    assert any(np.allclose(part, 0.7) for part in values[2])  # the ceiling
    labels = [text.get_text() for text in drawn.axes[2].get_legend().get_texts()]
    assert labels == [name for name in RANKED_BY if name != "exact"]


def test_a_run_without_these_measures_has_no_figure(monkeypatch):
    monkeypatch.setattr(drawing, "newline_lines", lambda run: [])
    assert drawing.draw_newline(None) == []
