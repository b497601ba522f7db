"""Readings of an event: calibration that was planted, losses and rankings by hand."""

import numpy as np
import pytest
from scipy.special import expit, logit

from theory.errors import Misuse
from theory.probes.readings import ranking, score_reading

EXACT = np.random.default_rng(0).uniform(0.02, 0.9, (20, 10))


def test_the_exact_probability_is_at_floor_and_ceiling():
    reading = score_reading(EXACT, EXACT)
    entropy = lambda p: -p * np.log(p) - (1 - p) * np.log(1 - p)  # noqa: E731
    np.testing.assert_allclose(reading.floor, entropy(EXACT).mean(), rtol=1e-9)
    np.testing.assert_allclose(reading.prior, entropy(EXACT.mean()), rtol=1e-9)
    np.testing.assert_allclose([reading.excess, reading.slope - 1, reading.intercept], 0, atol=1e-6)
    assert 0.5 < reading.auc == reading.ceiling < 0.9


def test_slope_and_intercept_are_those_of_the_log_odds():
    read = expit((logit(EXACT) - 0.3) / 1.5)
    reading = score_reading(read, EXACT)
    np.testing.assert_allclose([reading.slope, reading.intercept], [1.5, 0.3], atol=1e-6)
    loss = lambda p: -np.mean(EXACT * np.log(p) + (1 - EXACT) * np.log(1 - p))  # noqa: E731
    np.testing.assert_allclose(reading.excess, loss(read) - loss(EXACT), rtol=1e-6)
    assert reading.auc == reading.ceiling  # a ranking knows nothing of calibration


def test_a_ranking_is_a_chance_over_pairs():
    scores, exact = np.array([0.1, 0.5, 0.5, 0.9]), np.array([0.2, 0.3, 0.7, 0.6])
    above = (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores)
    wanted = np.sum(above * exact[:, None] * (1 - exact)) / (exact.sum() * (1 - exact).sum())
    np.testing.assert_allclose(ranking(scores, exact), wanted)
    assert ranking(np.arange(3.0), np.array([0.0, 0.0, 1.0])) == 1
    assert np.isnan(ranking(np.arange(3.0), np.ones(3)))


def test_a_ranking_in_groups_compares_pairs_of_one_group():
    random = np.random.default_rng(1)
    scores, exact, groups = random.normal(size=30), random.uniform(size=30), np.repeat([4, 2, 7], 10)
    pairs = (groups[:, None] == groups) * exact[:, None] * (1 - exact)
    wanted = np.sum((scores[:, None] > scores) * pairs) + np.sum(np.eye(30) * pairs) / 2
    np.testing.assert_allclose(ranking(scores, exact, groups), wanted / pairs.sum())
    np.testing.assert_allclose(ranking(groups.astype(float), exact, groups), 0.5)  # a group's own number
    np.testing.assert_allclose(ranking(scores, exact, np.zeros(30, int)), ranking(scores, exact))


def test_readings_of_another_shape_and_no_probabilities_are_refused():
    with pytest.raises(Misuse, match="must have one shape, got 3 and 2 of them"):
        score_reading(np.full(3, 0.5), np.full(2, 0.5))
    with pytest.raises(Misuse, match="between 0 and 1; clip what a linear probe reads"):
        score_reading(np.array([1.2]), np.array([0.5]))
