"""The share of two passes, the target by hand, and completion from the exact process."""

import jax
import numpy as np
import pytest

from theory.base import Misuse
from theory.contracts import Scale, Setting
from theory.theories.best_hypothesis import most_likely, share
from theory.theories.geometric_path import GeometricPath
from theory.theories.linear_mixture import LinearMixture

THEORIES = [GeometricPath, LinearMixture]


def test_two_passes_leave_of_the_prior_what_their_sum_leaves():
    first, second = share(0.3), share(1.1)
    np.testing.assert_allclose((1 - first) * (1 - second), 1 - share(1.4), rtol=1e-6)
    assert share(0.0) == 0


def test_the_target_has_the_largest_likelihood_of_all_the_data(process, data):
    likelihoods = np.asarray(process.log_likelihoods(data)).sum(axis=-1)
    best = process.component(int(likelihoods.argmax()))
    np.testing.assert_array_equal(most_likely(process, data).predict(data.tokens), best.predict(data.tokens))


@pytest.mark.parametrize("kind", THEORIES)
def test_without_hypotheses_those_of_the_process_are_taken(kind, process, data):
    setting = Setting(process, None, data, data, jax.random.key(0))
    assert kind().complete(setting).hypotheses is process
    assert kind(process).complete(setting).hypotheses is process
    with pytest.raises(Misuse, match=f"{kind.__name__} needs hypotheses, got None"):
        kind().target(data)


def test_the_grid_goes_from_the_prior_to_nothing_of_it():
    grid = GeometricPath().grid(Scale(answers=1.0, longest=1.0))
    assert grid[0] == 0 and (np.diff(grid) > 0).all() and 1 - share(float(grid[-1])) < 2e-7
