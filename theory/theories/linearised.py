"""Linearised network (eNTK): expanded at its base weights, trained as the network itself is.

    f_δ(x) = f(x; w0) + J(x) δ,    δ follows the same optimiser, steps and batches

where f are the log-probabilities before their last normalisation (f_δ is renormalised). For squared loss
this is f_t = f_0 + K(x, D') K⁻¹ (1 - e^{-ηKt}) (y - f_0) (Malladi et al., arXiv 2210.05643); here the loss
is the true cross-entropy and the tangent features J stay implicit in Jacobian-vector products. β is the
training time Σ η: step β / learning_rate of the recipe. `replay` follows a finetuning instead, by its own
method and in its own coordinates: only the network is expanded, the product of LoRA's factors, say, is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory.base import (
    Beta,
    Betas,
    Cost,
    Dataset,
    LogProbs,
    Misuse,
    Model,
    Parametric,
    Params,
    PyTree,
    Tokens,
    check_beta,
    check_ladder,
    check_number,
    compiled,
    mean_loss,
)
from theory.compute.descent import descend
from theory.contracts import Theory, TrainingRun


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tangent:
    """A network's first-order Taylor expansion in its weights, at a displacement δ."""

    base: Model
    displacement: Params

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """f(w0) + J δ, normalised."""
        value, slope = jax.jvp(
            lambda params: self.base.with_params(params).predict(tokens),
            (self.base.params,),
            (self.displacement,),
        )
        return jax.nn.log_softmax(value + slope, axis=-1)

    @property
    def params(self) -> Params:
        """The displacement δ: here, the numbers that move."""
        return self.displacement

    def with_params(self, params: Params) -> Self:
        """The same tangent at another displacement."""
        return replace(self, displacement=params)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Linearization:
    """A network's first-order expansion at `base`, as a network: `params` are weights, not displacements.

    Any method that finetunes a network finetunes its expansion, in any coordinates: those of LoRA, say, in
    which the weights are products and only the network is linearised.
    """

    base: Model
    params: Params

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """f(w0) + J (w - w0), normalised."""
        moved = jax.tree.map(jnp.subtract, self.params, self.base.params)
        return Tangent(self.base, moved).predict(tokens)

    def with_params(self, params: Params) -> Self:
        """The same expansion at other weights."""
        return replace(self, params=params)


@dataclass(frozen=True)
class Linearised(Theory[Parametric]):
    """The recipe that `predict` follows: optimiser, its step size η, and the documents of each step."""

    optimizer: optax.GradientTransformation = field(default_factory=lambda: optax.sgd(0.1))
    learning_rate: float = 0.1
    batches: Int[Array, "steps batch"] = field(default_factory=lambda: jnp.zeros((0, 1), int))
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "a second pass starts the recipe's batches and its optimiser anew",
            "exchangeable": "documents are met in the recipe's order",
        }
    )
    cost: ClassVar[Cost] = Cost(gradients=1, per="step")

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, above=0)

    def start(self, prior: Parametric) -> Parametric:
        """The model that the recipe trains, before its first step."""
        return Tangent(prior, jax.tree.map(jnp.zeros_like, prior.params))

    def rule(self) -> optax.GradientTransformation:
        """The recipe's optimiser, for the `params` of `start`."""
        return self.optimizer

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Model:
        """The expansion after training time β (a concrete number)."""
        check_beta(beta)
        return jax.tree.map(lambda leaf: leaf[0], self.path(prior, data, np.asarray([float(beta)]), key=key))

    def path(
        self,
        prior: Parametric,
        data: Dataset,
        betas: Betas,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Model:
        """Expansions stacked over an ascending ladder of training times, out of one run."""
        check_ladder(betas)
        steps = np.asarray([round(float(beta) / self.learning_rate) for beta in betas])
        if steps[-1] and not len(self.batches):
            raise Misuse(
                f"{type(self).__name__}() has no recipe to predict by: give it an optimizer, a learning_rate "
                "and the batches of every step; a comparison replays the finetuning's own instead."
            )
        if steps[-1] > self.batches.shape[0]:
            raise Misuse(
                f"The recipe has {self.batches.shape[0]} steps, got training time for {steps[-1]}; "
                "give it more batches."
            )
        start, doses = self.start(prior), np.unique(steps[steps > 0])
        models = stacked(start, len(steps))
        if not len(doses):
            return models
        trained, _ = self.trained(prior, data, doses.tolist())
        rows = np.searchsorted(doses, steps)
        moved = jax.tree.map(
            lambda all, still: jnp.where(_column(steps == 0, all), still, all[rows]), trained, start.params
        )
        return models.with_params(moved)

    def trained(
        self, prior: Parametric, data: Dataset, doses: Sequence[int]
    ) -> tuple[Params, Float[Array, " last"]]:
        """The `params` of `start` after each dose (stacked), and each step's loss."""
        start = self.start(prior)

        def loss(params: Params, batch: Dataset) -> Float[Array, ""]:
            return mean_loss(start.with_params(params), batch)

        return descend(loss, self.rule(), start.params, data, self.batches, doses)

    def expansion(self, network: Parametric) -> Parametric:
        """The network's expansion at its weights, as a network: `params` are weights."""
        return Linearization(network, network.params)

    def follow(self, network: Parametric, run: TrainingRun) -> tuple[Model, Params]:
        """Expansions after each dose (stacked) and their full weights (d, ...), out of one finetuning."""
        expansion = self.expansion(network)
        weights = run.finetune(expansion)
        return stacked(expansion, len(run.doses)).with_params(weights), weights


def stacked(model: PyTree, count: int) -> PyTree:
    """A model `count` times, along a leading axis."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *jnp.shape(leaf))), model)


def _column(mask: np.ndarray, like: Array) -> Array:
    """A row mask that broadcasts against a stacked leaf."""
    return jnp.asarray(mask).reshape(-1, *[1] * (like.ndim - 1))


def example() -> Linearised:
    """Four steps of gradient descent over eight documents."""
    return Linearised(optax.sgd(0.1), 0.1, jnp.arange(16).reshape(4, 4) % 8)
