"""A decoder-only transformer, small enough to read: pre-norm, causal attention, no biases.

Input tokens become one-hot columns (a matrix product is faster than a gather and its scatter on most CPUs);
token `vocabulary` is the beginning of the sequence. Axes: n sequences, t and s positions, h heads, d width.

The stream is a matrix (d, t n): one column a token, sequences innermost. So every product is of two plain
matrices, forwards and backwards, with nothing to copy, and all else (norms, attention over a few positions)
runs along n, which a CPU does in vectors.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from theory.base import LogProbs, Misuse, Tokens

ACTIVATIONS = ("relu", "gelu")
UNROLLED = 16  # positions: XLA unrolls a sum of so many terms; at 24, whole steps are faster in products


@dataclass(frozen=True)
class Architecture:
    """The shape of a transformer. It is a smooth function of its weights with `gelu`, and not with `relu`."""

    width: int = 32
    layers: int = 2
    heads: int = 4
    expansion: int = 4
    activation: str = "relu"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise Misuse(f"activation must be one of {ACTIVATIONS}, got {self.activation!r}.")
        for name in ("width", "layers", "heads", "expansion"):
            if getattr(self, name) < 1:
                raise Misuse(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.width % self.heads:
            raise Misuse(f"heads must divide width, got width {self.width} and heads {self.heads}.")


class Linear(nnx.Linear):
    """A linear map of columns, without a bias."""

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs):
        super().__init__(inputs, outputs, use_bias=False, rngs=rngs)

    def __call__(self, columns: Float[Array, "inputs tn"]) -> Float[Array, "outputs tn"]:
        return self.kernel[...].T @ columns


class Block(nnx.Module):
    """Attention, then a two-layer perceptron, each added to the stream."""

    def __init__(self, shape: Architecture, rngs: nnx.Rngs):
        width, hidden = shape.width, shape.expansion * shape.width
        self.heads = shape.heads
        self.activation = shape.activation
        self.attend = Linear(width, 3 * width, rngs)
        self.merge = Linear(width, width, rngs)
        self.up = Linear(width, hidden, rngs)
        self.down = Linear(hidden, width, rngs)

    def __call__(self, stream: Float[Array, "d tn"], length: int) -> Float[Array, "d tn"]:
        heads = self.attend(normalise(stream)).reshape(3, self.heads, -1, length, stream.shape[1] // length)
        mixed = (attention if length <= UNROLLED else long_attention)(heads)
        stream = stream + self.merge(mixed.reshape(stream.shape))
        rectify = getattr(jax.nn, self.activation)
        return stream + self.down(rectify(self.up(normalise(stream))))


class Transformer(nnx.Module):
    """Tokens to next-token log-probabilities; entry t predicts token t from those before it."""

    def __init__(self, shape: Architecture, vocabulary: int, length: int, rngs: nnx.Rngs):
        self.vocabulary = vocabulary
        self.embed = Linear(vocabulary + 1, shape.width, rngs)
        self.place = nnx.Param(0.3 * jax.random.normal(rngs.params(), (length, shape.width)))
        self.blocks = nnx.List([Block(shape, rngs) for _ in range(shape.layers)])
        self.read = Linear(shape.width, vocabulary, rngs)

    def __call__(self, tokens: Tokens) -> LogProbs:
        n, t = tokens.shape
        before = jnp.concatenate([jnp.full_like(tokens[:, :1], self.vocabulary), tokens[:, :-1]], axis=1)
        inputs = jax.nn.one_hot(before.T.reshape(-1), self.vocabulary + 1, axis=0)
        stream = self.embed(inputs) + jnp.repeat(self.place[:t].T, n, axis=1)
        for block in self.blocks:
            stream = block(stream, t)
        told = jax.nn.log_softmax(self.read(normalise(stream)), axis=0)
        return told.reshape(self.vocabulary, t, n).transpose(2, 1, 0)


def attention(heads: Float[Array, "3 h d t n"]) -> Float[Array, "h d t n"]:
    """softmax(queryᵀ key / √d) value of each head; a position sees those up to its own. Along n, all in
    sums. The scores go head by head through a loop: what enters and leaves one is computed once, not again
    for each use. Heads are split, not unpacked: their gradients are then put side by side, not padded."""
    query, key, value = (part[0] for part in jax.lax.split(heads, (1, 1, 1)))
    d, t, _ = query.shape[1:]
    score = jnp.sum(query[:, :, :, None] * key[:, :, None], axis=1) / np.sqrt(d)

    def one(head: tuple[Array, Array]) -> Float[Array, "d t n"]:
        score, value = head
        score = jnp.where(_past(t)[..., None], score, -1e9)
        return jnp.sum(jax.nn.softmax(score, axis=1) * value[:, None], axis=2)

    return jax.lax.map(one, (score, value))


def long_attention(heads: Float[Array, "3 h d t n"]) -> Float[Array, "h d t n"]:
    """The same in one small product for each head and sequence: on a CPU four times as fast for 48 positions,
    where the sums run number by number, and slower for ten (benchmarks/inner_loops.py)."""
    query, key, value = heads.transpose(0, 4, 1, 3, 2)
    t, d = query.shape[2:]
    score = jnp.einsum("nhtd,nhsd->nhts", query, key) / np.sqrt(d)
    score = jnp.where(_past(t), score, -1e9)
    return jnp.einsum("nhts,nhsd->hdtn", jax.nn.softmax(score), value)


def _past(t: int) -> np.ndarray:
    """Which positions (the second axis) one sees: its own and those before it."""
    return np.tril(np.ones((t, t), bool))


def normalise(stream: Float[Array, "d tn"]) -> Float[Array, "d tn"]:
    """Root-mean-square normalisation without a gain."""
    return stream * jax.lax.rsqrt(jnp.mean(jnp.square(stream), axis=0, keepdims=True) + 1e-6)
