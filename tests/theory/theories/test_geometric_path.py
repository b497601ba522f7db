"""The geometric path: its ends, KL-regularised finetuning, and impossible tokens."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Misuse
from theory.contracts import Setting
from theory.theories.best_hypothesis import most_likely, share
from theory.theories.geometric_path import GeometricBlend, GeometricPath


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Fixed:
    """The same next-token log-probabilities everywhere."""

    log_probs: Any

    def predict(self, tokens):
        return jnp.broadcast_to(self.log_probs, (*tokens.shape, self.log_probs.shape[-1]))


def probabilities(predictor, tokens):
    return np.exp(np.asarray(predictor.predict(tokens), float))


def target(process, data):
    """The index of the member that makes the data most likely, in numpy."""
    answers, tokens = np.asarray(process.components.answers), np.asarray(data.tokens)
    return np.argmax([table[tokens[:, ::2], tokens[:, 1::2] - 3].sum() for table in answers])


def test_the_target_is_the_most_likely_member(process, data, documents):
    wanted = process.component(target(process, data)).predict(documents)
    np.testing.assert_array_equal(most_likely(process, data).predict(documents), wanted)
    assert target(process, data) == 2  # not the first by chance


@pytest.mark.parametrize("which", ["bigram", "process"])
def test_the_ends_are_the_prior_and_the_target(request, process, data, documents, which):
    prior, theory = request.getfixturevalue(which), GeometricPath(process)
    start, end = (theory.predict(prior, data, beta) for beta in (0.0, 60.0))
    np.testing.assert_allclose(probabilities(start, documents), probabilities(prior, documents), atol=1e-6)
    np.testing.assert_allclose(
        probabilities(end, documents), probabilities(process.component(2), documents), atol=1e-6
    )


@pytest.mark.parametrize("beta", [0.05, 0.7, 3.0])
def test_it_is_finetuning_with_the_log_ratio_as_reward(bigram, process, data, documents, beta):
    """p ∝ p_0 exp(τ log(q / p_0)), τ = 1 - exp(-β) (Korbak et al.)."""
    got = probabilities(GeometricPath(process).predict(bigram, data, beta), documents)
    start = probabilities(bigram, documents)
    end = probabilities(process.component(2), documents)
    with np.errstate(divide="ignore"):
        wanted = start * np.exp((1 - np.exp(-beta)) * np.log(end / start))
    wanted /= wanted.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(got, wanted, rtol=3e-5, atol=1e-7)


def test_it_maximises_the_regularised_reward():
    """No distribution has a greater τ E[log q / p_0] - KL(p ‖ p_0) than the blend."""
    start, end, tau = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.2, 0.7]), 0.4

    def value(p):
        return np.sum(p * (tau * np.log(end / start) - np.log(p / start)), axis=-1)

    ends = (Fixed(jnp.log(jnp.asarray(p))) for p in (start, end))
    blend = GeometricBlend(*ends, jnp.asarray(tau))
    best = probabilities(blend, jnp.zeros((1, 1), int))[0, 0]
    others = np.random.default_rng(0).dirichlet(np.ones(3), size=2000)
    near = best + 0.01 * (others - best)
    assert value(others).max() < value(best)
    assert value(near).max() < value(best)
    # at the maximum the value is the log normaliser
    np.testing.assert_allclose(value(best), np.log(np.sum(start ** (1 - tau) * end**tau)), rtol=1e-5)


def test_an_impossible_token_stays_impossible_between_the_ends():
    start = Fixed(jnp.log(jnp.asarray([0.5, 0.5, 0.0])))
    end = Fixed(jnp.log(jnp.asarray([0.0, 0.5, 0.5])))
    tokens = jnp.zeros((1, 1), int)
    wanted = {0.0: [0.5, 0.5, 0.0], 0.3: [0.0, 1.0, 0.0], 1.0: [0.0, 0.5, 0.5]}
    for tau, row in wanted.items():
        got = probabilities(GeometricBlend(start, end, jnp.asarray(tau)), tokens)[0, 0]
        np.testing.assert_allclose(got, row, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 1e-6, 0.3, 40.0])
def test_the_share_is_exact_for_small_strengths(beta):
    np.testing.assert_allclose(share(beta), -np.expm1(-beta), rtol=1e-6)


def test_hypotheses_are_those_of_the_exact_process_where_none_are_given(process, data, bigram):
    setting = Setting(process, bigram, data, data, jax.random.key(0))
    with pytest.raises(Misuse, match="GeometricPath needs hypotheses, got None"):
        GeometricPath().predict(bigram, data, 1.0)
    assert GeometricPath().complete(setting).hypotheses is process
    given = GeometricPath(process.with_log_weights(jnp.zeros(3)))
    assert given.complete(setting) is given
