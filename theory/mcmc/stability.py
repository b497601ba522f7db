"""Is a step size stable where a chain starts? The sentence that refuses one that is not.

    a step multiplies a deviation along a direction of curvature p by a factor; from some p on the factor
    exceeds 1, and the chain runs away whatever its noise (ULA: |1 - εp| > 1 from εp = 2 on)

A kernel's `limit` says which step is the largest stable one for a curvature. The curvature is told by power
iteration on Hessian-vector products at the first position, in the kernel's own scaled coordinates, each step
on a minibatch of its own: Rayleigh quotients vᵀĤv, which never exceed the largest curvature but for noise.
Four standard errors are taken off: what is refused is unstable there; what is not may be so elsewhere.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from theory.errors import Misuse

ITERATIONS, KEPT = 24, 12


def curvature(
    slope: Callable[[Any, PRNGKeyArray], Any], position: Float[Array, " p"], key: PRNGKeyArray
) -> Float[Array, ""]:
    """A lower bound of the largest curvature; 0 where none is positive. `slope` is (z, key) -> gradient."""
    start, *keys = jax.random.split(key, 1 + ITERATIONS)

    def power(vector: Any, now: PRNGKeyArray) -> tuple[Any, Any]:
        # reverse over reverse: a Hessian is symmetric, and rules given for reverse mode alone serve too
        bent = jax.vjp(lambda z: slope(z, now), position)[1](vector)[0]
        size = jnp.linalg.norm(bent)
        return jnp.where(size > 0, bent / size, vector), jnp.vdot(vector, bent)

    first = jax.random.normal(start, position.shape, position.dtype)
    told = jax.lax.scan(power, first / jnp.linalg.norm(first), jnp.stack(keys))[1][-KEPT:]
    return jnp.maximum(jnp.mean(told) - 4 * jnp.std(told, ddof=1) / KEPT**0.5, 0.0)


def check_stable(name: str, step_size: float, bent: float, limit: float) -> None:
    """Refuse a step size over 1 % beyond its limit, and say by how much; `bent` is where that comes from."""
    if step_size > 1.01 * limit:
        raise Misuse(
            f"step_size of {name} is {step_size:.3g}, {step_size / limit:.3g} times the largest that is "
            f"stable at the first position ({limit:.3g}, for a curvature of {bent:.3g} there); take a "
            "smaller one."
        )
