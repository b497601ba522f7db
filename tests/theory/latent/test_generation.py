"""Continuations against the exact probabilities of what may follow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Misuse
from theory.latent.generation import continuations
from theory.latent.hidden_markov import Chain

TABLE = np.array([[[0.5, 0.2], [0.1, 0.1]], [[0.1, 0.2], [0.1, 0.7]]])
COIN = Chain(jnp.asarray(TABLE, jnp.float32), jnp.array([0.5, 0.5]), 5)


def test_they_come_as_often_as_the_predictor_says():
    prompts, copies = jnp.array([[0, 0, 9, 9, 9], [1, 1, 9, 9, 9]]), 8_000
    drawn = np.asarray(continuations(COIN, jax.random.key(0), prompts, 2, copies)).reshape(copies, 2, 5)
    for row in (0, 1):
        np.testing.assert_array_equal(drawn[:, row, :2], np.full((copies, 2), row))
        every = np.array([[row, row, a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
        exact = np.exp(np.asarray(COIN.log_prob(jnp.asarray(every)), float))
        exact /= exact.sum()
        counts = np.bincount(drawn[:, row, 2:] @ [4, 2, 1], minlength=8)
        statistic = np.sum((counts - copies * exact) ** 2 / (copies * exact))
        assert abs(statistic - 7) < 4 * np.sqrt(2 * 7)


def test_they_follow_their_key_and_differ_between_copies():
    prompts = jnp.zeros((3, 5), int)
    drawn = continuations(COIN, jax.random.key(1), prompts, 1, 50)
    assert drawn.shape == (150, 5)
    np.testing.assert_array_equal(drawn, continuations(COIN, jax.random.key(1), prompts, 1, 50))
    assert (drawn != continuations(COIN, jax.random.key(2), prompts, 1, 50)).any()
    assert len(np.unique(np.asarray(drawn).reshape(50, 15), axis=0)) > 1


@pytest.mark.parametrize(("begin", "copies"), [(-1, 1), (5, 1), (2, 0)])
def test_what_cannot_be_continued_is_refused(begin, copies):
    with pytest.raises(Misuse, match=f"from 0 to 4.*got {begin} and {copies}"):
        continuations(COIN, jax.random.key(0), jnp.zeros((2, 5), int), begin, copies)
