"""A transformer as a predictor: weights in a pytree, a pure function of them."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
from flax import nnx

from models.transformer import Architecture, Transformer
from theory.base import LogProbs, Tokens


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Network:
    """Weights (an nnx state) and the static definition that gives them meaning."""

    params: Any
    definition: Any = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Next-token log-probabilities in nats."""
        return nnx.merge(self.definition, self.params)(tokens)

    def with_params(self, params: Any) -> Self:
        """The same network with other weights."""
        return replace(self, params=params)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def build(shape: Architecture, vocabulary: int, length: int, seed: int) -> Network:
    """A freshly initialised network."""
    definition, params = nnx.split(Transformer(shape, vocabulary, length, nnx.Rngs(seed)))
    return Network(params, definition)


def stack(networks: list[Network]) -> Network:
    """Networks of one shape as a single one with a leading axis."""
    return jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *networks)
