"""Curves near 1 are told apart, and bars are the intervals of the scorecard."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from experiments.figures import dose_panels
from experiments.figures.dose_panels import BEND, BOTTOM, TOP, bend, draw_explained, intervals, unbend
from experiments.scoring.labels import NULLS


def line(theory, explained, dose=4, interval=None, grade="forecast"):
    """What a panel needs to know of a line."""
    names = {"theory": theory, "prior": "network", "grade": grade, "dose": dose}
    numbers = {"explained": explained, "interval": interval, "order_blind": 0.9995, "noise_ceiling": 0.999}
    return SimpleNamespace(**names, **numbers, other_base=None, best_in_class=None, converged=None)


def test_the_axis_is_linear_below_and_logarithmic_in_what_is_left_above():
    scores = np.array([-3.0, -0.6, 0.0, 0.5, 0.89, 0.9, 0.95, 0.99, 0.9999])
    np.testing.assert_allclose(unbend(bend(scores)), scores, atol=1e-12)
    np.testing.assert_allclose(bend(scores[:5]), scores[:5])
    with np.errstate(all="raise"):
        assert bend(np.array([-np.inf, 1.0]))[0] == -np.inf  # a theory that fails
    lengths = bend(1 - 10.0 ** -np.arange(1, 5))
    np.testing.assert_allclose(np.diff(lengths), (1 - BEND) * np.log(10))
    slopes = np.diff(bend(BEND + np.array([-1e-6, 0, 1e-6]))) / 1e-6
    np.testing.assert_allclose(slopes, 1.0, rtol=1e-4)  # no corner


def drawn(lines):
    axes = Figure().subplots()
    draw_explained(axes, lines, frozenset())
    return axes


def test_curves_that_lie_on_one_are_told_apart():
    axes = drawn([line("linearised", 0.9996), line("proximal", 0.993), line("unchanged", 0.0)])
    curves = {round(float(curve.get_ydata()[0]), 4) for curve in axes.lines}
    assert {0.9996, 0.993} <= curves
    (low, high), height = axes.transData.transform([(1, 0.993), (1, 0.9996)])[:, 1], axes.bbox.height
    assert (high - low) / height > 0.1
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert {"0.9", "0.99", "0.999", "0.9999"} <= set(names)


def test_bars_are_intervals_of_95_percent_inside_the_axis():
    lines = [
        line("linearised", 0.99, 1, (0.97, 1.0)),
        line("linearised", 0.5, 2),
        line("linearised", None, 4),
    ]
    low, high = intervals(lines, [1, 2, 4, 8])
    np.testing.assert_allclose(low, [0.97, 0.5, np.nan, np.nan])
    np.testing.assert_allclose(high, [TOP, 0.5, np.nan, np.nan])
    far = intervals([line("linearised", -20.0, 1, (-40.0, 0.0))], [1])
    assert far[0][0] == BOTTOM - 1 and far[1][0] == 0.0


@pytest.mark.parametrize("best", [0.4, 0.95])
def test_the_best_null_and_the_bound_are_drawn(best):
    lines = [line("unchanged", 0.0), line(NULLS[1], best, grade="fitted"), line("linearised", 0.9)]
    axes = drawn(lines)
    colour = dose_panels.BEST_NULL["color"]
    (null,) = [curve for curve in axes.lines if curve.get_color() == colour]
    assert null.get_ydata()[0] == best
    bands = [band for band in axes.collections if isinstance(band, PolyCollection)]
    assert min(band.get_paths()[0].vertices[:, 1].max() for band in bands[:1]) <= TOP
