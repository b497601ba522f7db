"""A transformer as a predictor: weights in a pytree, a pure function of them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.transformer import Architecture, Transformer
from theory.base import LogProbs, Tokens, compiled


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Network:
    """Weights (an nnx state) and the static definition that gives them meaning. Equal to itself alone."""

    params: Any
    definition: Any = field(metadata={"static": True})

    @compiled()
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
    """Freshly initialised networks, one a seed, stacked along a leading axis.

    Normal, as `models.transformer` says, but drawn on the host, where nothing has to be compiled before the
    first step.
    """
    definition, shapes = _plan(shape, vocabulary, length)
    streams = [np.random.default_rng(seed) for seed in seeds]

    def draw(leaf: nnx.Variable) -> nnx.Variable:
        scale = leaf.get_metadata("scale")
        drawn = np.stack([scale * stream.normal(size=leaf.shape) for stream in streams])
        return leaf.replace(jnp.asarray(drawn, leaf.dtype))

    return Network(jax.tree.map(draw, shapes, is_leaf=lambda leaf: isinstance(leaf, nnx.Param)), definition)


@functools.cache
def _plan(shape: Architecture, vocabulary: int, length: int) -> Any:
    """What a network is made of, and the shapes of its weights."""
    return nnx.split(nnx.eval_shape(lambda: Transformer(shape, vocabulary, length, nnx.Rngs(0))))


def first(stacked: Any) -> Any:
    """The first of a stack of predictors (or of any stacked pytree)."""
    return jax.tree.map(lambda leaf: leaf[0], stacked)
