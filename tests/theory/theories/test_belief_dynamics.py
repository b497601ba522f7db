"""The sum of terms against numpy, the formula for two concepts, and where the terms outweigh each other."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse
from theory.latent.mixture import Mixture
from theory.processes.persona_topics import PersonaTopics
from theory.theories.belief_dynamics import BeliefDynamics
from theory.theories.tempered_posterior import TemperedPosterior


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Coin:
    """Independent tokens, in documents of seven."""

    log_probs: Any

    def predict(self, tokens):
        return jnp.broadcast_to(self.log_probs, (*tokens.shape, 2))

    def sample(self, key, n):
        return jax.random.categorical(key, self.log_probs, shape=(n, 7))


def coins(heads, weights):
    heads = np.array(heads)
    return Mixture(
        Coin(jnp.log(jnp.asarray(np.stack([1 - heads, heads], axis=-1)))), jnp.log(jnp.asarray(weights))
    )


# two concepts, and what a head says for the first: evidence E a shot
PAIR = coins([0.8, 0.4], [0.02, 0.98])
E, B = np.log(2.0), np.log(0.02 / 0.98)
HEADS = jnp.ones((1, 40), int)
DATA = Dataset(jnp.asarray([[1, 1, 0], [1, 0, 0]]), jnp.asarray([[True, True, True], [True, False, False]]))
say = jax.jit(lambda predictor, tokens: predictor.predict(tokens))
odds_of = jax.jit(lambda beliefs, tokens: beliefs.log_odds(tokens))
everything = jax.jit(lambda it, tokens: (it.predict(tokens), it.log_prob(tokens), it.posterior(tokens)))
DOSE = 3 * np.log(2.0) + np.log(1 / 3)  # log-odds of what DATA counts: three heads and a tail


@pytest.mark.parametrize(
    ("steering", "scale", "alpha"), [(None, 1.0, 0.0), (0.7, 1.4, 0.35), (-2.0, 0.3, 0.9)]
)
@pytest.mark.parametrize("beta", [0.0, 0.6, 4.0])
def test_log_odds_of_two_concepts(steering, scale, alpha, beta):
    """a m + b + γ N^(1-α) (Bigelow et al., with γ = scale × E) + β × dose, by the number of heads seen."""
    theory = BeliefDynamics(None if steering is None else (steering, 0.0), scale, alpha)
    got = np.asarray(odds_of(theory.predict(PAIR, DATA, beta), HEADS), float)
    shots = np.arange(40)
    wanted = (steering or 0.0) + B + scale * E * np.where(shots > 0, shots ** (1 - alpha), 0) + beta * DOSE
    np.testing.assert_allclose(got[0, 0], wanted, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(got[1, 0], -wanted, rtol=2e-5, atol=2e-5)


def test_the_answer_is_the_sigmoid_of_the_log_odds():
    predictor = BeliefDynamics((0.5, 0.0), 1.2, 0.3).predict(PAIR, DATA, 0.5)
    share = 1 / (1 + np.exp(-np.asarray(odds_of(predictor, HEADS), float)[0, 0]))
    got = np.exp(np.asarray(say(predictor, HEADS), float))[0, :, 1]
    np.testing.assert_allclose(got, share * 0.8 + (1 - share) * 0.4, rtol=1e-5)


@pytest.mark.parametrize(("beta", "steering"), [(0.0, 0.0), (1.0, 0.0), (1.0, 0.6)])
def test_the_crossing_point_moves_with_dose_and_steering(beta, steering):
    """N* = (-(b + a m + f) / γ)^(1/(1-α)): fewer shots are needed after a dose."""
    scale, alpha = 1.0, 0.4
    crossing = (-(B + steering + beta * DOSE) / (scale * E)) ** (1 / (1 - alpha))
    assert 5 < crossing < 39
    predictor = BeliefDynamics((steering, 0.0), scale, alpha).predict(PAIR, DATA, beta)
    odds = np.asarray(odds_of(predictor, HEADS))[0, 0]
    np.testing.assert_array_equal(odds > 0, np.arange(40) > crossing)


def test_shots_of_two_tokens_on_personas_by_hand():
    """Three personas: weights before each answer are π0 e^(a m) p(context)^(γ N^-α) p(D')^β."""
    process = PersonaTopics(personas=3, topics=3, answers=2, pairs=4, seed=1)
    mixture, data = process.distribution(), process.narrow(jax.random.key(0), 5, 2, [0, 1])
    contexts = np.asarray(process.narrow(jax.random.key(1), 3, 0, [0, 1]).tokens)
    steering, scale, alpha, beta = (0.3, -0.2, 0.0), 0.8, 0.5, 0.7
    theory = BeliefDynamics(steering, scale, alpha, tokens_per_shot=2)
    predictor = theory.predict(mixture, data, beta)
    got = np.exp(np.asarray(say(predictor, jnp.asarray(contexts)), float))
    answers = process.answer_table()
    table = np.asarray(data.tokens)
    base = np.asarray(mixture.log_weights, float) + steering
    base = base + beta * answers[:, table[:, ::2], table[:, 1::2] - 3].sum(axis=(1, 2))
    for row, context in enumerate(contexts):
        topics, replies = context[::2], context[1::2] - 3
        for shot in range(4):
            seen = answers[:, topics[:shot], replies[:shot]] - np.log(3)  # a topic is one of three
            log_weights = base + scale * max(shot, 1) ** -alpha * seen.sum(axis=1)
            belief = np.exp(log_weights - log_weights.max())
            wanted = belief / belief.sum() @ np.exp(answers[:, topics[shot]])
            np.testing.assert_allclose(got[row, 2 * shot + 1, 3:], wanted, rtol=3e-5)


def test_unsteered_and_fully_heard_it_is_the_tempered_posterior():
    mixture = coins([0.5, 0.2, 0.9], [0.5, 0.3, 0.2])
    predictor, wanted = (
        theory.predict(mixture, DATA, 0.7) for theory in (BeliefDynamics(), TemperedPosterior())
    )
    for left, other in zip(everything(predictor, HEADS), everything(wanted, HEADS), strict=True):
        np.testing.assert_allclose(left, other, rtol=1e-4, atol=1e-5)
    rather = BeliefDynamics(scale=0.5).predict(mixture, DATA, 0.7)
    assert np.abs(say(rather, HEADS) - say(wanted, HEADS)).max() > 0.01


def test_steering_is_applied_once_however_often_one_finetunes():
    theory = BeliefDynamics((1.5, 0.0), 0.7, 0.3)
    once = theory.predict(PAIR, DATA, 0.9)
    twice = theory.predict(theory.predict(PAIR, DATA, 0.4), DATA, 0.5)
    np.testing.assert_allclose(odds_of(twice, HEADS), odds_of(once, HEADS), rtol=1e-4, atol=1e-5)


def test_probabilities_posterior_and_samples_are_those_of_its_own_predictions():
    predictor = BeliefDynamics((2.0, 0.0), 2.0, 0.5).predict(PAIR, DATA, 1.0)
    every = np.array(list(product(range(2), repeat=7)))
    log_probs, log_prob, after = (
        np.asarray(values, float) for values in everything(predictor, jnp.asarray(every))
    )
    chain = np.prod(np.take_along_axis(np.exp(log_probs), every[..., None], axis=-1)[..., 0], axis=1)
    np.testing.assert_allclose(np.exp(log_prob), chain, rtol=2e-5)
    np.testing.assert_allclose(chain.sum(), 1, rtol=1e-5)
    # belief after all seven tokens is belief before an eighth
    eighth = np.pad(every, ((0, 0), (0, 1)))
    odds = np.asarray(odds_of(predictor, jnp.asarray(eighth)), float)[0, :, 7]
    np.testing.assert_allclose(after[:, 0] - after[:, 1], odds, rtol=1e-4, atol=1e-4)
    tokens = np.asarray(jax.jit(lambda key: predictor.sample(key, 6000))(jax.random.key(2)))
    drawn = np.bincount(tokens @ 2 ** np.arange(6, -1, -1), minlength=128) / 6000
    assert (np.abs(drawn - chain) < 4.5 * np.sqrt(chain / 6000) + 1 / 6000).all()
    bayes = TemperedPosterior().predict(PAIR, DATA, 1.0)
    components = np.exp(np.asarray(jax.jit(bayes.log_prob)(jnp.asarray(every)), float))
    assert (
        np.abs(drawn - components) > 4.5 * np.sqrt(components / 6000) + 1 / 6000
    ).any()  # the check can fail


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steering": (np.nan, 0.0)}, "nan"),
        ({"scale": 0.0}, "scale .* got 0.0"),
        ({"scale": np.inf}, "scale .* got inf"),
        ({"alpha": 1.0}, "alpha .* got 1.0"),
        ({"alpha": np.nan}, "alpha .* got nan"),
        ({"tokens_per_shot": 0}, "tokens_per_shot must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(Misuse, match=words):
        BeliefDynamics(**settings)


def test_every_hypothesis_needs_a_steering():
    with pytest.raises(Misuse, match="Each of the 2 hypotheses needs a steering, got 3"):
        BeliefDynamics((1.0, 0.0, 0.0)).predict(PAIR, DATA, 0.1)
