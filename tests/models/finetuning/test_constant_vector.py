"""Constant-vector finetuning adds one vector to the stream where it begins, and nothing anywhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.finetuning.constant_vector import ConstantVector
from models.finetuning.head_only import HeadOnly
from models.finetuning.method import ExtraData
from models.finetuning.sgd import Sgd
from models.network import first
from theory.base import Misuse
from theory.theories.linearised import Linearization

RATE = 0.1


def flat(params):
    return {path: np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(params)}


def entrance(params, tokens):
    """The stream before the first block, (n, t, d): the token before, and the position."""
    weights = flat(params)
    vocabulary = weights["embed", "kernel"].shape
    columns = weights["embed", "kernel"]
    table = columns if vocabulary[1] == weights["position",].shape[1] else columns.T
    before = np.pad(np.asarray(tokens)[:, :-1], ((0, 0), (1, 0)), constant_values=len(table) - 1)
    return table[before] + weights["position",][: before.shape[1]]


def test_one_vector_moves_all_positions_down_the_sum_of_their_gradients(network, data, batches, run, descent):
    kept, _ = run(network, data, batches, ConstantVector(Sgd(RATE)), [1, 8])
    slope = flat(descent(network.params, batches[0])[1])
    before, after = flat(network.params), flat(kept)
    for path, moved in after.items():
        if path == ("position",):
            wanted = before[path] - RATE * slope[path].sum(axis=0)
            np.testing.assert_allclose(moved[0], wanted, atol=1e-6)
        else:
            np.testing.assert_array_equal(moved, np.stack([before[path]] * 2))
    # the stream where it begins: one difference at all positions, in all documents, of D' or not
    tokens = jnp.concatenate([data.tokens, jnp.zeros_like(data.tokens[:1])])
    for dose in range(2):
        tuned = jax.tree.map(lambda leaf, dose=dose: leaf[dose], kept)
        moved = entrance(tuned, tokens) - entrance(network.params, tokens)
        np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0], moved.shape), atol=1e-6)
        assert np.abs(moved).max() > 1e-3


def test_the_expansion_of_a_network_moves_as_the_network(network, data, batches, run):
    """A displacement of weights has the same vector as the weights: what theories that replay descend."""
    line, method = Linearization(network, network.params), ConstantVector(Sgd(0.01))
    before = flat(network.params)
    after = [flat(first(run(model, data, batches, method, [1])[0])) for model in (line, network)]
    for path, moved in after[1].items():
        np.testing.assert_allclose(after[0][path], moved, atol=1e-6)
        assert (np.abs(moved - before[path]).max() > 1e-5) == (path == ("position",))


def test_a_rule_that_says_what_moves_and_a_model_without_positions_are_refused(network, table):
    with pytest.raises(Misuse, match="moves all weights, got HeadOnly"):
        ConstantVector(HeadOnly()).coordinates(network, ExtraData())
    with pytest.raises(Misuse, match="needs a network with a position embedding, got Table"):
        ConstantVector().coordinates(table.with_params(nnx.State({})), ExtraData())
