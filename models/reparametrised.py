"""A network as a function of other numbers than its weights: w = weights_at(w0, params), w0 frozen.

    params      the numbers that move: any pytree (some of the weights, factors of their displacement)
    weights_at  a pure function of the frozen weights and of `params`; it returns full weights

It is `Parametric`, so whatever trains, samples or linearises a network does the same in these coordinates.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import jax

from theory.base import LogProbs, Parametric, Params, Tokens


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Reparametrised:
    """The frozen network, the numbers that move, and how the two make weights."""

    network: Parametric
    params: Params
    weights_at: Callable[[Params, Params], Params] = field(metadata={"static": True})

    @property
    def weights(self) -> Params:
        """The network's full weights."""
        return self.weights_at(self.network.params, self.params)

    def predict(self, tokens: Tokens) -> LogProbs:
        """Next-token log-probabilities (nats) of the network at these weights."""
        return self.network.with_params(self.weights).predict(tokens)

    def with_params(self, params: Params) -> Self:
        """The network at other values of the numbers that move."""
        return replace(self, params=params)
