"""Answers by other writes of heads: their own are the network's, and those of no head are not."""

import jax
import numpy as np
import pytest

from models.editing.head_ablation import answers_of_writes
from models.inside import heads, streams
from models.network import build, first
from models.transformer import Architecture


@pytest.mark.parametrize("block", [0, 1])
def test_what_heads_write_themselves_gives_the_answers(block):
    network = first(build(Architecture(8, 2, 2), 5, 6, [0]))
    tokens = jax.random.randint(jax.random.key(1), (3, 6), 0, 5)
    read = streams(network, tokens)
    writes = heads(network, read).writes[block].sum(axis=0)
    again = answers_of_writes(network, read[:, block], writes, block=block)
    np.testing.assert_allclose(again, network.predict(tokens), atol=1e-5)
    without = answers_of_writes(network, read[:, block], 0 * writes, block=block)
    assert np.abs(without - again).max() > 0.01
