"""Unadjusted Langevin (ULA): gradient descent on the potential with noise, no proposal rejected.

    z ← z - ε ∇U(z) + √(2ε) ξ

Biased at finite ε: a Gaussian of precision p is sampled with variance 1/(p (1 - εp/2)), and not at all from
εp = 2 on (Roberts & Tweedie 1996; theory.md, section 5).
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from theory.compute.random import normal
from theory.mcmc.langevin import Flat, Langevin, Memory, StepResult, ValueAndGrad


@dataclass(frozen=True, eq=False)
class ULA(Langevin):
    """`ULA(model, step_size=ε)` or `ULA(potential_fn=U, step_size=ε)`; uses the whole potential."""

    minibatch: ClassVar[bool] = False

    def limit(self, curvature: float) -> float:
        """2/p."""
        return 2 / curvature if curvature > 0 else float("inf")

    def move(
        self,
        position: Flat,
        memory: Memory,
        value_and_grad: ValueAndGrad,
        step: Array,
        key: PRNGKeyArray,
        i: Int[Array, ""],
    ) -> StepResult:
        """One Euler step of the Langevin diffusion."""
        rows, noise = jax.random.split(key)
        value, gradient = value_and_grad(position, rows)
        noise = normal(noise, position)
        return StepResult(
            position - step * gradient + jnp.sqrt(2 * step) * noise, memory, value, jnp.ones(())
        )


def example() -> ULA:
    """A standard normal in one dimension."""
    return ULA(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=0.1)
