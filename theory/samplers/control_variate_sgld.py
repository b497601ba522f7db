"""SGLD with a control variate at the first position (Baker et al., arXiv 1706.05439).

    ĝ(z) = ĝ_B(z) - ĝ_B(a) + ∇U(a),      a the first position

The noise of ĝ is that of a difference, and vanishes as z comes near a: for a posterior localised at the base
weights, started there, it is a small part of a minibatch's own. A step costs two minibatch gradients, and the
first position one gradient of the whole potential.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from theory.samplers.sgld import SGLD


@dataclass(frozen=True, eq=False)
class ControlVariateSGLD(SGLD):
    """`ControlVariateSGLD(model, step_size=ε)`; with a `potential_fn(z, key)` also its
    `whole_potential_fn(z)`."""

    control_variate: bool = field(default=True, kw_only=True)


def example() -> ControlVariateSGLD:
    """A standard normal in one dimension, its minibatch precision off by a random factor."""
    return ControlVariateSGLD(
        potential_fn=lambda z, key: jnp.sum(0.5 * z**2) * (1 + 0.5 * jax.random.normal(key)),
        whole_potential_fn=lambda z: jnp.sum(0.5 * z**2),
        step_size=0.1,
    )
