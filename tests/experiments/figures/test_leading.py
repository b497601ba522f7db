"""A figure has the best theory of each kind in full, and names beside its curves that do not meet."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.figures import leading as module
from experiments.figures.dose_panels import draw_explained
from experiments.figures.leading import NAME, leading, names_at_ends, sign, theories
from tests.experiments.figures.test_dose_panels import line

SCORES = {  # (theory, prior, grade): scores by dose
    ("linearised", "network", "forecast"): (0.9, 0.8),
    ("proximal", "network", "forecast"): (0.99,),
    ("proximal", "network", "fitted"): (0.95, 0.85),
    ("laplace", "network", "fitted"): (0.99, 0.99),
    ("tempered-posterior", "implied", "fitted"): (0.7, 0.6),
    ("exchangeable-mixture", "implied", "fitted"): (0.8, 0.3),
    ("tempered-posterior", "implied", "forecast"): (-9.0, -np.inf),
}


@pytest.fixture
def lines():
    made = []
    for (theory, prior, grade), scores in SCORES.items():
        for dose, score in zip((1, 8), scores, strict=False):
            entry = line(theory, score, dose, (score - 0.01, score + 0.01), grade)
            entry.prior = prior
            made.append(entry)
    return made


def test_the_first_of_each_kind_and_the_best_are_drawn_in_full(lines):
    """The best by the median over doses; a theory of one dose alone is no rival to one of both."""
    full = leading(lines)
    assert full == {
        ("linearised", "forecast"),
        ("proximal", "fitted"),
        ("laplace", "fitted"),
        ("tempered-posterior", "fitted"),
        ("tempered-posterior", "forecast"),
    }
    assert theories(full) == {"linearised", "proximal", "laplace", "tempered-posterior"}


def test_few_curves_are_all_drawn_in_full(lines, monkeypatch):
    monkeypatch.setattr(module, "MANY", len(SCORES))
    assert leading(lines) == {(theory, grade) for theory, _, grade in SCORES}
    assert leading([]) == frozenset()


def test_others_are_pale_and_have_neither_bars_nor_a_name(lines):
    axes = Figure().subplots()
    full = leading(lines)
    ends = draw_explained(axes, lines, frozenset(), full)
    names = [name for name, *_ in ends]
    assert {sign(*curve) for curve in full} <= set(names)
    assert not any("exchangeable" in name or "another seed" in name for name in names)
    pale = [curve for curve in axes.lines if np.array_equal(curve.get_ydata(), (0.8, 0.3))]
    assert [(curve.get_alpha(), curve.get_marker()) for curve in pale] == [(0.35, "None")]
    bars = [part.get_paths() for part in axes.collections if part.get_alpha() == 0.7]
    known = [sum(np.isfinite(path.vertices).all() for path in paths) for paths in bars]
    assert sorted(known) == [0, *[2] * (len(full) - 1)]  # the tempered posterior's forecast is off the axis


def test_names_stand_at_the_last_values_and_apart(monkeypatch):
    figure = Figure(figsize=(4, 2))
    axes = figure.subplots()
    axes.set_ylim(0, 1)
    ends = [
        ("low", "red", np.array([0.9, 0.2])),
        ("unknown at the end", "blue", np.array([0.5, np.nan])),
        ("near it", "green", np.array([0.0, 0.505])),
        ("above", "black", np.array([0.0, 40.0])),
        ("at the top", "black", np.array([0.0, 1.0])),
        ("nothing", "black", np.array([np.nan])),
    ]
    names_at_ends(axes, ends)
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert list(heights) == ["low", "unknown at the end", "near it", "above", "at the top"]
    gap = NAME / (axes.get_position().height * 2)
    assert heights["low"] == pytest.approx(0.2) and heights["at the top"] == pytest.approx(1.0)
    assert heights["near it"] - heights["unknown at the end"] == pytest.approx(gap)
    assert heights["at the top"] - heights["above"] == pytest.approx(gap)
    assert axes.texts[0].get_color() == "red"


def test_a_forecast_has_an_open_marker_before_its_name():
    assert sign("linearised", "forecast") == "○ linearised, forecast"
    assert sign("tempered-posterior", "fitted") == "▲ tempered posterior, fitted"
