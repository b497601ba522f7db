"""Matched rates by interpolation, and the two laws on data that follow one of them exactly."""

import math

import numpy as np
import pytest

from experiments.scoring.matched import collapse, count, explained, fraction, log_odds, matched, residuals

NS, ADDED = (
    np.array(values, float)
    for values in zip(*[(n, k) for n in (16, 64, 256) for k in (0, 1, 2, 4, 8, 16, 32)], strict=True)
)


@pytest.mark.parametrize(
    ("narrow", "wanted"),
    [
        ([0.2, 0.4, 0.6], 0.35),  # half between two doses
        ([0.2, 0.5, 0.9], 0.3),  # at a dose
        ([0.2, 0.7, 0.3], 0.26),  # its first crossing, from the base network on
        ([0.6, 0.7, 0.8], 0.2),  # there before any finetuning
        ([0.2, 0.3, 0.4], math.nan),  # never
    ],
)
def test_the_broad_rate_where_the_narrow_one_is_reached(narrow, wanted):
    rates = np.array([[narrow], [[0.2, 0.3, 0.4]]])
    np.testing.assert_allclose(matched(rates, 0.5), [wanted], atol=1e-12)


def test_both_paths_may_have_more_axes():
    rates = np.tile([0.1, 0.3, 0.9], (2, 3, 2, 1))
    assert matched(rates, 0.6).shape == (3, 2)
    np.testing.assert_allclose(matched(rates, 0.6), 0.6)


def test_the_price_by_number():
    """log C(n + N, N): 4.17 and 13.6 nats at n = 64; N log(e n/N) for N far below n."""
    np.testing.assert_allclose(count(np.array([64, 64]), np.array([1, 4])), [np.log(65), 13.61], atol=0.01)
    n, few = 1e6, np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(count(n, few), few * np.log(np.e * n / few), rtol=0.07)


@pytest.mark.parametrize(
    ("law", "other", "f"), [("count", "fraction", count), ("fraction", "count", fraction)]
)
def test_a_planted_law_is_told_from_the_other(law, other, f):
    """Four networks that follow a law, each with a slope of its own and a little noise."""
    x = f(NS, ADDED)
    slopes = np.array([[0.8], [1.0], [1.1], [1.3]]) / x.max()
    noise = 0.002 * np.random.default_rng(0).normal(size=(4, len(x)))
    found = collapse(NS, ADDED, -0.5 - slopes * x + noise)
    assert (
        found.explained[law].value > 0.98 and found.explained[law].value > found.explained[other].value + 0.2
    )
    assert (found.difference.above, found.difference.below) == (law == "count", law == "fraction")
    low, high = found.explained[law].interval
    assert low < found.explained[law].value < high


def test_only_points_in_reach_of_both_laws_are_scored():
    """n = 16 reaches shares that no other n does, n = 256 prices: these points of theirs are left out."""
    values = np.tile(-fraction(NS, ADDED), (2, 1))
    assert collapse(NS, ADDED, values).scored == 5 + 7 + 6
    values[1, NS == 16] = np.nan  # a network that never reaches the narrow rate there
    assert collapse(NS, ADDED, values).scored == 5 + 6
    assert np.isnan(collapse(NS[:7], ADDED[:7], values[:, :7]).explained["count"].value)  # a single n: no law


def test_what_a_forecast_explains():
    values = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    assert explained(residuals(values, values)).value == 1
    assert explained(residuals(values, np.tile(values.mean(1, keepdims=True), 3))).value == pytest.approx(0)
    np.testing.assert_allclose(log_odds(np.array([0.5, 0.75, -1.0])), [0, np.log(3), np.log(1e-6)], atol=1e-5)
