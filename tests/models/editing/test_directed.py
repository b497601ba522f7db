"""Steering by the token just read: nothing without a direction, and the edit of the stream with one."""

import jax
import numpy as np
import pytest

from models.editing.directed import Directed
from models.inside import Edited, shape, streams
from models.network import build, first
from models.transformer import Architecture
from theory.errors import Misuse

VOCABULARY, LENGTH = 5, 6


@pytest.fixture(scope="module")
def network():
    return first(build(Architecture(8, 2, 2), VOCABULARY, LENGTH, [0]))


@pytest.fixture(scope="module")
def tokens():
    return jax.random.randint(jax.random.key(1), (3, LENGTH), 0, VOCABULARY)


@pytest.fixture(scope="module")
def directions(network):
    depths, _, width = shape(network)
    return jax.random.normal(jax.random.key(2), (depths, VOCABULARY, width))


def test_no_direction_is_the_network(network, tokens, directions):
    still = Directed(network, 0 * directions)
    np.testing.assert_allclose(still.predict(tokens), network.predict(tokens), atol=1e-6)


def test_a_direction_after_the_last_block_is_that_edit_of_the_stream(network, tokens, directions):
    alone = directions.at[:-1].set(0)
    raw = np.asarray(streams(network, tokens))[:, -1]  # (n, t, d)
    size = np.sqrt(np.mean(raw**2, axis=-1, keepdims=True))
    shift = np.zeros((len(directions), *raw.shape), np.float32)
    shift[-1, :, 1:] = size[:, 1:] * np.asarray(directions)[-1][np.asarray(tokens)[:, :-1]]
    edited = Edited(network, shift).predict(tokens)
    np.testing.assert_allclose(Directed(network, alone).predict(tokens), edited, atol=1e-5)
    assert np.abs(edited - network.predict(tokens)).max() > 0.1


def test_other_weights_are_steered_alike(network, tokens, directions):
    other = first(build(Architecture(8, 2, 2), VOCABULARY, LENGTH, [1]))
    moved = Directed(network, directions).with_params(other.params)
    np.testing.assert_array_equal(moved.predict(tokens), Directed(other, directions).predict(tokens))


def test_directions_of_another_width_are_refused(network, directions):
    with pytest.raises(Misuse, match=r"l = 3 and d = 8, .* got \(3, 5, 4\)"):
        Directed(network, directions[..., :4])
