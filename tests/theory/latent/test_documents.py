"""Documents written on the host: priors, prompts and shares by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.compilations import compilations
from theory.base import Misuse
from theory.latent.documents import (
    check_at_least,
    check_documents,
    check_shares,
    dataset,
    geometric_prior,
    prompts,
    writers,
)


def test_the_prior_falls_by_the_rarity_and_adds_to_one():
    prior = np.exp(geometric_prior(4, 0.5))
    np.testing.assert_allclose(prior, np.array([8, 4, 2, 1]) / 15)


def test_a_mask_may_be_the_same_for_all_documents():
    data = dataset(np.zeros((3, 4), np.int32), np.arange(4) > 1)
    np.testing.assert_array_equal(data.mask, [[False, False, True, True]] * 3)
    assert isinstance(data.tokens, jnp.ndarray) and isinstance(data.mask, jnp.ndarray)


def test_documents_of_any_shape_compile_nothing():
    with compilations() as seen:
        dataset(np.zeros((91, 13), np.int32), np.ones(13, bool))
    assert not seen


def test_prompts_are_padded_and_the_next_token_counts():
    data = prompts(5, np.array([[1, 2], [3, 4]]), np.array([7, 8]))
    np.testing.assert_array_equal(data.tokens, [[1, 2, 7, 0, 0], [3, 4, 8, 0, 0]])
    np.testing.assert_array_equal(data.mask, [[False, False, False, True, False]] * 2)


def test_shares_are_rounded_in_order():
    np.testing.assert_array_equal(writers({2: 0.7, 0: 0.3}, 5), [2, 2, 2, 2, 0])
    np.testing.assert_array_equal(writers({(1, 0): 0.5, (0, 2): 0.5}, 2), [[1, 0], [0, 2]])


def test_what_makes_no_documents_is_refused():
    with pytest.raises(Misuse, match="got n = 0"):
        check_documents(0)
    for shares in ({}, {0: 0.5}, {0: 1.5, 1: -0.5}):
        with pytest.raises(Misuse, match="add to 1, got"):
            check_shares(shares)
    with pytest.raises(Misuse, match="shots must be at least 1, got 0"):
        check_at_least(1, repeats=2, shots=0)
