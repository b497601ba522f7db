"""One direction for all strengths, and λ0 where it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse, mean_loss
from theory.theories.initial_transfer import InitialTransfer, initial_transfer


def document(*tokens, counted):
    row = jnp.asarray([tokens])
    return Dataset(row, jnp.arange(row.shape[1])[None] == counted)


def test_a_bigram_moves_by_its_gradient(bigram, data):
    """Logits are linear, so the answer is that of plain steps from one gradient."""
    slope = jax.grad(lambda params: mean_loss(bigram.with_params(params), data))(bigram.params)
    after = InitialTransfer(2.0).predict(bigram, data, 0.3).predict(data.tokens)
    time = 0.15 * data.mask.sum()
    wanted = bigram.with_params(bigram.params - time * slope).predict(data.tokens)
    np.testing.assert_allclose(after, wanted, atol=1e-4)
    halved = InitialTransfer(metric=jnp.full_like(bigram.params, 2.0)).predict(bigram, data, 0.3)
    np.testing.assert_allclose(halved.predict(data.tokens), wanted, atol=1e-4)


def test_transfer_is_all_to_the_same_row_and_none_to_another(bigram):
    """A bigram's rows share no weight, whatever the metric."""
    narrow = document(1, 3, 0, counted=1)
    assert initial_transfer(bigram, (narrow, narrow), document(1, 3, 2, counted=1)) == 1
    metric = 0.5 + jnp.arange(bigram.params.size, dtype=float).reshape(bigram.params.shape)
    assert initial_transfer(bigram, (narrow, narrow), document(2, 3, 0, counted=1), metric=metric) == 0
    p = np.exp(bigram.predict(narrow.tokens))[0, 1]
    pull = p - np.eye(5)[3], p - np.eye(5)[4]  # the gradients of two answers to one question
    share = initial_transfer(bigram, (narrow, narrow), document(1, 4, 0, counted=1))
    np.testing.assert_allclose(share, pull[0] @ pull[1] / (pull[0] @ pull[0]), rtol=1e-5)


def test_a_double_contrast_omits_what_all_answers_share(bigram):
    """Without what is common, two opposite answers are exactly opposite."""
    three, four = document(1, 3, 0, counted=1), document(1, 4, 0, counted=1)
    value = initial_transfer(bigram, (three, three), four, (four, four, three))
    np.testing.assert_allclose(value, -1, rtol=1e-6)
    assert np.isnan(initial_transfer(bigram, (three, three), four, (three, three, three)))


def test_bad_input():
    with pytest.raises(Misuse, match="prior_precision must be finite and above 0, got 0"):
        InitialTransfer(0)
    with pytest.raises(Misuse, match=r"The metric must be an array pytree or one of .*, got 'muon'"):
        InitialTransfer(metric="muon")
