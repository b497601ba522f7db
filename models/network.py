"""A transformer as a predictor: weights in a pytree, a pure function of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

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


def build(shape: Architecture, vocabulary: int, length: int, seeds: Sequence[int]) -> Network:
    """Freshly initialised networks, one a seed, stacked along a leading axis."""

    def params(seed: Array) -> Any:
        rngs = nnx.Rngs(jax.random.key(seed))
        return nnx.split(Transformer(shape, vocabulary, length, rngs))[1]

    definition, _ = nnx.split(nnx.eval_shape(lambda: Transformer(shape, vocabulary, length, nnx.Rngs(0))))
    return Network(jax.jit(jax.vmap(params))(jnp.asarray(seeds, jnp.uint32)), definition)


def first(stacked: Any) -> Any:
    """The first of a stack of predictors (or of any stacked pytree)."""
    return jax.tree.map(lambda leaf: leaf[0], stacked)
