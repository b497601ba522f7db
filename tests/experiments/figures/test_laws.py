"""Figures of laws from planted scores."""

import numpy as np
import pytest

from experiments.figures import style
from experiments.figures.laws import draw_laws, kappa_figure, law_figure
from experiments.scoring.laws import Law, Observation, Verdict, halves, judge


@pytest.fixture
def lines():
    random = np.random.default_rng(0)
    every = []
    for point in range(30):
        known = {"kappa": float(np.exp(random.uniform(-4, 0))), "share": random.uniform(0.1, 1)}
        for method, theory in (("sgd", "linearised"), ("adam", "linearised"), ("sgd", "best-mixture")):
            every.append(Observation(f"p{point}", method, 8, theory, 1 - known["kappa"] ** 2, known))
    return every


def proposing(lines):
    return {line.point for line in halves(lines)[0]}


def verdicts(lines):
    laws = [Law("linearised", "square", ("kappa",), (1.0,), 0.9)]
    laws += [Law("best-mixture", "line", ("kappa", "share"), (1.0, -1.0, 0.1), 0.5)]
    return [judge((law,), halves(lines)[1]) for law in laws]


def test_a_panel_for_each_theory_with_every_point_and_the_curve(lines):
    figure = law_figure(verdicts(lines), lines, proposing(lines))
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title().split("\n")[0] for axes in panels] == ["linearised", "best mixture"]
    drawn = sum(len(line.get_xdata()) for line in panels[0].lines if line.get_marker() == "o")
    assert drawn == 60
    curve = panels[0].lines[-1]
    np.testing.assert_allclose(curve.get_ydata(), 1 - np.asarray(curve.get_xdata()) ** 2)
    assert panels[0].get_xlabel() == "kappa" and panels[1].get_xlabel() == "the law, in kappa and\nshare"
    assert "R² 1.00" in panels[0].get_title()


def test_what_is_left_lies_on_kappa_squared(lines):
    (axes,) = kappa_figure([line for line in lines if line.theory == "linearised"]).axes
    x, y = (np.asarray(axes.lines[0].get_xdata()), np.asarray(axes.lines[0].get_ydata()))
    np.testing.assert_allclose(y, np.maximum(x**2, 1e-5))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert any("κ^2.00" in line.get_label() for line in axes.lines)


def test_files_are_written(lines, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "FORMATS", {"svg": {"Date": None}})
    monkeypatch.setattr("experiments.figures.laws.FORMATS", {"svg": {"Date": None}})
    paths = draw_laws(tmp_path, verdicts(lines), lines, proposing(lines))
    assert [path.name for path in paths] == ["laws.svg", "kappa.svg"]
    assert all(path.stat().st_size > 1000 for path in paths)
    bare = [Observation(x.point, x.method, x.dose, x.theory, x.score, {"share": 0.5}) for x in lines]
    flat = Verdict(Law("linearised", "line", ("share",), (0.5, 0.0), 0.0), 0.0, (-0.1, 0.1), 3, 3)
    assert [path.name for path in draw_laws(tmp_path, [flat], bare, proposing(bare))] == ["laws.svg"]
    assert [path.name for path in draw_laws(tmp_path, verdicts(lines), lines, ())] == ["laws.svg"]


def test_points_are_pale_where_they_proposed_the_law(lines):
    def pale(points):
        panel = law_figure(verdicts(lines), lines, points).axes[0]
        marked = [line for line in panel.lines if line.get_marker() == "o"]
        return sum(len(line.get_xdata()) for line in marked if line.get_markerfacecolor() == "none")

    assert pale(("p0", "p1", "p2")) == 6 and pale(()) == 0
