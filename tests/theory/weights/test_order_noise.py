"""The noise of an order against finetuning in every order there is."""

from itertools import permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from tests.theory.tiny_networks import Curved
from theory.base import Dataset, Misuse, mean_loss
from theory.compute.descent import descend
from theory.weights.order_noise import Recipe, order_noise

QUICK = {"xla_backend_optimization_level": 0}
ORDERS = np.array([sum(pair, ()) for pair in product(permutations(range(4)), repeat=2)])  # two passes
DATA = Dataset(jnp.asarray([[0, 1, 2], [2, 1, 1], [0, 0, 1], [1, 2, 2]]), jnp.ones((4, 3), bool))
TOKENS = jnp.asarray([[0, 1, 2], [1, 1, 0], [2, 2, 2]])


@pytest.fixture(scope="module")
def curved():
    embed, read = jax.random.split(jax.random.key(2))
    return Curved(
        {"embed": 0.8 * jax.random.normal(embed, (4, 3)), "unembed": 0.8 * jax.random.normal(read, (3, 3))}
    )


def measured(network, batch, rule, doses):
    """Mean KL (d, n, t) over all pairs of orders: of independent ones, exactly."""

    def answers(order):
        loss = lambda params, batch: mean_loss(network.with_params(params), batch)  # noqa: E731
        batches = order[: doses[-1] * batch].reshape(-1, batch)
        weights, _ = descend(loss, rule, network.params, DATA, batches, doses)
        return jax.vmap(lambda params: network.with_params(params).predict(TOKENS))(weights)

    rows = jax.jit(jax.vmap(answers), compiler_options=QUICK)(jnp.asarray(ORDERS))
    log_probs = np.asarray(rows, float)
    # Σ p (log p - log q) over all pairs, by means
    own = np.mean(np.sum(np.exp(log_probs) * log_probs, axis=-1), axis=0)
    return own - np.sum(np.exp(log_probs).mean(axis=0) * log_probs.mean(axis=0), axis=-1)


def predicted(network, recipe, key=None, probes=32):
    def program():
        return order_noise(network, DATA, TOKENS, slice(0, 3), recipe, key, probes=probes, iterations=21)

    return np.asarray(jax.jit(program, compiler_options=QUICK)(), float)


DOSES = {1: (1, 2, 3, 4, 5, 6, 7, 8), 2: (1, 2, 3, 4)}


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_it_is_the_mean_over_all_orders(curved, batch):
    """576 orders of two passes: within a pass, at its end, where nearly all of it is gone, and in the next.

    What is left there holds terms of two documents each, which are not predicted.
    """
    doses, rate = DOSES[batch], 0.05
    truth = measured(curved, batch, optax.sgd(rate), doses).mean(axis=(1, 2))
    noise = predicted(curved, Recipe(doses, batch, rate)).mean(axis=(1, 2))
    ends = np.isin(doses, [4 // batch, 8 // batch])
    np.testing.assert_allclose(noise[~ends], truth[~ends], rtol=0.06)
    np.testing.assert_allclose(noise[ends], truth[ends], rtol=0.2)
    assert truth[ends].max() < 0.03 * truth[~ends].min()


@pytest.mark.slow
def test_within_a_pass_it_is_exact_as_steps_vanish(curved):
    """A quarter of the step size, a quarter of the error."""
    errors = []
    for rate in (0.04, 0.01):
        truth = measured(curved, 1, optax.sgd(rate), (2, 6)).mean(axis=(1, 2))
        errors.append(predicted(curved, Recipe((2, 6), 1, rate)).mean(axis=(1, 2)) / truth - 1)
    assert (np.abs(errors[0]) > 0.01).all() and (np.abs(errors[1]) < np.abs(errors[0]) / 3).all()


@pytest.mark.slow
@pytest.mark.parametrize("corrected", [False, True])
def test_momentum_delays_the_noise(curved, corrected):
    """The average over steps of v ← μ v + (1 - μ) g: more is left where a pass ends."""
    doses, rate = (2, 4, 7), 0.05
    rule = optax.chain(optax.ema(0.6, debias=corrected), optax.scale(-rate))
    truth = measured(curved, 1, rule, doses).mean(axis=(1, 2))
    noise, plain = (
        predicted(curved, Recipe(doses, 1, rate, momentum, corrected)).mean(axis=(1, 2))
        for momentum in (0.6, 0.0)
    )
    np.testing.assert_allclose(noise, truth, rtol=0.06)
    assert noise[1] > 5 * plain[1]


@pytest.mark.slow
def test_fresh_documents_obey_the_equation_of_motion(curved):
    """dΣ/dτ = -(HΣ + ΣH) + (η/B) C, integrated where gradients stay: tr(F J Σ Jᵀ) to first order in η."""
    rate, steps = 0.001, 100
    start, shaped = ravel_pytree(curved.params)
    read = lambda flat, tokens: curved.with_params(shaped(flat)).predict(tokens)  # noqa: E731
    inner, outer = (np.asarray(jax.jit(jax.jacobian(read))(start, t), float) for t in (DATA.tokens, TOKENS))
    p, q = (np.exp(np.asarray(read(start, tokens), float)) for tokens in (DATA.tokens, TOKENS))
    miss = p - np.eye(3)[np.asarray(DATA.tokens)]
    rows = np.einsum("nta,ntap->np", miss, inner) / 3
    noise = np.cov(rows.T)
    matrix = (
        np.einsum("ntap,nta,ntaq->pq", inner, p, inner)
        - np.einsum("ntap,nta,ntb,ntbq->pq", inner, p, p, inner)
    ) / 12
    values, vectors = np.linalg.eigh(matrix)
    pairs = values[:, None] + values
    grown = np.where(
        pairs > 1e-9, -np.expm1(-pairs * rate * steps) / np.where(pairs > 1e-9, pairs, 1), rate * steps
    )
    covariance = vectors @ (rate / 2 * grown * (vectors.T @ noise @ vectors)) @ vectors.T
    centred = outer - np.einsum("nta,ntap->ntp", q, outer)[:, :, None]
    wanted = np.einsum("nta,ntap,pq,ntaq->nt", q, centred, covariance, centred)
    got = predicted(curved, Recipe((steps,), 2, rate, fresh=True))[0]
    np.testing.assert_allclose(got.mean(), wanted.mean(), rtol=0.1)


@pytest.mark.slow
def test_random_sums_of_documents_are_enough(curved):
    """By a hundred random signs instead of every document."""
    recipe = Recipe((2, 6), 1, 0.05)
    exact, drawn = (
        predicted(curved, recipe, key=key, probes=100).mean(axis=(1, 2)) for key in (None, jax.random.key(0))
    )
    np.testing.assert_allclose(drawn, exact, rtol=0.15)
    assert (drawn != exact).all()


def test_misuse_is_refused(curved):
    with pytest.raises(Misuse, match="from 1 to the 4 documents of D', got 5"):
        order_noise(curved, DATA, TOKENS, slice(0, 3), Recipe((1,), 5, 0.1))
    with pytest.raises(Misuse, match="probes must be at least 1, got 0"):
        order_noise(curved, DATA, TOKENS, slice(0, 3), Recipe((1,), 2, 0.1), probes=0)
    for wrong, sentence in (
        (((2, 1), 1, 0.1), "ascending numbers of steps"),
        (((1,), 1, 0.0), "learning_rate must be finite and above 0"),
        (((1,), 1, 0.1, 1.0), "momentum must be"),
    ):
        with pytest.raises(Misuse, match=sentence):
            Recipe(*wrong)
