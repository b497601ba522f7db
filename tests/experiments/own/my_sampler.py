"""Barker's proposal in Langevin form: steps as long as the noise, their sign biased to lower potential."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from theory.mcmc.langevin import Flat, Langevin, Memory, StepResult, ValueAndGrad


@dataclass(frozen=True, eq=False)
class Barker(Langevin):
    """`Barker(model, step_size=ε)` or `Barker(potential_fn=U, step_size=ε)`; uses the whole potential."""

    minibatch: ClassVar[bool] = False

    def move(
        self,
        position: Flat,
        memory: Memory,
        value_and_grad: ValueAndGrad,
        step: Array,
        key: PRNGKeyArray,
        i: Int[Array, ""],
    ) -> StepResult:
        """One step."""
        rows, size, sign = jax.random.split(key, 3)
        value, gradient = value_and_grad(position, rows)
        leap = jnp.sqrt(2 * step) * jax.random.normal(size, position.shape, position.dtype)
        along = jax.random.uniform(sign, position.shape) < jax.nn.sigmoid(-leap * gradient)
        return StepResult(position + jnp.where(along, leap, -leap), memory, value, jnp.ones(()))


def example() -> Barker:
    """A standard normal in one dimension."""
    return Barker(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=0.1)
