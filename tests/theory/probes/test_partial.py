"""Statistics beyond others: a stream that has one of two reads both, and beyond the other one alone."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.partial import partial_r_squared


def test_beyond_the_others_a_stream_has_what_it_was_given():
    random = np.random.default_rng(0)
    first = random.normal(size=2000)
    second = 0.9 * first + np.sqrt(1 - 0.81) * random.normal(size=2000)
    fitted = np.arange(2000) < 1200
    stream = np.stack([first, random.normal(size=2000)], axis=1)
    whole, beyond = partial_r_squared(stream, np.stack([first, second], axis=1), fitted)
    assert whole == pytest.approx([1, 0.81], abs=0.03)
    # of the first, the part beyond the second is 0.19 of it, and a stream that has the first has all of that
    # but what goes with the second: the R² of first on (first - 0.9 second) is 0.19
    assert beyond[0] == pytest.approx(0.19, abs=0.03) and abs(beyond[1]) < 0.02
    both = np.stack([first, second], axis=1)
    np.testing.assert_allclose(partial_r_squared(both, both, fitted), 1, atol=1e-5)


def test_what_does_not_vary_has_no_share():
    random = np.random.default_rng(1)
    statistics = np.stack([random.normal(size=90), np.ones(90)], axis=1)
    fitted = np.arange(90) < 60
    _, beyond = partial_r_squared(random.normal(size=(90, 3)), statistics, fitted)
    assert np.isnan(beyond[1])
    with pytest.raises(Misuse, match="two of them"):
        partial_r_squared(np.ones((9, 2)), np.ones((9, 1)), np.arange(9) < 5)
