"""Curves: exact dimensions and ringing, helices that are found, and random smooth curves that are not."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.curves import Curve, fit_helix, place_code, surrogate_helices

STEPS = np.arange(28)


def helix(period, slope=0.05, noise=0.0):
    turn = 2 * np.pi * STEPS / period
    points = np.stack([slope * STEPS, np.cos(turn), np.sin(turn)], axis=1)
    return Curve(STEPS + 3, points + noise * np.random.default_rng(1).normal(size=points.shape))


def smooth(random):
    """A Gaussian curve in six dimensions with a correlation length of three steps."""
    apart = STEPS[:, None] - STEPS
    root = np.linalg.cholesky(np.exp(-0.5 * (apart / 3) ** 2) + 1e-9 * np.eye(len(STEPS)))
    return Curve(STEPS, root @ random.normal(size=(len(STEPS), 6)) * [1, 0.8, 0.6, 0.3, 0.2, 0.1])


@pytest.mark.parametrize("cells", [11, 21, 41])
def test_a_place_code_of_k_cells_has_nearly_k_dimensions(cells):
    code = place_code(cells)
    np.testing.assert_allclose(code.shares()[: cells - 1], 1 / (cells - 1))
    assert code.dimension() == np.ceil(0.95 * (cells - 1))


def test_smooth_cells_need_fewer_dimensions():
    # the published count code of 150 characters has six: a tuning width of about twelve
    assert [place_code(150, width).dimension() for width in (10, 12, 15)] == [7, 6, 5]
    assert [place_code(28, width).dimension() for width in (1, 2, 3, 5)] == [12, 6, 4, 3]


def test_ringing_of_a_line_is_none_and_of_a_circle_all():
    line = Curve(STEPS, STEPS[:, None] * np.ones(3))
    assert line.dimension() == 1 and line.ringing() == pytest.approx(0, abs=1e-9)
    circle = helix(14, slope=0.0)
    assert circle.dimension() == 2 and circle.ringing() == pytest.approx(2)


@pytest.mark.parametrize("period", [6, 9, 14, 20])
def test_a_helix_is_recognised(period):
    curve = helix(period, noise=0.02)
    fit = fit_helix(curve)
    assert fit.helix > 0.98 and fit.line < 0.5 and fit.period == pytest.approx(period, rel=0.06)
    others = surrogate_helices(curve, 60, np.random.default_rng(0))
    assert others.max() < fit.helix and others.mean() < 0.9


def test_a_random_smooth_curve_is_no_helix():
    random = np.random.default_rng(2)
    curves = [smooth(random) for _ in range(24)]
    gaps = np.array([fit_helix(curve).helix - surrogate_helices(curve, 40, random) for curve in curves])
    ranks = np.mean(gaps > 0, axis=1)
    assert np.mean(ranks > 0.95) <= 0.15 and 0.3 < ranks.mean() < 0.8
    assert abs(gaps.mean()) < 0.1


def test_surrogates_have_the_spectrum_and_the_smoothness():
    curve = smooth(np.random.default_rng(3))
    drawn = curve.surrogates(20, np.random.default_rng(4))
    sizes = np.linalg.svd(curve.centred, compute_uv=False)
    np.testing.assert_allclose(np.linalg.svd(drawn[0], compute_uv=False)[:6], sizes, rtol=1e-6)
    np.testing.assert_allclose(drawn.mean(axis=1), 0, atol=1e-9)
    rough = [np.sum(np.diff(points, axis=0) ** 2) for points in (curve.points, *drawn)]
    assert 0.5 < np.mean(rough[1:]) / rough[0] < 2


def test_points_are_means_of_the_longest_run_of_frequent_values():
    numbers = np.repeat([0, *range(3, 12), 14], [9, *[5] * 9, 9])
    streams = np.stack([numbers, np.tile([1.0, -1.0, 0.0], 21)], axis=1)
    curve = Curve.of(streams, numbers, 5)
    assert curve.values.tolist() == [*range(3, 12)]
    np.testing.assert_allclose(curve.points[:, 0], curve.values)
    with pytest.raises(Misuse, match="at least 8 values"):
        Curve.of(streams, numbers, 6)


def test_what_goes_with_the_number_is_held_equal():
    random = np.random.default_rng(5)
    numbers = np.repeat(np.arange(10), 30)
    belief = numbers[:, None] * [0.3, -0.1] + random.normal(size=(300, 2))
    streams = np.stack([np.sin(numbers), numbers.astype(float)], axis=1) + belief @ [[2.0, 1.0], [0.0, -3.0]]
    curve = Curve.of(streams, numbers, 5, belief)
    exact = np.stack([np.sin(np.arange(10)), np.arange(10.0)], axis=1)
    np.testing.assert_allclose(curve.centred, exact - exact.mean(axis=0), atol=1e-9)
    assert np.abs(Curve.of(streams, numbers, 5).centred - curve.centred).max() > 1
