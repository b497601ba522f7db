"""Reading and editing of the residual stream of a network, and what each of its heads does.

The stream x has a depth l: 0 is the embedding, then one after each block. It is not normalised: every block
and the read-out see `rms_norm` of it, so read a probe from the normalised stream and add to the raw one.

    streams    x at every depth
    Edited     the network with x -> M_l x + s_l at every depth l: steering (s), ablation (M a projection),
               patching (M = 0, s from another run)
    heads      where each head looks and what it adds to the stream, from recorded streams and the weights
    exchanged  weights of two networks, one's read-out on the other's blocks

Training is untouched: the hook of `models.transformer.Transformer` is a branch that is taken while tracing.
Axes, beyond those of theory.base: l depths, d width, h heads, s the positions that are looked at.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from models.network import Network
from models.transformer import Hook, Transformer, rms_norm
from theory.base import LogProbs, Misuse, Params, Tokens, compiled

READ_OUT = "unembed"  # all weights of the read-out: the normalisation before it has none
Numbers: TypeAlias = Array | np.ndarray  # whose shape is checked here, in a sentence


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Edited:
    """A network whose stream x becomes `matrix` x + `shift` at every depth, before the next block reads it.

    A `shift` is (l t d), the same for all sequences, or (l n t d); shorter sequences take its first
    positions. A `matrix` is (l d d); without it there is no product. The weights are the network's, so it is
    finetuned under its edits like any other. The network may itself be edited: its edits come first.
    """

    network: "Network | Edited"
    shift: Numbers
    matrix: Numbers | None = None

    def __post_init__(self) -> None:
        depths, length, width = shape(self.network)
        # jax rebuilds pytrees around placeholders, and stacks them: neither has the shapes of a network
        if width and isinstance(self.shift, Array | np.ndarray):
            given = tuple(self.shift.shape)
            if len(given) not in (3, 4) or (given[0], *given[-2:]) != (depths, length, width):
                raise Misuse(
                    f"shift must be (l, t, d) = {depths, length, width} or (l, n, t, d), a vector for every "
                    f"depth and position, got {given}."
                )
        if width and isinstance(self.matrix, Array | np.ndarray):
            given = tuple(self.matrix.shape)
            if given != (depths, width, width):
                raise Misuse(f"matrix must be (l, d, d) = {depths, width, width}, got {given}.")

    @property
    def params(self) -> Params:
        """The network's weights."""
        return self.network.params

    def with_params(self, params: Params) -> Self:
        """The same edits of the network with other weights."""
        return replace(self, network=self.network.with_params(params))

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """Next-token log-probabilities (nats) of the edited network."""
        return _run(self, tokens, lambda depth, stream: stream)

    def streams(self, tokens: Tokens) -> Float[Array, "n l t d"]:
        """The edited stream at every depth."""
        return streams(self, tokens)

    def shifted(self, depth: int, vector: Numbers) -> "Edited":
        """The edited network with a vector more at one depth, at every position."""
        return edited(self, depth, vector)

    def edit(self, depth: int, stream: Float[Array, "d tn"], n: int) -> Float[Array, "d tn"]:
        """The stream of n sequences at a depth, edited."""
        shift, length = jnp.asarray(self.shift)[depth], stream.shape[1] // n
        if shift.ndim == 3 and len(shift) != n:
            raise Misuse(
                f"The shift is of {len(shift)} sequences, got {n}; use a shift (l, t, d) for all of them."
            )
        if self.matrix is not None:
            stream = jnp.asarray(self.matrix)[depth] @ stream
        if shift.ndim == 2:
            return stream + jnp.repeat(shift[:length].T, n, axis=1)
        return stream + _columns(shift[:, :length])


class Heads(NamedTuple):
    """Of every block, head and sequence: `patterns`, how much a position looks at each one up to itself, and
    `writes`, what it adds to the stream."""

    patterns: Float[Array, "l h n t s"]
    writes: Float[Array, "l h n t d"]


def edited(
    network: Network | Edited,
    depth: int,
    shift: Numbers,
    matrix: Numbers | None = None,
) -> Edited:
    """The network edited at one depth alone, by a shift (d,), (t d) or (n t d) and a matrix (d d); refuses
    other shapes and depths."""
    depths, length, width = shape(network)
    if not isinstance(depth, int | np.integer) or isinstance(depth, bool) or not 0 <= depth < depths:
        raise Misuse(
            f"depth must be from 0, the embedding, to {depths - 1}, after the last block, got {depth!r}."
        )
    given = np.shape(shift)
    if len(given) not in (1, 2, 3) or given[-1] != width or given[-2:-1] not in ((), (length,)):
        raise Misuse(
            f"shift must be (d,), (t, d) or (n, t, d) with t = {length} and d = {width}, got {given}."
        )
    if matrix is not None and np.shape(matrix) != (width, width):
        raise Misuse(f"matrix must be (d, d) = {width, width}, got {np.shape(matrix)}.")
    vectors = jnp.broadcast_to(jnp.asarray(shift, float), (*given[:-2], length, width))
    shifts = jnp.zeros((depths, *vectors.shape)).at[depth].set(vectors)
    if matrix is None:
        return Edited(network, shifts)
    return Edited(network, shifts, jnp.tile(jnp.eye(width), (depths, 1, 1)).at[depth].set(matrix))


def steerable(network: Network) -> Edited:
    """The network with edits that change nothing, for theories that shift its stream."""
    return Edited(network, jnp.zeros(shape(network)))


@jax.jit
def streams(network: Network | Edited, tokens: Tokens) -> Float[Array, "n l t d"]:
    """The stream at every depth: position t has read the tokens before token t. Of an edited network it is
    the edited one."""
    kept = []

    def keep(depth: int, stream: Array) -> Array:
        kept.append(stream)
        return stream

    _run(network, tokens, keep)
    n, t = tokens.shape
    return jnp.stack(kept).reshape(len(kept), -1, t, n).transpose(3, 0, 2, 1)


@jax.jit
def read_out(network: Network | Edited, stream: Float[Array, "n t d"]) -> LogProbs:
    """Log-probabilities (nats) that the network reads from a stream at the last depth."""
    return _transformer(network).read_out(_columns(stream), stream.shape[1])


@jax.jit
def heads(network: Network | Edited, streams: Float[Array, "n l t d"]) -> Heads:
    """Every head at work on recorded streams; with what the perceptron adds, a block's heads make the
    difference between its stream and the next."""
    n, _, t, _ = streams.shape
    every = []
    for depth, block in enumerate(_transformer(network).blocks):
        inputs = rms_norm(_columns(streams[:, depth]))
        query, key, value = block.attn_qkv(inputs).reshape(3, block.heads, -1, t, n)
        score = jnp.einsum("hdtn,hdsn->hnts", query, key) / np.sqrt(query.shape[1])
        pattern = jax.nn.softmax(jnp.where(np.tril(np.ones((t, t), bool)), score, -jnp.inf))
        mixed = jnp.einsum("hnts,hdsn->hntd", pattern, value)
        outputs = block.out_proj.matrix.reshape(-1, block.heads, mixed.shape[-1])
        every.append((pattern, jnp.einsum("hnte,dhe->hntd", mixed, outputs)))
    return Heads(*map(jnp.stack, zip(*every, strict=True)))


@jax.jit
def query_keys(network: Network | Edited) -> Float[Array, "l h 2 e d"]:
    """Of every block and head the maps of a normalised stream to queries and to keys."""
    matrices = [
        block.attn_qkv.matrix.reshape(3, block.heads, -1, block.attn_qkv.inputs)[:2]
        for block in _transformer(network).blocks
    ]
    return jnp.stack(matrices).swapaxes(1, 2)


def exchanged(blocks: Params, read_out: Params) -> Params:
    """The weights of one network, all but the read-out, with the read-out of another."""
    return nnx.merge_state(blocks, nnx.filter_state(read_out, nnx.PathContains(READ_OUT)))


def shape(network: Network | Edited) -> tuple[int, int, int]:
    """Depths, positions and width; zeros of stacked networks and of pytrees without arrays."""
    position = network.params["position"][...]
    if not isinstance(position, Array | np.ndarray) or position.ndim != 2:
        return 0, 0, 0
    length, width = position.shape
    return 1 + len(network.params["blocks"]), length, width


def _run(network: Network | Edited, tokens: Tokens, at: Hook) -> LogProbs:
    """Predict with a hook, which sees the stream after the network's own edits."""
    if isinstance(network, Network):
        return _transformer(network)(tokens, at)
    after, n = network, len(tokens)
    return _run(network.network, tokens, lambda depth, stream: at(depth, after.edit(depth, stream, n)))


def _transformer(network: Network | Edited) -> Transformer:
    while isinstance(network, Edited):
        network = network.network
    return nnx.merge(network.definition, network.params)


def _columns(stream: Float[Array, "n t d"]) -> Float[Array, "d tn"]:
    """A stream as the transformer has it, sequences innermost."""
    return stream.transpose(2, 1, 0).reshape(stream.shape[2], -1)
