"""Relinearised network: expanded anew a few times along its path, so that features move in between.

    f_w(x) = f(x; a) + J_a(x) (w - a),    a = w0, and a ← w after each of the steps `anew`

Between two of these steps this is `linearised`: f are log-probabilities, renormalised, and w follows the same
optimiser (its state goes on), steps and batches as the network. Each stage is a linear model whose prior is
centred where the last one ended, with features of those weights: sequential Bayes. It is no closed form, and
with an expansion after every step it is finetuning itself, as a step's gradient is then taken where the
expansion is exact. So it claims less than `linearised` the more stages it has; how few of them suffice
shows how often features must be taken anew. β is the training time Σ η: step β / learning_rate of the recipe.
"""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import optax

from theory.base import LogProbs, Misuse, Model, Parametric, Params, PyTree, Tokens
from theory.contracts import TrainingRun
from theory.theories.linearised import Linearised, Linearization, stacked


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RelinearisedNetwork:
    """An expansion with its anchor: `params` are the numbers that move and the anchor, both as `moving`, the
    network as a function of the numbers that move, has them (the network itself, or LoRA's factors, say)."""

    network: Model
    moving: Model
    params: tuple[Params, Params]

    def predict(self, tokens: Tokens) -> LogProbs:
        """The network linearised at the anchor; its gradient in the anchor is 0."""
        weights, anchor = (_weights(self.moving.with_params(params)) for params in self.params)
        base = self.network.with_params(jax.lax.stop_gradient(anchor))
        return Linearization(base, weights).predict(tokens)

    def with_params(self, params: tuple[Params, Params]) -> Self:
        """The same network elsewhere, expanded elsewhere."""
        return type(self)(self.network, self.moving, params)


def relinearised_network(network: Model, moving: Model) -> RelinearisedNetwork:
    """The expansion at the base weights."""
    return RelinearisedNetwork(network, moving, (moving.params, moving.params))


def with_anchor(rule: optax.GradientTransformation, anew: tuple[int, ...]) -> optax.GradientTransformation:
    """`rule` for the numbers that move, and an anchor that jumps to them after each of the steps `anew`.

    A line search (`optax.lbfgs`) gets the loss as a function of the numbers that move.
    """
    whole = optax.with_extra_args_support(rule)

    def init(params: Params) -> PyTree:
        return rule.init(params[0]), jnp.zeros((), jnp.int32)

    def update(updates: Params, state: PyTree, params: Params = None, **more: Any) -> tuple[Params, PyTree]:
        inner, done = state
        moving, anchor = params
        if "value_fn" in more:
            loss = more["value_fn"]
            more |= {"grad": updates[0], "value_fn": lambda moved: loss((moved, anchor))}
        change, inner = whole.update(updates[0], inner, moving, **more)
        # number by number: no array of constants enters the program of a step
        due = functools.reduce(jnp.logical_or, (done + 1 == step for step in anew), jnp.asarray(False))
        # an update is added: to where the moving numbers will be after this step, from the old anchor
        jump = jax.tree.map(
            lambda now, step, old: jnp.where(due, now + step - old, 0.0), moving, change, anchor
        )
        return (change, jump), (inner, done + 1)

    return optax.GradientTransformationExtraArgs(init, update)


@dataclass(frozen=True)
class Relinearised(Linearised):
    """The recipe that `predict` follows, and the steps after which the network is expanded `anew`."""

    anew: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(step < 1 for step in self.anew):
            raise Misuse(f"anew must be numbers of steps from 1, got {self.anew}.")

    def start(self, prior: Parametric) -> Parametric:
        """The expansion at w0."""
        return relinearised_network(prior, prior)

    def rule(self) -> optax.GradientTransformation:
        """The recipe's optimiser, and the jumps of the anchor."""
        return with_anchor(self.optimizer, self.anew)

    def follow(self, network: Parametric, run: TrainingRun) -> tuple[Model, Params]:
        """Expansions after each dose, made anew after all but the last, and their full weights (d, ...)."""
        start = run.coordinates(network)
        expansion = relinearised_network(network, start)
        trained = run.train(expansion, with_anchor(run.optimizer(), tuple(run.doses[:-1])))
        weights = trained[0]
        if start is not network:
            weights = jax.vmap(lambda params: _weights(start.with_params(params)))(weights)
        return stacked(expansion, len(run.doses)).with_params(trained), weights


def _weights(moved: Model) -> Params:
    """Full weights: those of a reparametrised network are made of its `params`."""
    return getattr(moved, "weights", moved.params)


def example() -> Relinearised:
    """Four steps of gradient descent over eight documents, expanded anew after the first."""
    return Relinearised(optax.sgd(0.1), 0.1, jnp.arange(16).reshape(4, 4) % 8, anew=(1,))
