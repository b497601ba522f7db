"""Heads with moved queries: by hand, in numpy, and with no step what they are."""

import jax
import numpy as np

from models.editing.head_queries import attended
from models.inside import heads, query_keys, streams
from models.network import build, first
from models.transformer import Architecture


def test_heads_look_where_their_moved_queries_do():
    network = first(build(Architecture(8, 2, 2), 5, 6, [0]))
    tokens = jax.random.randint(jax.random.key(1), (3, 6), 0, 5)
    read = np.asarray(streams(network, tokens))
    stream, block = read[:, 1], 1
    still = attended(network, stream, np.zeros((2, 3, 6, 4), np.float32), block=block)
    whole = heads(network, read)
    np.testing.assert_allclose(still.patterns, whole.patterns[block], atol=1e-6)
    np.testing.assert_allclose(still.writes, whole.writes[block], atol=1e-6)

    steps = np.random.default_rng(0).normal(size=(2, 3, 6, 4)).astype(np.float32)
    moved = attended(network, stream, steps, block=block)
    maps = np.asarray(query_keys(network))[block]  # (h, 2, e, d)
    normal = stream / np.sqrt(np.mean(stream**2, axis=-1, keepdims=True) + 1e-6)
    query, key = (
        np.einsum("hed,ntd->hnte", maps[:, 0], normal),
        np.einsum("hed,ntd->hnte", maps[:, 1], normal),
    )
    score = np.einsum("hnte,hnse->hnts", query + steps, key) / 2  # the root of a head's width
    score = np.exp(score - score.max(axis=-1, keepdims=True)) * np.tril(np.ones((6, 6)))
    np.testing.assert_allclose(moved.patterns, score / score.sum(axis=-1, keepdims=True), atol=1e-5)
    assert np.abs(moved.writes - still.writes).max() > 0.01
