"""The transformer predicts each token from those before it, and nothing else."""

import hashlib
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.network import build, first
from models.transformer import Architecture, attention, long_attention, rms_norm
from theory.errors import Misuse

SHAPE = Architecture(width=16, layers=2, heads=2)


@pytest.fixture(scope="module")
def network():
    return first(build(SHAPE, vocabulary=5, length=6, seeds=[3]))


def tokens(n=4, t=6):
    return jax.random.randint(jax.random.key(0), (n, t), 0, 5)


def test_predictions_are_normalised(network):
    total = jnp.exp(network.predict(tokens())).sum(axis=-1)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


@pytest.mark.parametrize("changed", range(6))
def test_a_token_changes_only_what_comes_after_it(network, changed):
    before = tokens()
    after = before.at[:, changed].set((before[:, changed] + 1) % 5)
    gap = jnp.abs(network.predict(before) - network.predict(after)).max(axis=(0, 2))
    assert (gap[: changed + 1] == 0).all()
    if changed < 5:
        assert gap[changed + 1] > 1e-3


def test_prefixes_are_predicted_as_in_the_whole(network):
    whole = network.predict(tokens())
    np.testing.assert_allclose(network.predict(tokens()[:, :3]), whole[:, :3], atol=1e-5)


def test_networks_built_together_are_those_built_alone():
    pair = build(SHAPE, 5, 6, [7, 8])
    alone = build(SHAPE, 5, 6, [8])
    for both, single in zip(jax.tree.leaves(pair.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_array_equal(both[1], single[0])
        assert not np.array_equal(both[0], both[1])


def test_layers_are_in_the_order_of_their_names(network):
    """Random numbers and sums follow it: a renamed layer must not change its rank."""
    model = nnx.merge(network.definition, network.params)
    assert list(network.params) == ["blocks", "embed", "position", "unembed"]
    assert list(network.params["blocks"][0]) == ["attn_qkv", "down_proj", "out_proj", "up_proj"]
    block = model.blocks[0]
    in_order = (block.attn_qkv, block.down_proj, block.out_proj, block.up_proj)
    kernels = [layer.kernel[...] for layer in in_order]
    for leaf, kernel in zip(jax.tree.leaves(network.params["blocks"][0]), kernels, strict=True):
        np.testing.assert_array_equal(leaf, kernel)


def test_initial_weights_of_a_seed_never_change():
    """A hash of all leaves in order, taken before the layers had their present names."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(build(SHAPE, vocabulary=5, length=6, seeds=[3]).params):
        digest.update(f"{leaf.shape} {leaf.dtype}".encode() + np.asarray(leaf).tobytes())
    assert digest.hexdigest()[:16] == "65a6b0a51896b4ba"


def test_size_counts_every_weight(network):
    width, vocabulary, length = 16, 5, 6
    expected = (2 * vocabulary + 1) * width + length * width + 2 * 12 * width**2
    assert network.size == SHAPE.size(vocabulary, length) == expected


@pytest.mark.parametrize("method", [attention, long_attention])
def test_attention_is_the_sum_that_it_should_be(method):
    """Position by position, by hand, and the same slopes both ways."""
    heads = jax.random.normal(jax.random.key(0), (3, 2, 4, 5, 3))

    def by_hand(heads):
        query, key, value = heads
        mixed = np.zeros((2, 4, 5, 3))
        for h, t, n in np.ndindex(2, 5, 3):
            weights = np.exp(query[h, :, t, n] @ key[h, :, : t + 1, n] / 2)
            mixed[h, :, t, n] = value[h, :, : t + 1, n] @ weights / weights.sum()
        return mixed

    np.testing.assert_allclose(method(heads), by_hand(np.asarray(heads, float)), atol=1e-5)

    def slope(method):
        return jax.grad(lambda heads: jnp.sum(jnp.sin(method(heads))))(heads)

    np.testing.assert_allclose(slope(method), slope(attention), atol=1e-5)


def test_a_long_sequence_is_predicted_as_its_prefix_is():
    """Past the length above which attention is computed in products."""
    network = first(build(SHAPE, vocabulary=5, length=20, seeds=[3]))
    whole = network.predict(tokens(t=20))
    np.testing.assert_allclose(network.predict(tokens(t=20)[:, :16]), whole[:, :16], atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_activation_is_that_of_the_architecture(activation):
    """One block on one column, by hand."""
    network = first(build(replace(SHAPE, activation=activation), 5, 6, [3]))
    block = nnx.merge(network.definition, network.params).blocks[0]
    stream = jax.random.normal(jax.random.key(1), (16, 6))
    attended = block.out_proj.kernel[...] * 0
    block.out_proj.kernel[...] = attended  # attention adds nothing
    hidden = block.up_proj.kernel[...] @ rms_norm(stream)
    active = np.maximum(hidden, 0) if activation == "relu" else jax.nn.gelu(hidden)
    np.testing.assert_allclose(block(stream, 6), stream + block.down_proj.kernel[...].T @ active, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"width": 10, "heads": 4}, "heads"),
        ({"layers": 0}, "layers"),
        ({"width": 0}, "width"),
        ({"activation": "step"}, r"activation must be one of .'relu', 'gelu'., got 'step'"),
    ],
)
def test_impossible_shapes_are_refused(fields, word):
    with pytest.raises(Misuse, match=word):
        Architecture(**fields)
