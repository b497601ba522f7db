"""Additivity of three currencies: shares of variance, what undoes what, and what is not resolved."""

import numpy as np
import pytest

from experiments.scoring.additivity import ALL, closure, interactions, log_odds, mean_change, undone


def grid(product=0.0):
    """Log-odds (1, d, n, x) that add up, but for a product of shots and steering."""
    d, n, x = np.meshgrid([0.0, 1.0, 2.0], [0.0, 1.0], [-1.0, 0.0, 1.0], indexing="ij")
    return (d - 1.5 * n + x + product * (n - 0.5) * x)[None]


def test_a_sum_has_no_interactions_and_a_product_has_its_own():
    assert interactions(grid()) == pytest.approx(dict.fromkeys(interactions(grid()), 0), abs=1e-12)
    shares = interactions(grid(0.5))
    with_product = 0.5**2 * 0.5**2 * 2 / 3  # its variance
    whole = 2 / 3 + 1.5**2 / 4 + 2 / 3 + with_product
    assert shares["shots × steering"] == pytest.approx(with_product / whole)
    assert shares[ALL] == pytest.approx(with_product / whole)
    assert shares["dose × shots"] == pytest.approx(0, abs=1e-12)


def test_what_is_not_resolved_does_not_count():
    holed = grid()
    holed[0, 2, 0, 2] = np.nan
    assert interactions(holed)[ALL] == pytest.approx(0, abs=1e-12)
    assert np.isnan(interactions(np.full_like(holed, np.nan))[ALL])
    odds = log_odds(np.array([[0.5, 0.25], [0.5, -0.01]]))
    assert odds[0] == pytest.approx(np.log(2)) and np.isnan(odds[1])
    few = mean_change(np.array([[1.0, 2.0, np.nan, 3.0], [np.nan, np.nan, np.nan, 1.0]]), np.zeros(4))
    assert few[0] == 2 and np.isnan(few[1])


def test_undone_is_where_a_line_crosses():
    assert undone([0, 1, 2], np.array([1.0, 0.5, -0.5])) == pytest.approx(1.5)
    assert undone([-2, -1, 0], np.array([np.nan, -1.0, 3.0])) == pytest.approx(-0.75)
    assert undone([0, 1], np.array([0.0, -1.0])) == 0
    assert np.isnan(undone([0, 1], np.array([2.0, 1.0])))


def test_a_steering_that_is_worth_less_beside_shots_does_not_close():
    changes = grid()[0] * 1.0
    np.testing.assert_allclose(closure(changes, [0, 1], [-1.0, 0.0, 1.0])[:1], np.nan)  # beyond the ladder
    wide = np.array([-2.0, 0.0, 2.0])
    odds = np.array([0.0, 1.0])[:, None, None] - np.array([0.0, 1.5])[:, None] + wide
    assert closure(odds, [0, 1], wide) == pytest.approx([1.0])
    odds[0, 1] = -1.5 + 0.8 * wide  # of the base network with a shot: 1.875 nats undo it
    assert closure(odds, [0, 1], wide) == pytest.approx([1.25])
