"""The weights of a subnetwork move, all others stay."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.network import build, first
from models.transformer import Architecture
from theory.base import Dataset, Misuse, Parametric, log_likelihood
from theory.theories.proximal import Proximal
from theory.weights.subnetwork import subnetwork

NETWORK = first(build(Architecture(width=8, layers=2, heads=2), 3, 4, [0]))
TOKENS = jnp.asarray([[0, 1, 2, 0], [2, 2, 1, 1]])
DATA = Dataset(TOKENS, jnp.ones((2, 4), bool))


def slope(network):
    return jax.jit(jax.grad(lambda params: jnp.sum(log_likelihood(network.with_params(params), DATA))))(
        network.params
    )


def named(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def test_the_last_layer_of_a_transformer():
    """Its gradient is the whole network's, there; its predictions are the whole network's."""
    last = subnetwork(NETWORK, ["unembed"])
    assert isinstance(last, Parametric)
    every = named(NETWORK.params)
    assert [leaf.shape for leaf in last.params.values()] == [(8, 3)]
    np.testing.assert_array_equal(last.predict(TOKENS), NETWORK.predict(TOKENS))
    wanted = named(slope(NETWORK))
    assert len(every) == len(wanted) > 5
    for name, leaf in slope(last).items():
        np.testing.assert_allclose(leaf, wanted[name], rtol=1e-5)


def test_other_weights_stay():
    some = subnetwork(NETWORK, ["blocks.1", "position"])
    moved = some.with_params(jax.tree.map(lambda leaf: leaf + 1, some.params))
    after, before = named(moved.network().params), named(NETWORK.params)
    for name in before:
        inside = name.startswith(("blocks.1.", "position"))
        np.testing.assert_array_equal(after[name] - before[name] != 0, inside)
        assert (name in some.params) == inside
    assert jax.tree.structure(moved.network().params) == jax.tree.structure(NETWORK.params)
    assert np.abs(moved.predict(TOKENS) - NETWORK.predict(TOKENS)).max() > 0.1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pair:
    """Two rows of logits, added."""

    params: Any

    def predict(self, tokens):
        result = jax.nn.log_softmax(self.params["one"] + self.params["two"])
        return jnp.broadcast_to(result, (*tokens.shape, 3))

    def with_params(self, params):
        return replace(self, params=params)


def test_a_theory_over_weights_takes_a_subnetwork():
    """The part that moves alone against a network that has no other weights."""
    two = jnp.asarray([0.5, -1.0, 0.0])
    pair = Pair({"one": jnp.asarray([0.1, 0.2, 0.3]), "two": two})
    alone = Pair({"one": pair.params["one"] + two, "two": jnp.zeros(3)})
    result = [
        Proximal(tolerance=1e-5).predict(subnetwork(each, ["one"]), DATA, 0.5) for each in (pair, alone)
    ]
    np.testing.assert_allclose(result[0].predict(TOKENS), result[1].predict(TOKENS), atol=1e-5)
    np.testing.assert_array_equal(result[0].network.network().params["two"], two)
    assert np.abs(result[0].params["one"] - pair.params["one"]).max() > 0.05


def test_subnetworks_can_be_stacked():
    pair = Pair({"one": jnp.asarray([0.1, 0.2, 0.3]), "two": jnp.asarray([0.5, -1.0, 0.0])})
    last = subnetwork(pair, ["two"])
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 1, 2 * leaf]), last)
    result = jax.vmap(lambda network: network.predict(TOKENS))(stack)
    for row, change in enumerate((lambda x: x, lambda x: x + 1, lambda x: 2 * x)):
        wanted = jax.tree.map(change, pair).predict(TOKENS)
        np.testing.assert_allclose(result[row], wanted, atol=1e-6)


@pytest.mark.parametrize("names", [[], ["unem"], ["unembed", "nothing"]])
def test_a_name_that_fits_nothing_is_refused(names):
    with pytest.raises(Misuse, match=r"A subnetwork is named by beginnings of .*unembed.*, got"):
        subnetwork(NETWORK, names)
