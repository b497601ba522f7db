"""A network as a function of other numbers than its weights: w = weights_at(w0, params), w0 frozen.

    params      what moves: a pytree of any structure (some of the weights, factors of their displacement)
    weights_at  a pure function of the frozen weights and of what moves; it returns full weights

It is `Parametric`, so whatever trains, samples or linearises a network does the same in these coordinates.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax

from theory.base import LogProbs, Tokens


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Reparametrised:
    """The frozen network, what moves, and how the two make weights."""

    network: Any
    params: Any
    weights_at: Callable[[Any, Any], Any] = field(metadata={"static": True})

    @property
    def weights(self) -> Any:
        """The network's full weights."""
        return self.weights_at(self.network.params, self.params)

    def predict(self, tokens: Tokens) -> LogProbs:
        """Next-token log-probabilities (nats) of the network at these weights."""
        return self.network.with_params(self.weights).predict(tokens)

    def with_params(self, params: Any) -> Self:
        """The same network elsewhere."""
        return replace(self, params=params)
