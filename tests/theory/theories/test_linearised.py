"""The linearised network: exact where the network is linear, second order where it is not."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from theory.base import Misuse, mean_loss
from theory.compute.descent import descend, epochs
from theory.theories.linearised import Linearised, Linearization, Tangent

RATE, STEPS = 0.25, 12
BATCHES = epochs(jax.random.key(9), 8, 3, STEPS)
OPTIMIZERS = {"sgd": optax.sgd(RATE), "adam": optax.adam(RATE)}


def probabilities(predictor, tokens):
    return np.exp(np.asarray(predictor.predict(tokens), float))


def trained(prior, optimizer, data, doses, batches=BATCHES):
    """The network itself, finetuned."""
    kept, _ = descend(
        lambda params, batch: mean_loss(prior.with_params(params), batch),
        optimizer,
        prior.params,
        data,
        batches,
        doses,
    )
    return kept


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_network_linear_in_its_weights_is_predicted_exactly(bigram, data, documents, rule):
    doses = [1, 5, STEPS]
    weights = trained(bigram, OPTIMIZERS[rule], data, doses)
    theory = Linearised(OPTIMIZERS[rule], RATE, BATCHES)
    stacked = theory.path(bigram, data, RATE * jnp.asarray(doses))
    np.testing.assert_allclose(stacked.displacement, weights - bigram.params, atol=1e-5)
    got = np.exp(jax.vmap(lambda tangent: tangent.predict(documents))(stacked))
    for row in range(3):
        wanted = probabilities(bigram.with_params(weights[row]), documents)
        np.testing.assert_allclose(got[row], wanted, atol=5e-6)
    assert np.abs(got[2] - probabilities(bigram, documents)).max() > 0.2


def test_the_recipes_batches_are_followed(bigram, data):
    theory = Linearised(optax.sgd(RATE), RATE, BATCHES)
    other = Linearised(optax.sgd(RATE), RATE, jnp.flip(BATCHES, axis=0))
    left, right = (theory.predict(bigram, data, 2 * RATE).displacement for theory in (theory, other))
    wanted = trained(bigram, optax.sgd(RATE), data, [2], jnp.flip(BATCHES, axis=0))[0]
    np.testing.assert_allclose(right, wanted - bigram.params, atol=1e-6)
    assert np.abs(left - right).max() > 1e-3


def test_an_expansion_finetuned_is_the_theory(curved, data, documents):
    """The same recipe on the expansion's weights, and on the tangent's displacement."""
    doses = [1, 5, STEPS]
    weights = trained(Linearization(curved, curved.params), OPTIMIZERS["adam"], data, doses)
    stacked = Linearised(OPTIMIZERS["adam"], RATE, BATCHES).path(curved, data, RATE * jnp.asarray(doses))
    for row in range(3):
        params, moved = (jax.tree.map(lambda leaf: leaf[row], tree) for tree in (weights, stacked))  # noqa: B023
        got = probabilities(Linearization(curved, params), documents)
        np.testing.assert_allclose(
            got, probabilities(Tangent(curved, moved.displacement), documents), atol=1e-5
        )
    assert np.abs(got - probabilities(curved, documents)).max() > 0.1


def test_a_tangent_is_the_first_order_expansion(curved, documents):
    """Against finite Jacobians: log-probabilities, plus J δ, normalised."""
    delta = jax.tree.map(lambda leaf: 0.3 * jax.random.normal(jax.random.key(0), leaf.shape), curved.params)
    flat, unravel = jax.flatten_util.ravel_pytree(curved.params)
    jacobian = jax.jit(jax.jacrev(lambda w: curved.with_params(unravel(w)).predict(documents)))(flat)
    logits = np.asarray(curved.predict(documents), float)
    logits = logits + np.asarray(jacobian, float) @ np.asarray(jax.flatten_util.ravel_pytree(delta)[0], float)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(probabilities(Tangent(curved, delta), documents), wanted, rtol=3e-5)


def test_a_tangents_weights_are_its_displacement(curved):
    delta = jax.tree.map(jnp.ones_like, curved.params)
    tangent = Tangent(curved, delta)
    assert tangent.params is delta
    assert tangent.with_params(None).displacement is None
    assert tangent.with_params(None).base is curved


def test_the_error_of_a_displacement_is_of_second_order(curved, documents):
    delta = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(1), leaf.shape), curved.params)

    def error(size):
        moved = jax.tree.map(lambda leaf, step: leaf + size * step, curved.params, delta)
        tangent = Tangent(curved, jax.tree.map(lambda step: size * step, delta))
        wanted = curved.with_params(moved).predict(documents)
        return np.linalg.norm(np.asarray(tangent.predict(documents) - wanted, float))

    ratio = error(0.04) / error(0.02)
    assert error(0.02) > 1e-3
    assert abs(ratio - 4) < 0.2


def test_the_error_of_training_is_of_second_order(curved, data, documents):
    """Half the step size, half the displacement, a quarter of the error."""

    def error(rate):
        weights = trained(curved, optax.sgd(rate), data, [STEPS])
        network = curved.with_params(jax.tree.map(lambda leaf: leaf[0], weights))
        theory = Linearised(optax.sgd(rate), rate, BATCHES)
        tangent = theory.predict(curved, data, STEPS * rate)
        gap = np.asarray(tangent.predict(documents) - network.predict(documents), float)
        return np.linalg.norm(gap)

    large, small = error(0.005), error(0.0025)
    assert small > 5e-4
    assert abs(large / small - 4) < 0.3


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_training_is_a_loop_over_an_explicit_jacobian(curved, data, rule):
    """Cross-entropy of f_0 + J δ, its gradient J^T (p - y) written out, step by step."""
    flat, unravel = jax.flatten_util.ravel_pytree(curved.params)
    jacobian = np.asarray(
        jax.jit(jax.jacrev(lambda w: curved.with_params(unravel(w)).predict(data.tokens)))(flat), float
    )
    start = np.asarray(curved.predict(data.tokens), float)
    wanted = np.eye(5)[np.asarray(data.tokens)]
    mask = np.asarray(data.mask)[..., None]
    delta, first, second = np.zeros(len(flat)), 0.0, 0.0
    for count, rows in enumerate(np.asarray(BATCHES[:5]), start=1):
        logits = start[rows] + jacobian[rows] @ delta
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        miss = np.where(mask[rows], p - wanted[rows], 0) / mask[rows].sum()
        gradient = np.einsum("ntv,ntvp->p", miss, jacobian[rows])
        if rule == "sgd":
            delta -= RATE * gradient
        else:
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            size = np.sqrt(second / (1 - 0.999**count)) + 1e-8
            delta -= RATE * first / (1 - 0.9**count) / size
    theory = Linearised(OPTIMIZERS[rule], RATE, BATCHES)
    got = jax.flatten_util.ravel_pytree(theory.predict(curved, data, 5 * RATE).displacement)[0]
    moved = np.abs(np.asarray(got)) > 0
    np.testing.assert_allclose(np.asarray(got), delta, atol=2e-4 if rule == "adam" else 1e-5)
    assert moved.any() and np.abs(delta).max() > 0.1


def test_losses_are_those_of_the_linearised_network(bigram, data):
    theory = Linearised(optax.sgd(RATE), RATE, BATCHES)
    _, losses = theory.trained(bigram, data, [4])
    assert losses.shape == (4,)
    first = jax.tree.map(lambda leaf: leaf[BATCHES[0]], data)
    np.testing.assert_allclose(losses[0], mean_loss(bigram, first), rtol=1e-5)


def test_no_training_time_is_the_base_network(curved, data, documents):
    after = Linearised(optax.sgd(RATE), RATE, BATCHES).predict(curved, data, 0.0)
    np.testing.assert_allclose(probabilities(after, documents), probabilities(curved, documents), atol=1e-6)


def test_more_time_than_the_recipe_has_is_refused(bigram, data):
    theory = Linearised(optax.sgd(RATE), RATE, BATCHES)
    with pytest.raises(Misuse, match=r"12 steps, .* for 13;"):
        theory.predict(bigram, data, 13 * RATE)
