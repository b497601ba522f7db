"""Tempered Bayes against conjugate posteriors and the evidence."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, mean_loss
from theory.contracts import Scale, Training
from theory.latent.mixture import Mixture
from theory.theories.tempered_posterior import TemperedPosterior, matched_rate


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Die:
    """Independent tokens."""

    log_probs: Any

    def predict(self, tokens):
        return jnp.broadcast_to(self.log_probs, (*tokens.shape, self.log_probs.shape[-1]))


def beta_prior(a, b, points=2000):
    """Coins under a Beta(a, b) prior on heads (token 1), by the midpoint rule."""
    theta = (np.arange(points) + 0.5) / points
    weights = (a - 1) * np.log(theta) + (b - 1) * np.log1p(-theta)
    coins = np.log(np.stack([1 - theta, theta], axis=-1))
    return Mixture(Die(jnp.asarray(coins)), jnp.asarray(weights))


def dirichlet_prior(alpha, points=160):
    """Three-sided dice under a Dirichlet(alpha) prior, on a triangular grid of midpoints."""
    grid = [(i, j) for i in range(points) for j in range(points - i)]
    p = (np.array(grid) + 1 / 3) / (points + 0.0)
    p = np.concatenate([p, 1 - p.sum(axis=1, keepdims=True)], axis=1)
    weights = np.sum((np.array(alpha) - 1) * np.log(p), axis=1)
    return Mixture(Die(jnp.log(jnp.asarray(p))), jnp.asarray(weights))


TOKENS = np.array([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]], bool)
COINS = Dataset(jnp.asarray(TOKENS), jnp.asarray(MASK))
HEADS, TAILS = 6, 2


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0, 3.0])
def test_coins_follow_the_conjugate_posterior(beta):
    a, b = 3.0, 2.0
    after = TemperedPosterior().predict(beta_prior(a, b), COINS, beta)
    contexts = np.array([[1, 1, 1, 0], [0, 0, 1, 0], [0, 1, 0, 0]])
    got = np.exp(after.predict(jnp.asarray(contexts)))[..., 1]
    # the data count β times, the context once
    a, b = a + beta * HEADS, b + beta * TAILS
    seen = np.cumsum(contexts, axis=1) - contexts
    wanted = (a + seen) / (a + b + np.arange(4))
    np.testing.assert_allclose(got, wanted, rtol=3e-5)


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_dice_add_tempered_counts_to_the_dirichlet(beta):
    alpha = np.array([3.0, 4.0, 5.0])
    tokens = np.array([[0, 0, 2], [0, 1, 0]])
    data = Dataset(jnp.asarray(tokens), jnp.ones((2, 3), bool))
    after = TemperedPosterior().predict(dirichlet_prior(alpha), data, beta)
    got = np.exp(after.predict(jnp.asarray([[2, 2, 1]])))[0]
    for position, context in enumerate(([0, 0, 0], [0, 0, 1], [0, 0, 2])):
        counts = alpha + beta * np.array([4, 1, 1]) + context
        np.testing.assert_allclose(got[position], counts / counts.sum(), rtol=2e-3)


def evidence_of(process, data):
    """log p(data | z) and log π0, in numpy."""
    answers = np.asarray(process.components.answers, float)
    tokens = np.asarray(data.tokens)
    topics, replies = tokens[:, ::2], tokens[:, 1::2] - answers.shape[1]
    prior = np.asarray(process.log_weights, float)
    return np.array([table[topics, replies].sum() for table in answers]), prior


def test_the_integral_over_strengths_is_the_log_evidence(process, data):
    log_likelihoods, prior = evidence_of(process, data)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    total = 0.0
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        after = TemperedPosterior().predict(process, data, node)
        total += weight * np.sum(np.exp(np.asarray(after.log_weights, float)) * -log_likelihoods)
    wanted = -np.log(np.sum(np.exp(prior + log_likelihoods)))
    np.testing.assert_allclose(total, wanted, rtol=3e-6)
    ends = [np.exp(prior) @ -log_likelihoods, -log_likelihoods.max()]
    assert abs(np.mean(ends) - wanted) > 0.1  # a straight line would not do


@pytest.mark.parametrize("beta", [0.1, 1.0, 7.0])
def test_log_odds_move_by_the_strength_times_the_evidence(process, data, beta):
    log_likelihoods, prior = evidence_of(process, data)
    after = np.asarray(TemperedPosterior().predict(process, data, beta).log_weights, float)
    np.testing.assert_allclose(
        np.diff(after), np.diff(prior) + beta * np.diff(log_likelihoods), rtol=1e-5, atol=1e-5
    )


def test_only_masked_positions_count(process, data):
    none = Dataset(data.tokens, jnp.zeros_like(data.mask))
    after = TemperedPosterior().predict(process, none, 2.0)
    np.testing.assert_allclose(after.log_weights, process.log_weights, atol=1e-6)


def test_a_great_strength_leaves_the_most_likely_member(process, data):
    log_likelihoods, _ = evidence_of(process, data)
    after = TemperedPosterior().predict(process, data, 1e4)
    np.testing.assert_array_equal(np.exp(after.log_weights), np.eye(3)[log_likelihoods.argmax()])


def test_strength_zero_is_the_prior_also_where_a_member_holds_the_data_for_impossible():
    dice = Mixture(Die(jnp.log(jnp.asarray([[0.5, 0.5], [1.0, 0.0]]))), jnp.log(jnp.ones(2) / 2))
    after = TemperedPosterior().predict(dice, COINS, 0.0)
    np.testing.assert_allclose(np.exp(after.log_weights), [0.5, 0.5], rtol=1e-6)
    after = TemperedPosterior().predict(dice, COINS, 0.5)
    np.testing.assert_allclose(np.exp(after.log_weights), [1.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("recipe", "strengths"),
    [
        ({}, [0.25, 1.0, 4.0]),
        ({"fresh": True}, [0.0625, 0.25, 1.0]),
        ({"teacher": 0.03}, [0.03, 0.03, 0.03]),
    ],
)
def test_each_pass_counts_once_and_a_teacher_has_its_strength(recipe, strengths):
    """Steps of 4 documents out of 16."""
    training = Training((1, 4, 16), **{"batch": 4, "documents": 16, "fresh": False, "times": {}} | recipe)
    forecast = TemperedPosterior().strength(training, Scale(48.0, 1.0))
    np.testing.assert_allclose(forecast, strengths, rtol=1e-12)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Weighted:
    """A network whose weights are log-weights of hypotheses, `gain` times: it learns what to believe."""

    hypotheses: Mixture
    params: Any
    gain: Any

    def with_params(self, params):
        return Weighted(self.hypotheses, params, self.gain)

    def predict(self, tokens):
        return self.hypotheses.with_log_weights(self.gain * self.params).predict(tokens)


TOSSES = jnp.asarray([[0, 1, 1], [1, 1, 1], [1, 0, 1], [0, 0, 1]])
TOSSED = Dataset(TOSSES, jnp.ones(TOSSES.shape, bool))


def coins(*heads):
    log_probs = jnp.log(jnp.asarray([[1 - p, p] for p in heads]))
    return Mixture(Die(log_probs), jnp.log(jnp.full(len(heads), 1 / len(heads))))


@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_at_the_matched_rate_two_hypotheses_move_as_the_network_does(gain):
    """With two there is one log-odds; a small step of gradient descent moves it as β = rate × η does."""
    prior, step = coins(0.45, 0.6), 1e-3
    network = Weighted(prior, prior.log_weights / gain, gain)
    gradient = jax.jit(jax.grad(lambda params: mean_loss(network.with_params(params), TOSSED)))(
        network.params
    )
    moved = prior.with_log_weights(gain * (network.params - step * gradient))
    beta = float(matched_rate(prior, network, TOSSED)) * step
    wanted = TemperedPosterior().predict(prior, TOSSED, beta)
    change, theirs = (float(jnp.diff(after.log_weights - prior.log_weights)[0]) for after in (moved, wanted))
    assert abs(theirs) > 1e-5
    np.testing.assert_allclose(change, theirs, rtol=2e-2)


def test_the_matched_rate_gains_likelihood_as_fast_as_gradient_flow():
    """With many hypotheses the directions may differ, the speed on D' itself does not."""
    prior, step = coins(0.2, 0.45, 0.6, 0.9), 1e-2
    network = Weighted(prior, prior.log_weights, 1.0)
    gradient = jax.jit(jax.grad(lambda params: mean_loss(network.with_params(params), TOSSED)))(
        network.params
    )
    flowed = network.with_params(network.params - step * gradient)
    beta = float(matched_rate(prior, network, TOSSED)) * step
    tempered = TemperedPosterior().predict(prior, TOSSED, beta)
    before, *gains = (float(mean_loss(model, TOSSED)) for model in (network, flowed, tempered))
    np.testing.assert_allclose(before - gains[0], before - gains[1], rtol=3e-2)
    assert before - gains[0] > 1e-5


def test_a_hypothesis_that_rules_the_data_out_does_not_count_and_nothing_to_gain_has_no_rate():
    network = Weighted(coins(0.45, 0.6), coins(0.45, 0.6).log_weights, 1.0)
    known = float(matched_rate(coins(0.45, 0.6), network, TOSSED))
    assert float(matched_rate(coins(0.45, 1.0, 0.6), network, TOSSED)) == pytest.approx(known, rel=1e-4)
    assert np.isnan(float(matched_rate(coins(0.6, 0.6), network, TOSSED)))
