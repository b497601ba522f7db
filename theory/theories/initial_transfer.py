"""Initial transfer: one direction, that of the first step, as far as D' is learnt along it.

    f = f(w0) - τ J Λ⁻¹ g,      g the gradient of the mean loss of D' at w0
    λ0 = ⟨g_N - g_NA, g_B - g_BA⟩ / ⟨g_N - g_NA, g_N' - g_N'A⟩,      ⟨u, v⟩ = uᵀ Λ⁻¹ v

f are log-probabilities (renormalised), J their Jacobian at w0, Λ the identity under SGD and √v̂ under Adam.
`linearised` trains the same expansion, so its direction turns as D' is learnt; here it never does, and all
that a finetuning can differ in is one number, τ: fitted in-domain, it says how far the other contexts move.
With learning-rate time for τ it is a forecast. β = τ/N at γ = 1, as in `proximal`, N the counted positions.

λ0 is that statement as a number, before any finetuning: the drop of the loss of broad documents B per nat of
drop of narrow ones. N and N' are disjoint batches of narrow documents, so that the noise of one gradient does
not count as progress; A marks the same questions with other answers, whose gradient holds what is common to
all answers and no persona (a double contrast; without A the plain gradients).
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import (
    Beta,
    Cost,
    Dataset,
    Misuse,
    Parametric,
    Params,
    PyTree,
    check_beta,
    check_number,
    mean_loss,
)
from theory.contracts import Process, Setting, WeightTheory
from theory.theories.linearised import Tangent
from theory.theories.spectrum import METRICS, filter_cost, made, to_weights
from theory.weights.curvature import Metric, gradient


@dataclass(frozen=True)
class InitialTransfer(WeightTheory):
    """`prior_precision` is γ; `metric` Λ (None: identity, a positive pytree like the weights, or a name)."""

    prior_precision: float = 1.0
    metric: PyTree = None
    breaks: dict[str, str] = field(
        default_factory=lambda: {"additive": "the second pass takes its direction where the first one ended"}
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("prior_precision", self.prior_precision, above=0)
        if isinstance(self.metric, str) and self.metric not in METRICS:
            raise Misuse(
                f"The metric must be an array pytree or one of {', '.join(METRICS)}, got {self.metric!r}."
            )

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Tangent:
        """The linearised network at -(β/γ) Λ⁻¹ ∇Σℓ."""
        check_beta(beta)
        scale, size = to_weights(self.metric), -beta / self.prior_precision
        step = scale(scale(gradient(prior, data)))
        return Tangent(prior, jax.tree.map(lambda leaf: size * leaf, step))

    @property
    def cost(self) -> Cost:
        """A gradient, whatever the strengths."""
        return filter_cost(self.metric, products=0)

    def complete(self, setting: Setting) -> Self:
        """With the metric that it names."""
        return replace(self, metric=made(self.metric, setting))


def initial_transfer(
    network: Parametric,
    narrow: tuple[Dataset, Dataset],
    broad: Dataset,
    contrast: tuple[Dataset, Dataset, Dataset] | None = None,
    metric: Metric = None,
) -> Float[Array, ""]:
    """λ0 (nats per nat) from disjoint `narrow` batches N and N', and broad documents B; `contrast` has the
    same three with other answers. Not a number where narrow documents make no progress."""
    scale = to_weights(metric)

    def force(data: Dataset) -> Params:
        return jax.grad(lambda params: mean_loss(network.with_params(params), data))(network.params)

    forces = [force(data) for data in (*narrow, broad)]
    if contrast is not None:
        others = [force(data) for data in contrast]
        forces = [jax.tree.map(jnp.subtract, left, right) for left, right in zip(forces, others, strict=True)]
    first, again, wide = (scale(part) for part in forces)

    def inner(left: Params, right: Params) -> Array:
        return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, left, right)), jnp.zeros(()))

    progress = inner(first, again)
    return jnp.where(progress == 0, jnp.nan, inner(first, wide) / jnp.where(progress == 0, 1.0, progress))


def variants(process: Process) -> dict[str, InitialTransfer]:
    """In the metric of SGD, and in Adam's."""
    return {
        "initial-transfer/identity": InitialTransfer(),
        "initial-transfer/adam": InitialTransfer(metric="adam"),
    }


def example() -> InitialTransfer:
    """In the metric of SGD."""
    return InitialTransfer()
