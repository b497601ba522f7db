"""Quadratic network: expanded to second order in its weights, trained as the network itself is.

    f_w(x) = f(x; w0) + J(x) d + ½ dᵀ H(x) d,    d = w - w0

where f are the log-probabilities before their last normalisation (f_w is renormalised), J and H their first
and second derivatives at w0; neither is made, as f_w is the second-order Taylor polynomial of f along d. The
weights follow the same optimiser, steps and batches as the network, so features move here, J + dᵀH, though
in a straight line only (the quadratic model of Zhu et al., arXiv 2205.11787). The error is of third order in
d while d is small; a parabola has no bound, so far out it may be worse than the line. β is the training time
Σ η: step β / learning_rate of the recipe.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from theory.base import LogProbs, Parametric, Tokens, compiled
from theory.theories.linearised import Linearised, Linearization
from theory.weights.taylor import taylor


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class QuadraticExpansion(Linearization):
    """A network's second-order expansion at `base`, as a network: `params` are weights."""

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """f(w0) + J d + ½ dᵀ H d, normalised."""
        moved = jax.tree.map(jnp.subtract, self.params, self.base.params)
        value, slope, curvature = taylor(self.base, moved, tokens)
        return jax.nn.log_softmax(value + slope + curvature / 2, axis=-1)


@dataclass(frozen=True)
class Quadratic(Linearised):
    """The recipe that `predict` follows, as in `Linearised`."""

    optional: ClassVar[bool] = True

    def start(self, prior: Parametric) -> Parametric:
        """The expansion at w0."""
        return self.expansion(prior)

    def expansion(self, network: Parametric) -> Parametric:
        """To second order."""
        return QuadraticExpansion(network, network.params)


def example() -> Quadratic:
    """Four steps of gradient descent over eight documents."""
    return Quadratic(optax.sgd(0.1), 0.1, jnp.arange(16).reshape(4, 4) % 8)
