"""The Kronecker metric against products of matrices written out in float64."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.theory.tiny_networks import Curved
from theory.base import Dataset, Misuse
from theory.weights.diagonal_metrics import fisher as diagonal
from theory.weights.kronecker import Kronecker, kronecker

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run
RNG = np.random.default_rng(6)
SHAPES = {"bias": (3,), "embed": (4, 2), "unembed": (2, 3)}
CURVED = Curved({name: jnp.asarray(RNG.normal(size=shape)) for name, shape in SHAPES.items()})
DATA = Dataset(jnp.asarray(RNG.integers(0, 3, (6, 4))), jnp.asarray(RNG.random((6, 4)) < 0.8))


def quick(function):
    return jax.jit(function, compiler_options=QUICK)


def slopes(network, data):
    """Every document's gradient in float64, the formula of `Curved` differentiated by hand."""
    result = {name: [] for name in network.params}
    embed, read, bias = (np.asarray(network.params[name], float) for name in ("embed", "unembed", "bias"))
    for tokens, mask in zip(np.asarray(data.tokens), np.asarray(data.mask), strict=True):
        sums = {name: np.zeros(np.shape(leaf)) for name, leaf in network.params.items()}
        for position, token in enumerate(tokens):
            row = tokens[position - 1] if position else 3
            inside = np.tanh(embed[row])
            p = np.exp(inside @ read + bias)
            miss = mask[position] * (np.eye(3)[token] - p / p.sum())
            sums["bias"] += miss
            sums["unembed"] += np.outer(inside, miss)
            sums["embed"][row] += (1 - inside**2) * (read @ miss)
        for name, leaf in sums.items():
            result[name].append(leaf)
    return {name: np.array(leaf) for name, leaf in result.items()}


def matrices(floor):
    """Λ of every array, written out, and ε."""
    each = {name: leaf.reshape(6, -1, leaf.shape[-1]) for name, leaf in slopes(CURVED, DATA).items()}
    size = sum(leaf[0].size for leaf in each.values())
    raised = floor * sum((leaf**2).sum() / 6 for leaf in each.values()) / size
    result = {}
    for name, leaf in each.items():
        left, right = np.einsum("nab,ncb->ac", leaf, leaf) / 6, np.einsum("nab,nac->bc", leaf, leaf) / 6
        result[name] = np.kron(left, right) / np.trace(left) + raised * np.eye(leaf[0].size)
    return result


def power(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


@pytest.mark.parametrize("exponent", [1.0, -1.0, -0.5])
@pytest.mark.parametrize("floor", [0.05, 1.0])
def test_powers_are_those_of_the_product_written_out(exponent, floor):
    vector = {name: RNG.normal(size=shape) for name, shape in SHAPES.items()}
    program = quick(lambda network, vector: kronecker(network, DATA, floor).power(vector, exponent))
    got = program(CURVED, jax.tree.map(jnp.asarray, vector))
    for name, matrix in matrices(floor).items():
        wanted = power(matrix, exponent) @ vector[name].ravel()
        np.testing.assert_allclose(np.ravel(got[name]), wanted, atol=2e-4 * np.abs(wanted).max())
        assert got[name].shape == SHAPES[name]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bilinear:
    """One answer a document: logits xᵀ W for an input x that the first token chooses."""

    params: Any
    inputs: Any

    def predict(self, tokens):
        result = jax.nn.log_softmax(self.inputs[tokens[:, 0]] @ self.params["w"])
        return jnp.broadcast_to(result[:, None], (*tokens.shape, result.shape[-1]))

    def with_params(self, params):
        return replace(self, params=params)


def test_it_is_exact_where_the_fisher_information_is_a_product():
    """W = 0 and every input with every answer: G = x (y - 1/3)ᵀ, all pairs."""
    inputs = RNG.normal(size=(3, 2))
    network = Bilinear({"w": jnp.zeros((2, 3))}, jnp.asarray(inputs))
    pairs = np.array([(before, answer) for before in range(3) for answer in range(3)])
    data = Dataset(jnp.asarray(pairs), jnp.asarray([[False, True]] * 9))
    gradients = [np.kron(inputs[before], np.eye(3)[answer] - 1 / 3) for before, answer in pairs]
    exact = sum(np.outer(each, each) for each in gradients) / 9
    metric = quick(lambda network: kronecker(network, data, floor=0.01))(network)
    got = jax.vmap(lambda column: metric.power({"w": column.reshape(2, 3)}, 1.0)["w"].ravel())(jnp.eye(6))
    wanted = exact + 0.01 * np.trace(exact) / 6 * np.eye(6)
    np.testing.assert_allclose(got, wanted, atol=1e-6 * np.abs(exact).max())
    assert np.abs(exact - np.diag(np.diag(exact))).max() > 0.1 * np.abs(exact).max()  # a diagonal is not


def test_the_trace_is_the_fisher_informations():
    """That of the diagonal metric too, at every floor."""
    for floor in (0.05, 1.0):
        both = quick(
            lambda network, floor=floor: (
                kronecker(network, DATA, floor).values,
                diagonal(network, DATA, floor),
            )
        )(CURVED)
        result, other = (sum(np.sum(leaf) for leaf in jax.tree.leaves(each)) for each in both)
        np.testing.assert_allclose(result, other, rtol=1e-5)


def test_documents_without_counted_positions_tell_nothing():
    """The metric is then a tiny identity, and no power is undefined."""
    nothing = Dataset(DATA.tokens, jnp.zeros_like(DATA.mask))
    got = quick(lambda network: kronecker(network, nothing).power(network.params, -0.5))(CURVED)
    for name, leaf in got.items():
        np.testing.assert_allclose(leaf, CURVED.params[name] * 1e15, rtol=1e-3)


def test_no_matrix_of_all_weights_is_kept():
    metric = quick(lambda network: kronecker(network, DATA))(CURVED)
    assert [leaf.shape for leaf in jax.tree.leaves(metric.left)] == [(1, 1), (4, 4), (2, 2)]
    assert [leaf.shape for leaf in jax.tree.leaves(metric.right)] == [(3, 3), (2, 2), (3, 3)]
    assert jax.tree.map(jnp.shape, metric.values) == {"bias": (1, 3), "embed": (4, 2), "unembed": (2, 3)}


@pytest.mark.parametrize("floor", [0.0, -0.1, np.nan])
def test_a_floor_that_is_not_positive_is_refused(floor):
    with pytest.raises(Misuse, match=f"floor must be above 0, got {floor}"):
        kronecker(CURVED, DATA, floor=floor)


def test_a_metric_of_another_network_is_refused():
    with pytest.raises(Misuse, match="must be made of the network it is used for"):
        Kronecker({}, {}, {}).power({"w": jnp.zeros((2, 3))}, 1.0)
