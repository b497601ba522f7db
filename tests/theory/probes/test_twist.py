"""Twists: functions of a difference have share 1, sums have share 0, and a turned head is found."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.twist import Difference, cosines, rotated, rotations

FIRST, SECOND = np.arange(24), np.arange(5, 17)


def curve(values, period=12, ahead=0, size=8):
    """A helix in the first dimensions of a larger space, turned ahead."""
    points = np.zeros((len(values), size))
    for index, wave in enumerate((period, period / 2)):
        turn = 2 * np.pi * (values - ahead) / wave
        points[:, 2 * index], points[:, 2 * index + 1] = np.cos(turn), np.sin(turn)
    return points


def test_a_function_of_the_difference_has_all_and_a_sum_has_nothing():
    difference = Difference.of(FIRST, SECOND)
    random = np.random.default_rng(0)
    table = random.normal(size=64)[difference.lags + 30]
    added = random.normal(size=(24, 1)) + random.normal(size=12)
    assert difference.share(table + added) == pytest.approx(1)
    assert difference.share(added) == 0
    np.testing.assert_allclose(difference.interaction(added), 0, atol=1e-12)
    noise = difference.share(random.normal(size=(200, 24, 12)))
    freedom = difference.both.shape[1] - difference.single.shape[1]
    assert noise.mean() == pytest.approx(freedom / (24 * 12 - difference.single.shape[1]), abs=0.01)


def test_a_head_that_turns_by_three_peaks_three_ahead():
    matrix = cosines(curve(FIRST), curve(SECOND, ahead=3))
    difference = Difference.of(FIRST, SECOND)
    assert difference.share(matrix) == pytest.approx(1) and matrix.max() == pytest.approx(1)
    assert difference.offset(matrix) % 6 == 3


def test_random_rotations_lose_the_alignment():
    turns = rotations(8, 50, np.random.default_rng(0))
    np.testing.assert_allclose(
        turns @ turns.swapaxes(1, 2), np.broadcast_to(np.eye(8), turns.shape), atol=1e-9
    )
    shares = Difference.of(FIRST, SECOND).share(rotated(curve(FIRST), curve(SECOND), turns))
    assert shares.shape == (50,) and shares.max() < 0.9


def test_too_few_values_are_refused():
    with pytest.raises(Misuse, match="three values"):
        Difference.of(FIRST, SECOND[:2])
