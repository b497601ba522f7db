"""The network linearised at its base weights, trained as the network itself is (eNTK): no fitted number.

    f_δ(x) = f(x; w0) + J(x) δ,    δ follows the same optimiser, steps and batches

where f are the log-probabilities before their last normalisation (f_δ is renormalised). For squared loss
this is f_t = f_0 + K(x, D') K⁻¹ (1 - e^{-ηKt}) (y - f_0) (Malladi et al., arXiv 2210.05643); here the loss
is the true cross-entropy and the tangent features J stay implicit in Jacobian-vector products. β is the
training time Σ η: step β / learning_rate of the recipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory.base import (
    Beta,
    Betas,
    Dataset,
    LogProbs,
    Misuse,
    Parametric,
    Tokens,
    check_beta,
    check_ladder,
    compiled,
    mean_loss,
)
from theory.compute.descent import descend


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tangent:
    """A network's first-order Taylor expansion in its weights, at a displacement δ."""

    base: Any
    displacement: Any

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
    def params(self) -> Any:
        """The displacement δ: what moves here."""
        return self.displacement

    def with_params(self, params: Any) -> Self:
        """The same tangent at another displacement."""
        return replace(self, displacement=params)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Linearization:
    """A network's first-order expansion at `base`, as a network: `params` are weights, not displacements.

    Whatever finetunes a network finetunes its expansion, in any coordinates: those of LoRA, say, in which the
    weights are products and only the network is linearised.
    """

    base: Any
    params: Any

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """f(w0) + J (w - w0), normalised."""
        moved = jax.tree.map(jnp.subtract, self.params, self.base.params)
        return Tangent(self.base, moved).predict(tokens)

    def with_params(self, params: Any) -> Self:
        """The same expansion at other weights."""
        return replace(self, params=params)


@dataclass(frozen=True)
class Linearised:
    """The recipe that finetuning follows: optimiser, its step size η, and the documents of each step."""

    optimizer: optax.GradientTransformation
    learning_rate: float
    batches: Int[Array, "steps batch"]
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "a second pass starts the recipe's batches and its optimiser anew",
            "exchangeable": "documents are met in the recipe's order",
        }
    )

    def start(self, prior: Parametric) -> Any:
        """What the recipe trains, before its first step."""
        return Tangent(prior, jax.tree.map(jnp.zeros_like, prior.params))

    def rule(self) -> optax.GradientTransformation:
        """The recipe's optimiser, for the `params` of `start`."""
        return self.optimizer

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Any:
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
    ) -> Any:
        """Expansions stacked over an ascending ladder of training times, out of one run."""
        check_ladder(betas)
        steps = np.asarray([round(float(beta) / self.learning_rate) for beta in betas])
        if steps[-1] > self.batches.shape[0]:
            raise Misuse(
                f"The recipe has {self.batches.shape[0]} steps, got training time for {steps[-1]}; "
                "give it more batches."
            )
        start, doses = self.start(prior), np.unique(steps[steps > 0])
        stacked = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(steps), *jnp.shape(leaf))), start)
        if not len(doses):
            return stacked
        trained, _ = self.trained(prior, data, doses.tolist())
        rows = np.searchsorted(doses, steps)
        moved = jax.tree.map(
            lambda all, still: jnp.where(_column(steps == 0, all), still, all[rows]), trained, start.params
        )
        return stacked.with_params(moved)

    def trained(
        self, prior: Parametric, data: Dataset, doses: Sequence[int]
    ) -> tuple[Any, Float[Array, " last"]]:
        """The `params` of `start` after each dose (stacked), and each step's loss."""
        start = self.start(prior)

        def loss(params: Any, batch: Dataset) -> Float[Array, ""]:
            return mean_loss(start.with_params(params), batch)

        return descend(loss, self.rule(), start.params, data, self.batches, doses)


def _column(which: np.ndarray, like: Array) -> Array:
    """A row mask that broadcasts against a stacked leaf."""
    return jnp.asarray(which).reshape(-1, *[1] * (like.ndim - 1))


def example() -> Linearised:
    """Four steps of gradient descent over eight documents."""
    return Linearised(optax.sgd(0.1), 0.1, jnp.arange(16).reshape(4, 4) % 8)
