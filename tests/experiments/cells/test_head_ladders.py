"""Ladders of heads: all of them are the network, and heads that write nothing are worth nothing."""

import jax
import numpy as np
import pytest

from experiments.cells.head_ladders import head_ladder
from experiments.cells.shots import Shots
from models.network import build, first
from models.transformer import Architecture
from theory.processes.add_k import AddK

pytestmark = pytest.mark.slow
PROCESS = AddK(modulus=5, pairs=3, noise=0.4, rarity=0.8)


def network(mute=None):
    """An untrained network whose answers are near to uniform, so that beliefs in every k are resolved; the
    heads of a block write nothing."""
    made = first(build(Architecture(8, 2, 2), PROCESS.vocabulary, PROCESS.length, [0]))
    params = jax.tree.map(lambda leaf: leaf, made.params)
    kernel = params["unembed"]["kernel"]
    params["unembed"]["kernel"] = kernel.replace(0.1 * kernel[...])
    if mute is not None:
        kernel = params["blocks"][mute]["out_proj"]["kernel"]
        params["blocks"][mute]["out_proj"]["kernel"] = kernel.replace(0 * kernel[...])
    return made.with_params(params)


def ladder(mute=None):
    asks = tuple(
        Shots.drawn(PROCESS, np.random.default_rng(row), 1, questions, [(0, 0), (1, 0)])
        for row, questions in enumerate(([0, 1], [2, 3]))
    )
    documents = np.asarray(PROCESS.distribution().sample(jax.random.key(0), 40))
    return head_ladder(network(mute), asks, documents, PROCESS.answer_tokens)


def test_all_heads_keep_everything_and_none_of_them_not():
    made = ladder()
    assert made.kept.shape == (2, 3) and made.without.shape == (2, 2)
    np.testing.assert_allclose(made.kept[:, -1], 1, atol=1e-3)
    assert (np.abs(made.kept[:, 0] - 1) > 0.05).all()


@pytest.mark.parametrize("block", [0, 1])
def test_heads_that_write_nothing_are_worth_nothing(block):
    made = ladder(mute=block)
    np.testing.assert_allclose(made.kept[block], 1, atol=1e-3)
    np.testing.assert_allclose(made.without[block], 1, atol=1e-3)
