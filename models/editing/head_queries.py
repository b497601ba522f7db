"""Heads of a block whose queries are moved, and what they then write.

A query asks with the column of the position, keys answer with what they stand for. From the stream before the
block and steps of the queries, `attended` attends again: the cause of a head's pattern is then known, as keys
and values stay. Heads do not see each other in a block, so those of other heads stay as well. Axes: h heads,
n documents, t and s positions, e width of a head, d width.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from models.network import Network
from models.transformer import rms_norm


class Attended(NamedTuple):
    """Of every head of a block where it looks, and what it adds to the stream."""

    patterns: Float[Array, "h n t s"]
    writes: Float[Array, "h n t d"]


@functools.partial(jax.jit, static_argnames="block")
def attended(
    network: Network, stream: Float[Array, "n t d"], steps: Float[Array, "h n t e"], block: int
) -> Attended:
    """The heads of a block, counted from 0, on the `stream` before it, with queries moved by `steps`."""
    n, t, d = stream.shape
    chosen = list(nnx.merge(network.definition, network.params).blocks)[block]
    inputs = rms_norm(stream.transpose(2, 1, 0).reshape(d, -1))
    query, key, value = chosen.attn_qkv(inputs).reshape(3, chosen.heads, -1, t, n)
    query = query + steps.transpose(0, 3, 2, 1)
    score = jnp.einsum("hetn,hesn->hnts", query, key) / np.sqrt(query.shape[1])
    patterns = jax.nn.softmax(jnp.where(np.tril(np.ones((t, t), bool)), score, -jnp.inf))
    mixed = jnp.einsum("hnts,hesn->hnte", patterns, value)
    outputs = chosen.out_proj.matrix.reshape(-1, chosen.heads, mixed.shape[-1])
    return Attended(patterns, jnp.einsum("hnte,dhe->hntd", mixed, outputs))
