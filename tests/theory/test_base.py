"""The nouns: likelihoods against numpy, strengths refused, ladders against single predictions."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import (
    Dataset,
    Misuse,
    Predictor,
    at_tokens,
    check_beta,
    ladder,
    log_likelihood,
    mean_loss,
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Table:
    """The same next-token probabilities at every position, whatever came before."""

    log_probs: Any

    def predict(self, tokens):
        return jnp.broadcast_to(self.log_probs, (*tokens.shape, self.log_probs.shape[-1]))


@dataclass(frozen=True)
class Scale:
    """β multiplies the logits."""

    breaks: dict[str, str] = field(default_factory=dict)

    def predict(self, prior, data, beta, *, key=None):
        check_beta(beta)
        return Table(jax.nn.log_softmax(beta * prior.log_probs))


@dataclass(frozen=True)
class Walk(Scale):
    """The same, with a path of its own that marks its answers (they are not normalised)."""

    def path(self, prior, data, betas, *, key=None):
        return Table(betas[:, None] * jnp.ones_like(prior.log_probs))


PROBABILITIES = np.array([0.5, 0.3, 0.2])
TABLE = Table(jnp.log(jnp.asarray(PROBABILITIES)))
TOKENS = jnp.asarray([[0, 1, 2, 2], [1, 1, 0, 2]])
MASK = jnp.asarray([[True, False, True, False], [False, False, True, True]])
DATA = Dataset(TOKENS, MASK)


def test_at_tokens_picks_the_entries():
    log_probs = np.random.default_rng(0).normal(size=(2, 4, 3))
    got = at_tokens(jnp.asarray(log_probs), TOKENS)
    wanted = np.take_along_axis(log_probs, np.asarray(TOKENS)[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_at_tokens_passes_over_impossible_tokens_that_did_not_come():
    log_probs = jnp.asarray([[[0.0, -jnp.inf], [-jnp.inf, 0.0]]])
    np.testing.assert_array_equal(at_tokens(log_probs, jnp.asarray([[0, 1]])), [[0.0, 0.0]])
    np.testing.assert_array_equal(at_tokens(log_probs, jnp.asarray([[1, 0]])), [[-np.inf] * 2])


def test_log_likelihood_counts_masked_positions_alone():
    wanted = [np.log(0.5) + np.log(0.2), np.log(0.5) + np.log(0.2)]
    np.testing.assert_allclose(log_likelihood(TABLE, DATA), wanted, rtol=1e-6)
    none = Dataset(TOKENS, jnp.zeros_like(MASK))
    np.testing.assert_array_equal(log_likelihood(TABLE, none), [0.0, 0.0])


def test_mean_loss_is_per_counted_position():
    uneven = Dataset(TOKENS, jnp.asarray([[True, True, True, True], [True, False, False, False]]))
    wanted = -np.mean(np.log([0.5, 0.3, 0.2, 0.2, 0.3]))
    np.testing.assert_allclose(mean_loss(TABLE, uneven), wanted, rtol=1e-6)


@pytest.mark.parametrize("beta", [-1e-6, -3.0, np.nan, np.inf, -np.inf, jnp.asarray(-2.0)])
def test_a_strength_that_is_negative_or_not_finite_is_refused(beta):
    with pytest.raises(Misuse, match=str(float(beta))):
        check_beta(beta)


@pytest.mark.parametrize("beta", [0, 0.0, 1, 2.5, jnp.asarray(0.3)])
def test_a_strength_from_zero_up_passes(beta):
    check_beta(beta)


def test_a_traced_strength_passes_unseen():
    assert jax.jit(lambda beta: check_beta(beta) or beta)(-1.0) == -1.0


def test_misuse_is_no_value_error_which_parsers_would_catch_and_reword():
    assert not issubclass(Misuse, ValueError)


def test_a_ladder_is_predict_at_every_strength():
    betas = jnp.asarray([0.0, 0.5, 2.0])
    stacked = ladder(Scale(), TABLE, DATA, betas, lambda predictor: predictor.log_probs)
    for row, beta in enumerate([0.0, 0.5, 2.0]):
        wanted = PROBABILITIES**beta / np.sum(PROBABILITIES**beta)
        np.testing.assert_allclose(np.exp(stacked[row]), wanted, rtol=1e-6)


def test_a_ladder_takes_the_theorys_own_path():
    stacked = ladder(Walk(), TABLE, DATA, jnp.asarray([1.0, 3.0]), lambda predictor: predictor.log_probs)
    np.testing.assert_array_equal(stacked, [[1.0] * 3, [3.0] * 3])


@pytest.mark.parametrize("bad", [-0.5, np.nan, np.inf])
def test_a_ladder_refuses_the_strengths_that_predict_refuses(bad):
    with pytest.raises(Misuse):
        ladder(Scale(), TABLE, DATA, jnp.asarray([bad, 1.0]), lambda predictor: predictor)


def test_protocols_tell_what_predicts():
    assert isinstance(TABLE, Predictor)
    assert not isinstance(DATA, Predictor)
