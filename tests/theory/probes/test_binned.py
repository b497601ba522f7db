"""Shares of statistics: all of it, none of it, and what is known already."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.binned import explained_beyond, quantile_bins


def test_a_statistic_that_is_used_explains_all_and_others_nothing():
    random = np.random.default_rng(0)
    fitted = random.random(6000) < 0.6
    known, used, idle = random.integers(0, 5, 6000), random.integers(0, 6, 6000), random.normal(size=6000)
    targets = np.cos(known) * used  # no sum of both
    bins = [quantile_bins(statistic, fitted, 12) for statistic in (used.astype(float), idle)]
    assert explained_beyond(targets, known, bins[0], fitted) == pytest.approx(1)
    assert abs(explained_beyond(targets, known, bins[1], fitted)) < 0.03
    assert np.isnan(explained_beyond(known.astype(float), known, bins[0], fitted))


def test_rare_pairs_have_the_mean_of_what_is_known():
    known, bins = np.repeat([0, 1], 20), np.zeros(40, int)
    bins[[3, 39]] = 1
    targets, fitted = known + bins * 9.0, np.arange(40) < 39
    assert explained_beyond(targets, known, bins, fitted) < 0.05  # the last row has no table of its own


def test_bins_hold_as_many_rows_and_equal_numbers_together():
    statistic, fitted = np.repeat(np.arange(4.0), 25), np.ones(100, bool)
    assert np.bincount(quantile_bins(statistic, fitted, 4)).tolist() == [25, 25, 25, 25]
    with pytest.raises(Misuse, match="two bins"):
        quantile_bins(statistic, fitted, 1)
