"""The second-order expansion: exact where logits are quadratic in the weights, third order elsewhere."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from theory.base import mean_loss
from theory.compute.descent import descend, epochs
from theory.theories.linearised import Linearised
from theory.theories.quadratic import Quadratic, QuadraticExpansion

RATE, STEPS = 0.25, 12
BATCHES = epochs(jax.random.key(9), 8, 3, STEPS)
OPTIMIZERS = {"sgd": optax.sgd(RATE), "adam": optax.adam(RATE)}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bilinear:
    """Logits that are an embedding times a matrix: quadratic in both together."""

    params: Any

    def predict(self, tokens):
        vocabulary = self.params["unembed"].shape[-1]
        before = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=vocabulary)
        return jax.nn.log_softmax(self.params["embed"][before] @ self.params["unembed"])

    def with_params(self, params):
        return replace(self, params=params)


@pytest.fixture
def bilinear(curved):
    return Bilinear(curved.params)


def trained(prior, optimizer, data, doses):
    """The network itself, finetuned."""
    kept, _ = descend(
        lambda params, batch: mean_loss(prior.with_params(params), batch),
        optimizer,
        prior.params,
        data,
        BATCHES,
        doses,
    )
    return kept


def probabilities(predictor, tokens):
    return np.exp(np.asarray(predictor.predict(tokens), float))


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_network_quadratic_in_its_weights_is_predicted_exactly(bilinear, data, documents, rule):
    doses = [1, 5, STEPS]
    weights = trained(bilinear, OPTIMIZERS[rule], data, doses)
    path = Quadratic(OPTIMIZERS[rule], RATE, BATCHES).path(bilinear, data, RATE * np.asarray(doses))
    line = Linearised(OPTIMIZERS[rule], RATE, BATCHES).predict(bilinear, data, STEPS * RATE)
    for row in range(3):
        network, theory = (
            probabilities(bilinear.with_params(jax.tree.map(lambda leaf: leaf[row], params)), documents)  # noqa: B023
            for params in (weights, path.params)
        )
        np.testing.assert_allclose(theory, network, atol=1e-4)
        parabola = jax.tree.map(lambda leaf: leaf[row], path)  # noqa: B023
        np.testing.assert_allclose(probabilities(parabola, documents), network, atol=1e-4)
    assert np.abs(network - probabilities(bilinear, documents)).max() > 0.2
    assert np.abs(network - probabilities(line, documents)).max() > 0.05


def test_a_parabola_is_the_second_order_expansion(curved, documents):
    """Against dense first and second derivatives: log-probabilities + J d + ½ dᵀ H d, normalised."""
    delta = jax.tree.map(lambda leaf: 0.3 * jax.random.normal(jax.random.key(0), leaf.shape), curved.params)
    flat, unravel = jax.flatten_util.ravel_pytree(curved.params)
    d, tokens = np.asarray(jax.flatten_util.ravel_pytree(delta)[0], float), documents[:5]
    read = lambda w: curved.with_params(unravel(w)).predict(tokens)  # noqa: E731
    logits = np.asarray(read(flat), float) + np.asarray(jax.jit(jax.jacrev(read))(flat), float) @ d
    logits += 0.5 * np.einsum("ntvpq,p,q->ntv", np.asarray(jax.jit(jax.hessian(read))(flat), float), d, d)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    moved = jax.tree.map(jnp.add, curved.params, delta)
    np.testing.assert_allclose(probabilities(QuadraticExpansion(curved, moved), tokens), wanted, rtol=3e-5)


def test_the_error_of_a_displacement_is_of_third_order(curved, documents):
    delta = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(1), leaf.shape), curved.params)

    def error(size):
        moved = jax.tree.map(lambda leaf, step: leaf + size * step, curved.params, delta)
        gap = QuadraticExpansion(curved, moved).predict(documents) - curved.with_params(moved).predict(
            documents
        )
        return np.linalg.norm(np.asarray(gap, float))

    large, small = error(0.12), error(0.06)
    assert small > 2e-3
    assert abs(large / small - 8) < 0.8


def test_the_error_of_training_is_of_third_order(curved, data, documents):
    """Half the step size, half the displacement, an eighth of the error."""

    def error(rate):
        weights = trained(curved, optax.sgd(rate), data, [STEPS])
        network = curved.with_params(jax.tree.map(lambda leaf: leaf[0], weights))
        parabola = Quadratic(optax.sgd(rate), rate, BATCHES).predict(curved, data, STEPS * rate)
        return np.linalg.norm(np.asarray(parabola.predict(documents) - network.predict(documents), float))

    large, small = error(0.008), error(0.004)
    assert small > 5e-5  # far above rounding
    assert abs(large / small - 8) < 1


def test_no_training_time_is_the_base_network(curved, data, documents):
    after = Quadratic(optax.sgd(RATE), RATE, BATCHES).predict(curved, data, 0.0)
    np.testing.assert_allclose(probabilities(after, documents), probabilities(curved, documents), atol=1e-6)
