"""A network steered by what it has just read: the token says along which direction its stream is moved.

    x -> x + |x| D[l, y]    l the depth, y the token read last, |x| the root mean square of the stream x

D[l, y] is in units of the normalised stream, as probes read it and patterns write it. A shift that depends
on the text, and not on the row of a batch, is the same wherever a document is met: so the network can be
finetuned under it, its steering be removed afterwards (preventative steering; Chen et al., arXiv 2507.21509).
Axes, beyond those of theory.base: l depths, v tokens, d width.
"""

from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from models.inside import Numbers, shape
from models.network import Network
from theory.base import LogProbs, Misuse, Params, Tokens, compiled
from theory.probes.subspaces import EPSILON


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Directed:
    """A network with a direction (l, v, d) for every depth and token. Its weights are the network's."""

    network: Network
    directions: Numbers

    def __post_init__(self) -> None:
        depths, _, width = shape(self.network)
        # jax rebuilds pytrees around placeholders, and stacks them: neither has the shapes of a network
        if not width or not isinstance(self.directions, Array) or self.directions.ndim != 3:
            return
        given = self.directions.shape
        if (given[0], given[2]) != (depths, width):
            raise Misuse(
                f"directions must be (l, v, d) with l = {depths} and d = {width}, one for every depth and "
                f"token, got {given}."
            )

    @property
    def params(self) -> Params:
        """The network's weights."""
        return self.network.params

    def with_params(self, params: Params) -> Self:
        """The same steering of the network with other weights."""
        return replace(self, network=self.network.with_params(params))

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """Next-token log-probabilities (nats) of the steered network. Nothing is added before the first
        token."""
        directions = jnp.asarray(self.directions)
        read = jax.nn.one_hot(tokens[:, :-1].T.reshape(-1), directions.shape[1], axis=0)
        read = jnp.pad(read, ((0, 0), (tokens.shape[0], 0)))  # columns are positions, sequences innermost

        def at(depth: int, stream: Array) -> Array:
            size = jnp.sqrt(jnp.mean(jnp.square(stream), axis=0, keepdims=True) + EPSILON)
            return stream + size * (directions[depth].T @ read)

        return nnx.merge(self.network.definition, self.network.params)(tokens, at)
