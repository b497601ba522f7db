"""Underdamped Langevin that solves a Gaussian prior exactly, for posteriors localised about a point.

The potential is split as U(z) = ½ ‖(z - a)/s‖² + Φ(z), a the first position and s the `scale`: the mean and
standard deviation of a Gaussian prior, so that Φ is what the likelihood adds. In scaled coordinates

    B  r ← r - tan(h/2) ∇Φ   A  rotate (z - a, r) by the angle h/2   O  r ← e^{-κh} r + √(1 - e^{-2κh}) ξ

in the order B A O A B (Leimkuhler & Matthews' scheme with the prior solved exactly, as in Hilbert-space HMC,
Beskos et al. 2011). The prior alone is sampled without error at any h, in any number of dimensions; the error
and the acceptance come from the few directions in which the likelihood has curvature. The tangent, h/2 to
second order, makes a kick and a rotation together exact under a constant force: Gaussian likelihoods too are
sampled without error, and without heat the chain stays exactly where ∇U = 0. A direction of extra curvature
λ > -1 (in scaled coordinates) is stable while √(1 + λ) |sin(h/2)| < 1, whatever the friction; h √(1 + λ) < 2
is enough.

`accept_prob` is min(1, e^{-W}), W the energy error of a step without the heat of O: the acceptance of a
Metropolis check of the step. It is exact with whole gradients and noisy with minibatches. Correct for any
target, to order h², whatever a and s are; efficient when they are the prior's. Gradient noise heats as in
SGHMC.
"""

from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory.base import Beta, check_number
from theory.compute.random import normal
from theory.mcmc.langevin import Flat, Langevin, StepResult, ValueAndGrad

Phase: TypeAlias = tuple[Flat, Flat, Float[Array, ""], Flat]  # a, r, Φ and ∇Φ


@dataclass(frozen=True, eq=False)
class HarmonicLangevin(Langevin):
    """`HarmonicLangevin(model, step_size=h, friction=κ, scale=s)`, started at the prior's mean."""

    centred: ClassVar[bool] = True
    friction: Beta = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("friction of HarmonicLangevin", self.friction, least=0)

    def noise_gain(self, step: Array, memory: Phase) -> Array:
        """(2 tan(h/2))² / (1 - e^{-2κh}), h/(2κ) for small steps."""
        return (2 * jnp.tan(step / 2)) ** 2 / -jnp.expm1(-2 * self.friction * step)

    def limit(self, curvature: float) -> float:
        """2 arcsin(1/√p), p the prior's 1 and the curvature of the likelihood."""
        return 2 * float(np.arcsin(curvature**-0.5)) if curvature > 1 else float("inf")

    def start(
        self, position: Flat, value_and_grad: ValueAndGrad, key: PRNGKeyArray, warmup: int
    ) -> tuple[Phase, Float[Array, ""]]:
        """The centre, a momentum from the prior's stationary law, Φ and its gradient at the centre."""
        rows, noise = jax.random.split(key)
        value, gradient = value_and_grad(position, rows)
        momentum = normal(noise, position)
        return (position, momentum, value, gradient), value

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
        centre, momentum, before, gradient = memory
        noise = normal(noise, position)
        cosine, sine, kick = jnp.cos(step / 2), jnp.sin(step / 2), jnp.tan(step / 2)
        decay = jnp.exp(-self.friction * step)
        away = position - centre
        pushed = momentum - kick * gradient
        away, turned = cosine * away + sine * pushed, cosine * pushed - sine * away
        mixed = decay * turned + jnp.sqrt(1 - decay**2) * noise
        away, turned = cosine * away + sine * mixed, cosine * mixed - sine * away
        position = centre + away
        value, whole = value_and_grad(position, rows)
        gradient_after, after = whole - away, value - 0.5 * jnp.sum(away**2)
        kicked = turned - kick * gradient_after
        # A conserves ½‖z - a‖² + ½‖r‖², and O adds heat, which is no error. So the energy error of a step
        # is the change of Φ less the work that the two kicks do on the momentum.
        pushes = gradient * (momentum + pushed) + gradient_after * (turned + kicked)
        work = after - before - 0.5 * kick * jnp.sum(pushes)
        accept = jnp.exp(jnp.minimum(0.0, -work))
        return StepResult(position, (centre, kicked, after, gradient_after), value, accept)


def example() -> HarmonicLangevin:
    """A standard normal prior in one dimension with a likelihood of the same precision."""
    return HarmonicLangevin(potential_fn=lambda z: jnp.sum(z**2), step_size=0.5)
