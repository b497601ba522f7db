"""A transformer as a predictor: a pytree of weights and a pure function of them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.transformer import Architecture, Transformer
from theory.base import LogProbs, Params, Tokens, compiled

Stack = TypeVar("Stack")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Network:
    """Weights (an nnx state) and the static definition (an nnx graph) that gives them meaning.

    A network is equal only to itself.
    """

    params: Params
    definition: Any = field(metadata={"static": True})

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """Next-token log-probabilities in nats."""
        return nnx.merge(self.definition, self.params)(tokens)

    def with_params(self, params: Params) -> Self:
        """The network with other weights."""
        return replace(self, params=params)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def build(shape: Architecture, vocabulary: int, length: int, seeds: Sequence[int]) -> Network:
    """Freshly initialised networks, one a seed, stacked along a leading axis.

    Weights are normal, with the scales that `models.transformer` notes. They are drawn on the host, so that
    nothing has to be compiled before the first step.
    """
    definition, shapes = _structure(shape, vocabulary, length)
    streams = [np.random.default_rng(seed) for seed in seeds]

    def draw(leaf: nnx.Variable) -> nnx.Variable:
        scale = leaf.get_metadata("scale")
        drawn = np.stack([scale * stream.normal(size=leaf.shape) for stream in streams])
        return leaf.replace(jnp.asarray(drawn, leaf.dtype))

    return Network(jax.tree.map(draw, shapes, is_leaf=lambda leaf: isinstance(leaf, nnx.Param)), definition)


@functools.cache
def _structure(shape: Architecture, vocabulary: int, length: int) -> tuple[nnx.GraphDef[Transformer], Params]:
    """A network's static definition, and the shapes of its weights."""
    definition, shapes = nnx.split(
        nnx.eval_shape(lambda: Transformer(shape, vocabulary, length, nnx.Rngs(0)))
    )
    return definition, shapes


def first(stacked: Stack) -> Stack:
    """The first of a stack of predictors, or of any stacked pytree."""
    return jax.tree.map(lambda leaf: leaf[0], stacked)
