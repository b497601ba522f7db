"""Constant vectors and edits of networks: exact where a network was made by one."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cells.steering import ConstantVectors, Weighed, along, steered, steered_alone
from models.inside import edited, streams
from models.network import build, first
from models.transformer import Architecture
from theory.divergence.kl import answers_at
from theory.probes.subspaces import normalise

LENGTH, WIDTH, WORDS = 5, 4, 3


@pytest.fixture(scope="module")
def network():
    return first(build(Architecture(WIDTH, 1, 1), WORDS, LENGTH, [0]))


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, WORDS, size=(12, LENGTH)).astype(np.int32)


def test_a_network_that_is_the_base_network_and_a_vector_is_found(network, tokens):
    """C = 1, elsewhere, by the vector itself, by a free one, and by one in its own span."""
    vector = np.array([0.5, -0.4, 0.3, 0.2], np.float32)
    part = slice(0, WORDS)
    finetuned = answers_at(edited(network, 1, vector), jnp.asarray(tokens), part)
    half = np.repeat(np.arange(12) < 6, LENGTH).reshape(12, LENGTH)
    contexts = Weighed(tokens, *((side / side.sum()).astype(np.float32) for side in (half, ~half)))
    fit = ConstantVectors(network, part)
    shift, exact = (fit.missed(network.params, finetuned, contexts, 1, part) for part in (0 * vector, vector))
    assert shift > 0.01 and abs(exact) < 1e-6
    spans = {"free": np.eye(WIDTH), "own": np.pad(vector[:, None], ((0, 0), (0, 3)))}
    for basis in spans.values():
        found = fit.fitted(network.params, finetuned, contexts, 1, basis)
        assert fit.missed(network.params, finetuned, contexts, 1, found) < 1e-3 * shift
    other = np.pad(np.array([[0.4], [0.5], [0.0], [0.0]]), ((0, 0), (0, 3)))
    found = fit.fitted(network.params, finetuned, contexts, 1, other)  # a span without the vector
    assert fit.missed(network.params, finetuned, contexts, 1, found) > 0.05 * shift


def test_a_shift_is_in_units_of_the_normalised_stream(network, tokens):
    read = np.asarray(streams(network, tokens))
    shifts = along(read, 1, np.ones(WIDTH), 2.0)
    assert not shifts[0].any()
    length = read[:, 1] / normalise(read[:, 1])
    np.testing.assert_allclose(shifts[1], 2.0 * length, rtol=1e-4)


def test_after_the_last_block_positions_do_not_see_each_other(network, tokens):
    read = np.asarray(streams(network, tokens))
    last = along(read, 1, np.array([1.0, -1.0, 0.5, 0.0]), 1.0)
    everywhere, alone = (np.asarray(edit(network, tokens, last)) for edit in (steered, steered_alone))
    np.testing.assert_allclose(alone, everywhere, atol=1e-6)
    assert np.abs(everywhere - np.asarray(network.predict(tokens))).max() > 0.1
    before = along(read, 0, np.array([1.0, -1.0, 0.5, 0.0]), 1.0)
    everywhere, alone = (np.asarray(edit(network, tokens, before)) for edit in (steered, steered_alone))
    np.testing.assert_allclose(alone[:, 0], everywhere[:, 0], atol=1e-6)  # which sees itself alone
    assert np.abs(alone - everywhere)[:, 1:].max() > 1e-3
