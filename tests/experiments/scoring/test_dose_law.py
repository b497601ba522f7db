"""The law of the dose: recovered where it holds, blind to what it is scored on, silent where it must be."""

import numpy as np
import pytest

from experiments.scoring.dose_law import law

DOSES = np.array([1, 2, 4, 8, 16])


def test_a_power_law_is_recovered_at_other_doses_and_seeds_only():
    betas = 0.3 * DOSES**0.7 * np.ones((5, 1))
    line = law(DOSES, betas)
    assert line.shape == (2, 5)
    assert np.isnan(line[:, ::2]).all()
    np.testing.assert_allclose(line[:, 1::2], betas[:2, 1::2])
    np.testing.assert_allclose(law([1, 2, 4, 8], betas[:, :4]), line[:, :4])  # two doses are enough


def test_what_is_scored_is_not_looked_at():
    betas = 0.3 * DOSES**0.7 * np.exp(0.1 * np.random.default_rng(0).normal(size=(5, 5)))
    other = betas.copy()
    other[:2] *= 9  # the held-out seeds
    other[:, 1::2] *= 7  # the held-out doses
    np.testing.assert_array_equal(law(DOSES, betas), law(DOSES, other))
    other[3, 2] *= 2
    assert (law(DOSES, betas) != law(DOSES, other))[:, 1::2].all()


def test_least_squares_in_logarithms():
    betas = np.exp(np.random.default_rng(1).normal(size=(4, 5)))
    seen = np.log(betas[2:, ::2])
    x = np.log(DOSES[::2])
    slope = np.sum((x - x.mean()) * (seen.mean(axis=0) - seen.mean())) / np.sum((x - x.mean()) ** 2)
    wanted = np.exp(seen.mean() + slope * (np.log(DOSES[1::2]) - x.mean()))
    np.testing.assert_allclose(law(DOSES, betas)[0, 1::2], wanted)


@pytest.mark.parametrize("betas", [np.ones((1, 5)), np.zeros((4, 5)), np.ones((4, 1))])
def test_without_two_doses_or_seeds_there_is_no_law(betas):
    assert law(DOSES[: betas.shape[1]], betas) is None


def test_strengths_of_zero_are_omitted():
    betas = 0.3 * DOSES**0.7 * np.ones((4, 1))
    betas[2, 0] = 0
    np.testing.assert_allclose(law(DOSES, betas)[0, 1::2], betas[0, 1::2])
