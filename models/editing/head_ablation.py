"""Answers of a network in which the heads of one block write something else.

A block adds what its heads write to the stream, then what its perceptron makes of the sum. From the stream
before the block and any writes, `answers_of_writes` goes on: so a head is ablated by the mean of what it
writes, without a hook in the block that training runs through. Axes: n documents, t positions, d width.
"""

import functools

import jax
from flax import nnx
from jaxtyping import Array, Float

from models.network import Network
from models.transformer import rms_norm
from theory.base import LogProbs


@functools.partial(jax.jit, static_argnames="block")
def answers_of_writes(
    network: Network, stream: Float[Array, "n t d"], writes: Float[Array, "n t d"], block: int
) -> LogProbs:
    """Next-token log-probabilities (nats) if all heads of a block, counted from 0, together add `writes` to
    the `stream` before it."""
    transformer = nnx.merge(network.definition, network.params)
    first, *later = list(transformer.blocks)[block:]
    t, d = stream.shape[1:]
    columns = (stream + writes).transpose(2, 1, 0).reshape(d, -1)
    rectify = getattr(jax.nn, first.activation)
    columns = columns + first.down_proj(rectify(first.up_proj(rms_norm(columns))))
    for following in later:
        columns = following(columns, t)
    return transformer.read_out(columns, t)
