"""A decoder-only transformer, small enough to read: pre-norm, causal attention, no biases.

Input tokens become one-hot columns (a matrix product is faster than a gather and its scatter on most CPUs);
token `vocabulary` is the beginning of the sequence. Axes: n sequences, t and s positions, h heads, d width.

The residual stream is a matrix (d, t n): a column for each token, sequences innermost. So every product is of
two plain matrices, forwards and backwards, without copies, and all else (norms, attention over a few
positions) runs along n, which a CPU does in vectors.

Layers are named so that their alphabetical order stays what it has always been (attn_qkv, down_proj,
out_proj, up_proj in a block; blocks, embed, position, unembed in the network): it is the order of every
pytree of weights, and so of every random number drawn for them and of every sum over them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from theory.base import LogProbs, Misuse, Tokens, check_number

ACTIVATIONS = ("relu", "gelu")
Hook: TypeAlias = Callable[[int, Array], Array]
"""A function (depth, stream) -> stream, of the stream (d, t n) at depth 0, the embedding, and after each
block."""
UNROLLED = 16  # terms of a sum that XLA unrolls; a longer sum runs number by number, ten times slower


@dataclass(frozen=True)
class Architecture:
    """The shape of a transformer. It is a smooth function of its weights with `gelu`, and not with `relu`.

    Logits are divided by `output_scale`, γ0 (models.step_sizes).
    """

    width: int = 32
    layers: int = 2
    heads: int = 4
    expansion: int = 4
    activation: str = "relu"
    output_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise Misuse(f"activation must be one of {ACTIVATIONS}, got {self.activation!r}.")
        for name in ("width", "layers", "heads", "expansion"):
            if getattr(self, name) < 1:
                raise Misuse(f"{name} must be at least 1, got {getattr(self, name)}.")
        check_number("output_scale", self.output_scale, above=0)
        if self.width % self.heads:
            raise Misuse(f"heads must divide width, got width {self.width} and heads {self.heads}.")

    def size(self, vocabulary: int, length: int) -> int:
        """Number of weights of a network for documents of this vocabulary and length."""
        block = (4 + 2 * self.expansion) * self.width
        return self.width * (2 * vocabulary + 1 + length + self.layers * block)


def normal(scale: float, shape: tuple[int, ...], rngs: nnx.Rngs, **metadata: Any) -> nnx.Param:
    """Normal initial weights. Their metadata hold the standard deviation, for `models.network.build`."""
    return nnx.Param(scale * jax.random.normal(rngs.params(), shape), scale=scale, **metadata)


class Linear(nnx.Module):
    """A linear map of columns, without a bias, of initial variance 1 / inputs.

    Its kernel lies with the longer side first, the orientation in which the product that is its gradient is
    faster; so its metadata say how many `inputs` it has.
    """

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs):
        self.inputs, self.outputs = inputs, outputs
        shape = max(inputs, outputs), min(inputs, outputs)
        self.kernel = normal(inputs**-0.5, shape, rngs, inputs=inputs)

    @property
    def matrix(self) -> Float[Array, "outputs inputs"]:
        """The kernel as it multiplies columns."""
        kernel = self.kernel[...]
        return kernel if self.outputs > self.inputs else kernel.T

    def __call__(self, columns: Float[Array, "inputs tn"]) -> Float[Array, "outputs tn"]:
        return self.matrix @ columns


class Block(nnx.Module):
    """Attention, then a two-layer perceptron, each added to the stream."""

    def __init__(self, shape: Architecture, rngs: nnx.Rngs):
        width, hidden = shape.width, shape.expansion * shape.width
        self.heads = shape.heads
        self.activation = shape.activation
        self.attn_qkv = Linear(width, 3 * width, rngs)
        self.out_proj = Linear(width, width, rngs)
        self.up_proj = Linear(width, hidden, rngs)
        self.down_proj = Linear(hidden, width, rngs)

    def __call__(self, stream: Float[Array, "d tn"], length: int) -> Float[Array, "d tn"]:
        heads = self.attn_qkv(rms_norm(stream)).reshape(3, self.heads, -1, length, stream.shape[1] // length)
        mixed = (attention if length <= UNROLLED else long_attention)(heads)
        stream = stream + self.out_proj(mixed.reshape(stream.shape))
        rectify = getattr(jax.nn, self.activation)
        return stream + self.down_proj(rectify(self.up_proj(rms_norm(stream))))


class Transformer(nnx.Module):
    """Tokens to next-token log-probabilities; entry t predicts token t from those before it."""

    def __init__(self, shape: Architecture, vocabulary: int, length: int, rngs: nnx.Rngs):
        self.vocabulary = vocabulary
        self.output_scale = shape.output_scale
        self.embed = Linear(vocabulary + 1, shape.width, rngs)
        self.position = normal(0.3, (length, shape.width), rngs)
        self.blocks = nnx.List([Block(shape, rngs) for _ in range(shape.layers)])
        self.unembed = Linear(shape.width, vocabulary, rngs)

    def __call__(self, tokens: Tokens, at: Hook | None = None) -> LogProbs:
        """Log-probabilities (nats); `at` reads the stream, or replaces it, at every depth (models.inside)."""
        n, t = tokens.shape
        if t > len(self.position):
            raise Misuse(f"Documents of {t} tokens are too long: the network reads {len(self.position)}.")
        begin = jnp.full_like(tokens[:, 0], self.vocabulary)
        before = jnp.concatenate([begin, tokens[:, :-1].T.reshape(-1)])
        inputs = jax.nn.one_hot(before, self.vocabulary + 1, axis=0)
        stream = self.embed(inputs) + jnp.repeat(self.position[:t].T, n, axis=1)
        # decided while tracing: without a hook the compiled program is what it would be if there were none
        stream = stream if at is None else at(0, stream)
        for depth, block in enumerate(self.blocks, 1):
            stream = block(stream, t)
            stream = stream if at is None else at(depth, stream)
        return self.read_out(stream, t)

    def read_out(self, stream: Float[Array, "d tn"], length: int) -> LogProbs:
        """Log-probabilities (nats) from the last stream. The normalisation has no weights, so `unembed` is
        all that finetuning can change of it."""
        logits = self.unembed(rms_norm(stream))
        if self.output_scale != 1:
            logits = logits / self.output_scale
        log_probs = jax.nn.log_softmax(logits, axis=0)
        return log_probs.reshape(self.vocabulary, length, -1).transpose(2, 1, 0)


def attention(heads: Float[Array, "3 h d t n"]) -> Float[Array, "h d t n"]:
    """Causal attention, softmax(queryᵀ key / √d) value of each head, in sums that run along n."""
    # split, not unpacked: the gradients of the three are then concatenated, not padded
    query, key, value = (part[0] for part in jax.lax.split(heads, (1, 1, 1)))
    d, t, _ = query.shape[1:]
    score = jnp.sum((query / np.sqrt(d))[:, :, :, None] * key[:, :, None], axis=1)
    score = score + np.where(_past(t), 0, -1e9).astype(score.dtype)[..., None]
    weight = jnp.exp(score - jax.lax.stop_gradient(jnp.max(score, axis=2, keepdims=True)))
    # one division of the sum instead of one of every weight
    return jnp.sum(weight[:, None] * value[:, :, None], axis=3) / jnp.sum(weight, axis=2)[:, None]


def long_attention(heads: Float[Array, "3 h d t n"]) -> Float[Array, "h d t n"]:
    """Causal attention as `attention`, in one small product for each head and sequence.

    On a CPU it is four times as fast for 48 positions, where the sums run number by number, and slower for
    ten (benchmarks/inner_loops.py).
    """
    query, key, value = heads.transpose(0, 4, 1, 3, 2)
    t, d = query.shape[2:]
    score = jnp.einsum("nhtd,nhsd->nhts", query, key) / np.sqrt(d)
    score = jnp.where(_past(t), score, -1e9)
    return jnp.einsum("nhts,nhsd->hdtn", jax.nn.softmax(score), value)


def _past(t: int) -> np.ndarray:
    """The positions (second axis) that each position attends to: itself and those before it."""
    return np.tril(np.ones((t, t), bool))


def rms_norm(stream: Float[Array, "d tn"]) -> Float[Array, "d tn"]:
    """Root-mean-square normalisation without a gain."""
    width = len(stream)
    # the sum over the width, and that in its gradient, go in pieces short enough for XLA to unroll
    pieces = tuple(map(len, np.array_split(np.arange(width), -(-width // UNROLLED))))
    squares = jax.lax.split(jnp.square(stream), pieces)
    square = sum(jnp.sum(piece, axis=0, keepdims=True) for piece in squares) / width
    scale = jax.lax.rsqrt(square + 1e-6)
    return stream * jnp.concatenate([jnp.broadcast_to(scale, (piece, scale.shape[1])) for piece in pieces])
