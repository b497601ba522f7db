"""SGLD with RMSprop's preconditioner (pSGLD; Li et al., arXiv 1512.07666), fixed after warm-up.

    V ← ρ V + (1 - ρ) ĝ²,      G = 1 / (δ + √V),      z ← z - ε (G ĝ - Γ) + √(2εG) ξ,      Γ = ∇·G

While V follows the chain, the drift correction Γ_i = ∂G_i/∂z_i takes second derivatives, is O(1 - ρ), and is
commonly omitted; without it the stationary law of the chain is unknown. Here V is adapted for the first
`adapt` steps only (by default the warm-up) and then kept: G is a constant, Γ is zero, and the chain is SGLD
in scaled coordinates, whose bias is known: variance 1/(p (1 - εGp/2)) on a Gaussian of precision p.
`adapt=-1` adapts without end, for comparison: it is biased by the missing Γ.

A coordinate without a gradient so far (at a mode, or a weight not in use) has G = 1/δ and noise of size
√(2ε/δ). With δ = 1 no step is longer than SGLD's; Li et al. take 1e-5.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory.base import check_number
from theory.compute.random import normal
from theory.mcmc.langevin import Flat, Langevin, StepResult, ValueAndGrad

Adaptation: TypeAlias = tuple[Flat, Int[Array, ""]]  # V, and the number of steps that update it


@dataclass(frozen=True, eq=False)
class PreconditionedSGLD(Langevin):
    """`PreconditionedSGLD(model, step_size=ε)`; `decay` is ρ, `floor` is δ (in units of the gradient)."""

    decay: float = field(default=0.99, kw_only=True)
    floor: float = field(default=1.0, kw_only=True)
    adapt: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("decay of PreconditionedSGLD", self.decay, least=0, below=1)
        check_number("floor of PreconditionedSGLD", self.floor, above=0)
        if self.adapt is not None:
            check_number("adapt of PreconditionedSGLD", self.adapt, least=-1, whole=True)

    def noise_gain(self, step: Array, memory: Adaptation) -> Flat:
        """ε G / 2."""
        return step / (2 * (self.floor + jnp.sqrt(memory[0])))

    def start(
        self, position: Flat, value_and_grad: ValueAndGrad, key: PRNGKeyArray, warmup: int
    ) -> tuple[Adaptation, Float[Array, ""]]:
        """V from the first gradient, and the number of steps that update it."""
        value, gradient = value_and_grad(position, key)
        adapt = warmup if self.adapt is None else self.adapt
        return (gradient**2, jnp.asarray(adapt if adapt >= 0 else jnp.iinfo(jnp.int32).max)), value

    def move(
        self,
        position: Flat,
        memory: Adaptation,
        value_and_grad: ValueAndGrad,
        step: Array,
        key: PRNGKeyArray,
        i: Int[Array, ""],
    ) -> StepResult:
        """One preconditioned step."""
        rows, noise = jax.random.split(key)
        squares, adapt = memory
        value, gradient = value_and_grad(position, rows)
        updated = self.decay * squares + (1 - self.decay) * gradient**2
        squares = jnp.where(i < adapt, updated, squares)
        metric = 1 / (self.floor + jnp.sqrt(squares))
        noise = normal(noise, position)
        position = position - step * metric * gradient + jnp.sqrt(2 * step * metric) * noise
        return StepResult(position, (squares, adapt), value, jnp.ones(()))


def example() -> PreconditionedSGLD:
    """A standard normal in one dimension."""
    return PreconditionedSGLD(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=0.1)
