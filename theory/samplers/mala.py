"""Metropolis-adjusted Langevin (MALA; Roberts & Tweedie 1996): ULA's proposals, accepted or rejected.

    z' = z - ε ∇U(z) + √(2ε) ξ,      accept with min(1, exp(U(z) - U(z')) q(z | z') / q(z' | z))

Exact at any ε. Acceptance falls as the dimension grows at fixed ε; 0.57 is the classical optimum (Roberts &
Rosenthal 1998).
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory.compute.random import normal
from theory.mcmc.langevin import Flat, Langevin, StepResult, ValueAndGrad

Evaluation: TypeAlias = tuple[Float[Array, ""], Flat]  # potential and gradient at a position


@dataclass(frozen=True, eq=False)
class MALA(Langevin):
    """`MALA(model, step_size=ε)` or `MALA(potential_fn=U, step_size=ε)`; uses the whole potential."""

    minibatch: ClassVar[bool] = False

    def start(
        self, position: Flat, value_and_grad: ValueAndGrad, key: PRNGKeyArray, warmup: int
    ) -> tuple[Evaluation, Float[Array, ""]]:
        """Potential and gradient at the first position."""
        value, gradient = value_and_grad(position, key)
        return (value, gradient), value

    def move(
        self,
        position: Flat,
        memory: Evaluation,
        value_and_grad: ValueAndGrad,
        step: Array,
        key: PRNGKeyArray,
        i: Int[Array, ""],
    ) -> StepResult:
        """Propose a position, and accept it or stay."""
        rows, noise, coin = jax.random.split(key, 3)
        _, gradient = memory
        noise = normal(noise, position)
        proposal = position - step * gradient + jnp.sqrt(2 * step) * noise
        proposed = value_and_grad(proposal, rows)
        accept = jnp.exp(jnp.minimum(0.0, log_acceptance(position, memory, proposal, proposed, step)))
        accepted = jax.random.uniform(coin) < accept
        position, memory = jax.tree.map(
            lambda new, old: jnp.where(accepted, new, old), (proposal, proposed), (position, memory)
        )
        return StepResult(position, memory, memory[0], accept)


def log_acceptance(
    position: Flat, current: Evaluation, proposal: Flat, proposed: Evaluation, step: Array
) -> Float[Array, ""]:
    """Log of the Metropolis ratio of a Langevin proposal; -inf where its potential is not finite."""
    back = position - proposal + step * proposed[1]
    forth = proposal - position + step * current[1]
    ratio = current[0] - proposed[0] + (jnp.sum(forth**2) - jnp.sum(back**2)) / (4 * step)
    return jnp.where(jnp.isfinite(ratio), ratio, -jnp.inf)


def example() -> MALA:
    """A standard normal in one dimension."""
    return MALA(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=0.5)
