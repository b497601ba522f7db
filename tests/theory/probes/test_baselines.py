"""Features and targets of the baselines, by hand."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.baselines import cubic, filter_features, outputs, seen_tokens, shuffled


def test_tokens_are_counted_before_their_position():
    (features,) = seen_tokens(np.array([[1, 0, 1]]), 2)
    np.testing.assert_array_equal(
        features,
        [  # counts of 0 and 1; the last; the last but one
            [0, 0, 0, 0, 0, 0],
            [0, 1, 0, 1, 0, 0],
            [1, 1, 1, 0, 0, 1],
        ],
    )
    with pytest.raises(Misuse, match="Tokens must be from 0 to 1, got 0 to 2"):
        seen_tokens(np.array([[2, 0]]), 2)


def test_outputs_are_finite_and_cubed():
    features = outputs(np.array([[-np.inf, 0.0], [np.log(0.5)] * 2]))
    np.testing.assert_allclose(features, [[-30, 0], [np.log(0.5)] * 2])
    np.testing.assert_allclose(cubic(features)[0], [-30, 0, 900, 0, -27000, 0])


def test_a_filter_is_a_feature_in_both_codes():
    np.testing.assert_allclose(filter_features(np.array([1.0, 0.0])), [1, 0, 0, -30])


def test_shuffled_targets_keep_positions_and_no_document():
    targets = np.arange(12.0).reshape(4, 3, 1)
    moved = shuffled(targets, np.random.default_rng(0))
    assert (moved != targets).all()
    np.testing.assert_array_equal(np.sort(moved, axis=0), targets)
    with pytest.raises(Misuse, match="at least two documents, got 1"):
        shuffled(targets[:1], np.random.default_rng(0))
