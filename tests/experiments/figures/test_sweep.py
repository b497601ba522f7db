"""The figures of a sweep show the numbers of its table, gaps where there are none, and why."""

import numpy as np
import pytest

from experiments.figures import style as styles
from experiments.figures import sweep as figures
from experiments.figures.style import style
from experiments.scoring.sweep_panels import Choice
from experiments.scoring.sweep_table import read_sweep
from theory.errors import Misuse


def shares(values):
    style = values.get("process.style", 1.0)
    if style == 2:
        return "Pretraining diverged by step 50."
    return {"linearised": 0.8, "tempered-posterior": 0.9 - style, "answer-bias": 0.25}


@pytest.fixture(scope="module")
def make(sweeps, tmp_path_factory):
    """A figure of a made-up sweep."""

    def figure(words, column, axes, **more):
        made = sweeps.make(tmp_path_factory.mktemp("sweeps") / "s", sweeps.plan(*words, **more), shares)
        with style():
            return figures.sweep_figure(read_sweep(made), Choice(column), axes)

    return figure


def texts(figure):
    return [text.get_text() for text in figure.texts + [t for axes in figure.axes for t in axes.texts]]


def test_lines_have_a_gap_where_a_run_failed(make):
    figure = make(["style=0,1,2,3"], "explained", ["process.style"])
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "2", "3"]
    drawn = {line.get_marker(): line.get_ydata() for line in axes.lines if len(line.get_xdata()) == 4}
    np.testing.assert_allclose(drawn["^"], [0.9, -0.1, np.nan, -2.1])  # the tempered posterior
    np.testing.assert_allclose(drawn["o"], [0.8, 0.8, np.nan, 0.8])  # the linearised theory
    np.testing.assert_allclose(drawn["None"], [0.25, 0.25, np.nan, 0.25])  # the best null
    gap = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(gap) == 1 and gap[0].get_x() == 1.5 and gap[0].get_x() + gap[0].get_width() == 2.5
    written = texts(figure)
    assert "no run" in written and "style=2: failed: Pretraining diverged by step 50." in written
    assert written[0] == "Explained part of the shift on held-out contexts at the last dose, by process.style"
    below = [line for line in axes.lines if line.get_marker() == "v"]
    assert [line.get_xdata()[0] for line in below] == [3.0]  # -2.1 is off the scale


def test_values_at_equal_ratios_have_a_logarithmic_axis(make):
    assert make(["n=8,16,32,64"], "shift", ["finetuning.n"]).axes[0].get_xscale() == "log"
    assert make(["n=8,16,24"], "shift", ["finetuning.n"]).axes[0].get_xscale() == "linear"


def test_words_are_side_by_side_and_not_joined(make):
    (axes,) = make(["fit_on=all,first"], "explained", ["fit_on"]).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["all", "first"]
    markers = [line for line in axes.lines if line.get_marker() in ("o", "^", "_")]
    assert len(markers) == 3 and all(line.get_linestyle() == "None" for line in markers)


def test_other_axes_have_panels_of_their_own(make):
    figure = make(["style=0.5,1", "width=8,16,32"], "explained", ["process.style"])
    assert [axes.get_title() for axes in figure.axes] == [
        f"SGD, D′ on topic 0, width {width}" for width in (8, 16, 32)
    ]


def test_two_axes_make_a_map_with_the_numbers_in_it(make):
    figure = make(["style=0.5,2", "width=8,16"], "explained", ["process.style", "network.width"])
    tempered, linearised, _ = figure.axes  # and the colours
    assert tempered.get_title() == "tempered posterior, fitted\nSGD, D′ on topic 0"
    cells = {text.get_position(): text.get_text().split("\n")[0] for text in tempered.texts}
    assert cells == {(0, 0): "0.400", (0, 1): "0.400"}
    assert [patch.get_xy() for patch in tempered.patches if patch.get_hatch()] == [(0.5, -0.5), (0.5, 0.5)]
    assert [tick.get_text() for tick in linearised.get_xticklabels()] == ["0.5", "2"]
    assert [tick.get_text() for tick in linearised.get_yticklabels()] == ["8", "16"]


def test_a_number_of_panels_has_one_map(make):
    figure = make(["style=0.5,1", "width=8,16"], "shift", ["process.style", "network.width"])
    assert [axes.get_title() for axes in figure.axes] == ["SGD, D′ on topic 0"]
    assert {text.get_text() for text in figure.axes[0].texts} == {"2"}


def test_the_same_folder_gives_the_same_bytes(sweeps, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "FORMATS", {"svg": styles.FORMATS["svg"]})
    made = sweeps.make(tmp_path / "s", sweeps.plan("style=0.5,1", "width=8,16", one_at_a_time=True), shares)
    paths = figures.draw_sweep(made, read_sweep(made), Choice("explained"))
    assert [path.name for path in paths] == ["explained-by-style.svg", "explained-by-width.svg"]
    before = [path.read_bytes() for path in paths]
    figures.draw_sweep(made, read_sweep(made), Choice("explained"))
    assert [path.read_bytes() for path in paths] == before


def test_a_column_without_a_number_is_refused(make):
    with pytest.raises(Misuse, match="No point has a number in the column converged"):
        make(["style=0.5,1"], "converged", ["process.style"])
