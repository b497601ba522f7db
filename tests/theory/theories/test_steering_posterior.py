"""Steering posterior: where the stream is linear in log-odds it is the exchangeable mixture, exactly."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.inside import steerable
from models.network import build, first
from models.transformer import Architecture
from theory.base import Misuse, Steerable
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.steering_posterior import example

SHAPE = Architecture(8, 1, 1)


@pytest.fixture(scope="module")
def theory():
    return example()


def test_the_pattern_of_exact_log_odds_is_a_nat_of_each(theory, believer):
    """Up to a number added to all, which says nothing of hypotheses."""
    patterns = np.asarray(theory.patterns(believer))
    np.testing.assert_allclose(patterns - patterns.mean(axis=0), np.eye(3) - 1 / 3, atol=1e-4)


@pytest.mark.parametrize("beta", [0.02, 0.3, 4.0])
def test_it_is_the_exchangeable_mixture_of_a_bayesian_stream(theory, believer, data, documents, beta):
    exact = ExchangeableMixture().predict(believer.process, data, beta).predict(documents)
    steered = jax.jit(theory.predict)(believer, data, beta).predict(documents)
    moved = np.abs(np.exp(exact) - np.exp(believer.predict(documents))).max()
    assert np.abs(np.exp(steered) - np.exp(exact)).max() < 1e-4 < moved / 10


@pytest.mark.slow
def test_what_is_written_at_another_scale_makes_the_same_answers(theory, believer, data, documents):
    """The likelihood finds the shift, whatever the units of the stream."""

    class Scaled(type(believer)):
        def streams(self, tokens):
            return 3 * super().streams(tokens)

        def predict(self, tokens):
            belief = jnp.moveaxis(jax.nn.log_softmax(self.streams(tokens)[:, 1] / 3), -1, 0)
            return jax.nn.logsumexp(belief[..., None] + self.process.component_log_probs(tokens), axis=0)

        def shifted(self, depth, vector):
            return replace(self, shift=self.shift + vector / 3)

    other = Scaled(believer.process, believer.shift)
    plain, scaled = (theory.predict(each, data, 0.3).predict(documents) for each in (believer, other))
    np.testing.assert_allclose(np.exp(scaled), np.exp(plain), atol=1e-4)


@pytest.mark.slow
def test_a_network_is_steered_and_finds_d_prime_likelier(theory, data, documents):
    network = steerable(first(build(SHAPE, 5, 4, [0])))
    assert isinstance(network, Steerable)
    np.testing.assert_array_equal(network.predict(documents), network.network.predict(documents))
    seen = jax.nn.one_hot(data.tokens, 5) * np.asarray(data.mask)[..., None]

    @jax.jit
    def likelihoods(network):
        both = theory.path(network, data, np.array([0.0, 4.0]))
        return jax.lax.map(lambda steered: jnp.sum(seen * steered.predict(data.tokens)), both)

    before, after = likelihoods(network)
    assert after > before + 1e-3


def test_a_predictor_without_a_stream_is_refused_in_a_sentence(theory, bigram, believer, data):
    with pytest.raises(Misuse, match=r"a stream to read and shift.*got Bigram"):
        theory.predict(bigram, data, 0.1)
    with pytest.raises(Misuse, match="needs a process and documents of it"):
        replace(theory, documents=None).patterns(believer)
