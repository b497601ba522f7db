"""Underdamped Langevin (SGHMC) by the BAOAB splitting (Leimkuhler & Matthews 2013), for minibatches too.

    B  r ← r - (h/2) ∇U(z)         A  z ← z + (h/2) r         O  r ← e^{-κh} r + √(1 - e^{-2κh}) ξ

in the order B A O A B, with unit mass, h the step size and κ the friction. One gradient a step: that of the
last B is also the first of the next step. On a Gaussian of precision p the positions have variance 1/p
exactly, at every h below the limit h² p < 4; on other targets the bias is of order h⁴ at high friction and h²
in general, with a smaller constant than Euler schemes. Gradient noise heats: with variance σ² a step adds
about h σ² / (2κ) to the temperature 1. h = √(2ε) at infinite friction is a scheme of overdamped step ε.

Chen et al. (arXiv 1402.4102) take Euler steps instead: `splitting="euler"`,

    z ← z + h r,      r ← (1 - κh) r - h ∇U(z) + √(2κh) ξ      (the gradient at the old z)

which are stable only while hp < κ, and biased at order h on Gaussians too.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory.base import check_number
from theory.compute.random import normal
from theory.errors import Misuse
from theory.mcmc.langevin import Flat, Langevin, StepResult, ValueAndGrad

Phase: TypeAlias = tuple[Flat, Flat]  # momentum and gradient


@dataclass(frozen=True, eq=False)
class SGHMC(Langevin):
    """`SGHMC(model, step_size=h, friction=κ)`, or with a `potential_fn(z)` or `potential_fn(z, key)`."""

    friction: float = field(default=1.0, kw_only=True)
    splitting: str = field(default="baoab", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("friction of SGHMC", self.friction, least=0)
        if self.splitting not in ("baoab", "euler"):
            raise Misuse(f"splitting of SGHMC must be 'baoab' or 'euler', got {self.splitting!r}.")

    def noise_gain(self, step: Array, memory: Phase) -> Array:
        """h² / (1 - e^{-2κh}), and h/(2κ) of Euler steps: the same for small steps."""
        if self.splitting == "euler":
            return step / (2 * self.friction)
        return step**2 / -jnp.expm1(-2 * self.friction * step)

    def limit(self, curvature: float) -> float:
        """2/√p, and κ/p of Euler steps."""
        if not curvature > 0:
            return float("inf")
        if self.splitting == "baoab":
            return 2 / curvature**0.5
        return float("inf") if isinstance(self.friction, Tracer) else float(self.friction) / curvature

    def start(
        self, position: Flat, value_and_grad: ValueAndGrad, key: PRNGKeyArray, warmup: int
    ) -> tuple[Phase, Float[Array, ""]]:
        """A momentum from its stationary law, and the first gradient."""
        rows, noise = jax.random.split(key)
        value, gradient = value_and_grad(position, rows)
        return (normal(noise, position), gradient), value

    def move(
        self,
        position: Flat,
        memory: Phase,
        value_and_grad: ValueAndGrad,
        step: Array,
        key: PRNGKeyArray,
        i: Int[Array, ""],
    ) -> StepResult:
        """One step."""
        rows, noise = jax.random.split(key)
        momentum, gradient = memory
        noise = normal(noise, position)
        if self.splitting == "euler":
            kicked = (1 - self.friction * step) * momentum - step * gradient
            kicked = kicked + jnp.sqrt(2 * self.friction * step) * noise
            position = position + step * momentum
        else:
            decay = jnp.exp(-self.friction * step)
            pushed = momentum - step / 2 * gradient
            turned = decay * pushed + jnp.sqrt(1 - decay**2) * noise
            position = position + step / 2 * (pushed + turned)  # the two halves A, before and after O
            kicked = turned
        value, gradient = value_and_grad(position, rows)
        if self.splitting == "baoab":
            kicked = kicked - step / 2 * gradient
        return StepResult(position, (kicked, gradient), value, jnp.ones(()))


def example() -> SGHMC:
    """A standard normal in one dimension."""
    return SGHMC(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=0.5)
