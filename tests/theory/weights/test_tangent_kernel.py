"""Tangent kernels of tables and biases, which are known, and of a transformer against its gradients."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.network import build, first
from models.transformer import Architecture
from theory.weights.tangent_kernel import alignment, kernel_of, tangent_features, tangent_kernel, transfer

TOKENS = jnp.array([[0, 3, 0, 0], [1, 4, 0, 0], [2, 3, 1, 0]])
POSITIONS = jnp.array([1, 1, 3])
ANSWERS = slice(3, 6)
LEFT, RIGHT = np.array([True, True, False]), np.array([False, False, True])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Table:
    """Logits of the next token by the last one, plus a bias that all share."""

    params: Any

    def predict(self, tokens):
        before = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)))
        return jax.nn.log_softmax(self.params["table"][before] + self.params["bias"])

    def with_params(self, params):
        return replace(self, params=params)


@dataclass(frozen=True)
class Fixed(Table):
    """The same with the table at rest."""

    def predict(self, tokens):
        return Table(jax.lax.stop_gradient(self.params) | {"bias": self.params["bias"]}).predict(tokens)


jax.tree_util.register_dataclass(Fixed)


def table(kind=Table):
    return kind({"table": jnp.zeros((6, 6)), "bias": jnp.zeros(6)})


@pytest.fixture(scope="module")
def network():
    return first(build(Architecture(8, 1, 2), 6, 4, [0]))


def test_a_bias_carries_everything_and_a_table_half_of_it():
    """One context's logits move by its own row and by the bias, another's by the bias alone."""
    bias, both = (tangent_kernel(table(kind), TOKENS, POSITIONS, ANSWERS) for kind in (Fixed, Table))
    assert alignment(np.asarray(bias), LEFT, RIGHT) == pytest.approx(1)
    moved = TOKENS.at[2, 2].set(2)  # else two contexts would read one row
    apart = tangent_kernel(table(), moved, POSITIONS, ANSWERS)
    assert alignment(np.asarray(apart), LEFT, RIGHT) == pytest.approx(0.5)
    assert alignment(np.asarray(both), LEFT, RIGHT) == pytest.approx(0.75)  # one of two pairs shares its row
    centring = np.eye(3) - 1 / 3
    assert np.asarray(apart[0, :, 0]) == pytest.approx(2 * centring)
    assert np.isnan(alignment(np.asarray(both), LEFT, np.zeros(3, bool)))


def test_a_metric_divides_the_kernel():
    metric = {"table": jnp.full((6, 6), 4.0), "bias": jnp.full(6, 2.0)}
    apart = TOKENS.at[2, 2].set(2)
    kernel = np.asarray(tangent_kernel(table(), apart, POSITIONS, ANSWERS, metric))
    centring = np.eye(3) - 1 / 3
    assert kernel[0, :, 0] == pytest.approx((1 / 4 + 1 / 2) * centring)
    assert kernel[0, :, 2] == pytest.approx(1 / 2 * centring)
    plain = tangent_features(table(), apart, POSITIONS, ANSWERS)
    assert np.array_equal(kernel_of(plain, metric), kernel)  # to the bit: powers of two


@pytest.mark.slow
def test_transfer_is_the_cosine_of_the_gradients_of_the_losses(network):
    target = jax.nn.softmax(jnp.arange(9.0).reshape(3, 3) % 4)

    def loss(params, rows):
        log_probs = network.with_params(params).predict(TOKENS)[jnp.arange(3), POSITIONS, ANSWERS]
        return -jnp.sum((target * jax.nn.log_softmax(log_probs))[rows])

    flat = [
        np.concatenate(
            [np.ravel(leaf) for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(network.params, rows))]
        )
        for rows in (np.flatnonzero(LEFT), np.flatnonzero(RIGHT))
    ]
    cosine = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
    kernel = np.asarray(tangent_kernel(network, TOKENS, POSITIONS, ANSWERS))
    answers = network.predict(TOKENS)[jnp.arange(3), POSITIONS, ANSWERS]
    residuals = np.asarray(jax.nn.softmax(answers) - target)
    assert transfer(kernel, residuals, LEFT, RIGHT) == pytest.approx(cosine, abs=1e-4)
    assert transfer(kernel, residuals, LEFT, LEFT) == pytest.approx(1, abs=1e-6)
    assert np.isnan(transfer(kernel, 0 * residuals, LEFT, RIGHT))
