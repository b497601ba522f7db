"""A decoder-only transformer, small enough to read: pre-norm, causal attention, ReLU, no biases.

Input tokens become one-hot rows (a matrix product is faster than a gather and its scatter on most CPUs);
token `vocabulary` is the beginning of the sequence. Axes: n sequences, t positions, h heads, d width.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from theory.base import LogProbs, Misuse, Tokens


@dataclass(frozen=True)
class Architecture:
    """The shape of a transformer."""

    width: int = 32
    layers: int = 2
    heads: int = 4
    expansion: int = 4

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "expansion"):
            if getattr(self, name) < 1:
                raise Misuse(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.width % self.heads:
            raise Misuse(f"heads must divide width, got width {self.width} and heads {self.heads}.")


class Block(nnx.Module):
    """Attention, then a two-layer perceptron, each added to the stream."""

    def __init__(self, shape: Architecture, rngs: nnx.Rngs):
        def linear(inputs: int, outputs: int) -> nnx.Linear:
            return nnx.Linear(inputs, outputs, use_bias=False, rngs=rngs)

        width, hidden = shape.width, shape.expansion * shape.width
        self.heads = shape.heads
        self.attend = linear(width, 3 * width)
        self.merge = linear(width, width)
        self.up = linear(width, hidden)
        self.down = linear(hidden, width)

    def __call__(self, stream: Float[Array, "n t d"]) -> Float[Array, "n t d"]:
        n, t, width = stream.shape
        heads = self.attend(normalise(stream)).reshape(n, t, 3 * self.heads, width // self.heads)
        query, key, value = jnp.split(heads, 3, axis=2)
        score = jnp.einsum("nthd,nshd->nhts", query, key) / np.sqrt(width // self.heads)
        score = jnp.where(np.tril(np.ones((t, t), bool)), score, -1e9)
        mixed = jnp.einsum("nhts,nshd->nthd", jax.nn.softmax(score, axis=-1), value)
        stream = stream + self.merge(mixed.reshape(n, t, width))
        return stream + self.down(jax.nn.relu(self.up(normalise(stream))))


class Transformer(nnx.Module):
    """Tokens to next-token log-probabilities; entry t predicts token t from those before it."""

    def __init__(self, shape: Architecture, vocabulary: int, length: int, rngs: nnx.Rngs):
        self.vocabulary = vocabulary
        self.embed = nnx.Linear(vocabulary + 1, shape.width, use_bias=False, rngs=rngs)
        self.place = nnx.Param(0.3 * jax.random.normal(rngs.params(), (length, shape.width)))
        self.blocks = nnx.List([Block(shape, rngs) for _ in range(shape.layers)])
        self.read = nnx.Linear(shape.width, vocabulary, use_bias=False, rngs=rngs)

    def __call__(self, tokens: Tokens) -> LogProbs:
        beginning = jnp.full_like(tokens[:, :1], self.vocabulary)
        inputs = jnp.concatenate([beginning, tokens[:, :-1]], axis=1)
        stream = self.embed(jax.nn.one_hot(inputs, self.vocabulary + 1)) + self.place[: tokens.shape[1]]
        for block in self.blocks:
            stream = block(stream)
        return jax.nn.log_softmax(self.read(normalise(stream)), axis=-1)


def normalise(stream: Float[Array, "n t d"]) -> Float[Array, "n t d"]:
    """Root-mean-square normalisation without a gain."""
    return stream * jax.lax.rsqrt(jnp.mean(jnp.square(stream), axis=-1, keepdims=True) + 1e-6)
