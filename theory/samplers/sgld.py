"""Stochastic-gradient Langevin (SGLD; Welling & Teh 2011): unadjusted Langevin on minibatches.

    z ← z - ε ĝ(z) + √(2ε) ξ,      E ĝ = ∇U

Each step and each chain draws its own minibatch. With a constant step and gradient noise of variance σ², a
Gaussian of precision p is sampled with variance (1 + ε σ²/2) / (p (1 - εp/2)); with a decreasing step
(`step_size` a function of the step number, Σε = ∞, Σε² < ∞) the bias goes to zero.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from theory.samplers.ula import ULA


@dataclass(frozen=True, eq=False)
class SGLD(ULA):
    """`SGLD(model, step_size=ε)`, the model with a `plate(..., subsample_size=B)`, or
    `SGLD(potential_fn=U, step_size=ε)` with `U(z, key)` an unbiased estimate of the potential."""

    minibatch: ClassVar[bool] = True


def example() -> SGLD:
    """A standard normal in one dimension, its gradient with unit noise."""
    return SGLD(
        potential_fn=lambda z, key: jnp.sum(0.5 * z**2 + z * jax.random.normal(key, z.shape)), step_size=0.1
    )
