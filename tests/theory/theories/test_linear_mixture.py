"""The linear mixture: its ends, its straight line, and the forward-KL barycentre."""

import jax.numpy as jnp
import numpy as np
import pytest

from theory.theories.linear_mixture import LinearMixture


def probabilities(predictor, tokens):
    return np.exp(np.asarray(predictor.predict(tokens), float))


@pytest.mark.parametrize("which", ["bigram", "process"])
def test_the_ends_are_the_prior_and_the_target(request, process, data, documents, which):
    prior, theory = request.getfixturevalue(which), LinearMixture(process)
    start, end = (theory.predict(prior, data, beta) for beta in (0.0, 60.0))
    np.testing.assert_allclose(probabilities(start, documents), probabilities(prior, documents), atol=1e-6)
    np.testing.assert_allclose(
        probabilities(end, documents), probabilities(process.component(2), documents), atol=1e-6
    )


@pytest.mark.parametrize("beta", [0.05, 0.7, 3.0])
def test_it_is_straight_in_probability(bigram, process, data, documents, beta):
    got = probabilities(LinearMixture(process).predict(bigram, data, beta), documents)
    tau = 1 - np.exp(-beta)
    start = probabilities(bigram, documents)
    end = probabilities(process.component(2), documents)
    np.testing.assert_allclose(got, (1 - tau) * start + tau * end, rtol=2e-5, atol=1e-7)


def test_it_is_the_barycentre_in_forward_kl(bigram, process, data, documents):
    """No p has a smaller (1-τ) KL(p_0 ‖ p) + τ KL(q ‖ p)."""
    answers = np.s_[0, 1, 3:]
    start = probabilities(bigram, documents)[answers]
    start /= start.sum()
    end = probabilities(process.component(2), documents)[answers]
    tau = 1 - np.exp(-0.7)

    def value(p):
        both = (1 - tau) * start * np.log(start / p) + tau * end * np.log(end / p)
        return both.sum(axis=-1)

    class Prior:
        def predict(self, tokens):
            zeros = jnp.full((*tokens.shape, 3), -jnp.inf)
            row = jnp.broadcast_to(jnp.log(jnp.asarray(start)), (*tokens.shape, 2))
            return jnp.concatenate([zeros, row], axis=-1)

    blend = LinearMixture(process).predict(Prior(), data, 0.7)
    best = probabilities(blend, documents)[answers]
    others = np.random.default_rng(0).dirichlet(np.ones(2), size=1000)
    assert value(others).min() >= value(best) - 1e-9
    assert value(best + 0.02 * (others - best)).min() >= value(best) - 1e-9
    assert value(others).max() > value(best) + 0.1
