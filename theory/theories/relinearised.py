"""The network linearised anew a few times along its path: no fitted number, but features may move in between.

    f_w(x) = f(x; a) + J_a(x) (w - a),    a = w0, and a ← w after each of the steps `anew`

Between two of these steps this is `linearised`: f are log-probabilities, renormalised, and w follows the same
optimiser (its state goes on), steps and batches as the network. Each stage is a linear model whose prior is
centred where the last one ended, with features of that place: sequential Bayes. It is no closed form, and
with an expansion after every step it is finetuning itself, as a step's gradient is then taken where the
expansion is exact. So it says less than `linearised` the more stages it has; how few of them suffice tells
how often features must be looked at. β is the training time Σ η: step β / learning_rate of the recipe.
"""

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import optax

from theory.base import LogProbs, Misuse, Parametric, Tokens
from theory.theories.linearised import Linearised, Linearization


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RelinearisedNetwork:
    """An expansion that knows where it was made: `params` are what moves and the anchor, both as `moving`,
    the network as a function of what moves, has them (the network itself, or LoRA's factors, say)."""

    network: Any
    moving: Any
    params: tuple[Any, Any]

    def predict(self, tokens: Tokens) -> LogProbs:
        """The network linearised at the anchor; its gradient in the anchor is 0."""
        weights, anchor = (_weights(self.moving.with_params(each)) for each in self.params)
        base = self.network.with_params(jax.lax.stop_gradient(anchor))
        return Linearization(base, weights).predict(tokens)

    def with_params(self, params: Any) -> Self:
        """The same network elsewhere, expanded elsewhere."""
        return type(self)(self.network, self.moving, params)


def relinearised_network(network: Any, moving: Any) -> RelinearisedNetwork:
    """The expansion at the base weights."""
    return RelinearisedNetwork(network, moving, (moving.params, moving.params))


def with_anchor(rule: optax.GradientTransformation, anew: tuple[int, ...]) -> optax.GradientTransformation:
    """`rule` for what moves, beside an anchor that jumps there after each of the steps `anew`."""

    def init(params: Any) -> Any:
        return rule.init(params[0]), jnp.zeros((), jnp.int32)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        inner, done = state
        moving, anchor = params
        change, inner = rule.update(updates[0], inner, moving)
        due = jnp.isin(done + 1, jnp.asarray(anew, jnp.int32))
        jump = jax.tree.map(
            lambda now, step, old: jnp.where(due, now + step - old, 0.0), moving, change, anchor
        )
        return (change, jump), (inner, done + 1)

    return optax.GradientTransformation(init, update)


@dataclass(frozen=True)
class Relinearised(Linearised):
    """The recipe that finetuning follows, and the steps after which the network is expanded `anew`."""

    anew: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)

    def __post_init__(self) -> None:
        if any(step < 1 for step in self.anew):
            raise Misuse(f"anew must be numbers of steps from 1, got {self.anew}.")

    def start(self, prior: Parametric) -> RelinearisedNetwork:
        """The expansion at w0."""
        return relinearised_network(prior, prior)

    def rule(self) -> optax.GradientTransformation:
        """The recipe's optimiser, and the jumps of the anchor."""
        return with_anchor(self.optimizer, self.anew)


def _weights(moved: Any) -> Any:
    return getattr(moved, "weights", moved.params)


def example() -> Relinearised:
    """Four steps of gradient descent over eight documents, expanded anew after the first."""
    return Relinearised(optax.sgd(0.1), 0.1, jnp.arange(16).reshape(4, 4) % 8, anew=(1,))
