"""Stability of a step size: the largest curvature where a chain starts, and the step sizes it rules out.

    a step multiplies a deviation along a direction of curvature p by a factor; from some p on the factor
    exceeds 1, and the chain diverges whatever its noise (ULA: |1 - εp| > 1 from εp = 2 on)

A kernel's `limit` is the largest stable step for a curvature. The curvature is measured by power iteration
on Hessian-vector products at the first position, in the kernel's scaled coordinates, each iteration on
another minibatch: Rayleigh quotients vᵀĤv, which exceed the largest curvature by noise only. Four standard
errors are subtracted: a step that is refused is unstable there; one that is not may be unstable elsewhere.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from theory.errors import Misuse

ITERATIONS, KEPT = 24, 12  # of power iteration; only the last, near the largest eigenvalue, are averaged


def curvature(
    gradient: Callable[[Float[Array, " p"], PRNGKeyArray], Float[Array, " p"]],
    position: Float[Array, " p"],
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """A lower bound of the largest curvature at a position, from `gradient(z, key)`; 0 where none is
    positive."""
    start, *keys = jax.random.split(key, 1 + ITERATIONS)

    def power(vector: Float[Array, " p"], now: PRNGKeyArray) -> tuple[Float[Array, " p"], Float[Array, ""]]:
        # A vector-Jacobian product of the gradient, not jvp: the Hessian is symmetric, so both give Hv, and
        # custom rules of a model that exist for reverse mode alone still work.
        image = jax.vjp(lambda z: gradient(z, now), position)[1](vector)[0]
        size = jnp.linalg.norm(image)
        # Without curvature the image is 0: the direction is kept, since 0/0 would spoil all that follows.
        return jnp.where(size > 0, image / size, vector), jnp.vdot(vector, image)

    first = jax.random.normal(start, position.shape, position.dtype)
    quotients = jax.lax.scan(power, first / jnp.linalg.norm(first), jnp.stack(keys))[1][-KEPT:]
    return jnp.maximum(jnp.mean(quotients) - 4 * jnp.std(quotients, ddof=1) / KEPT**0.5, 0.0)


def check_stable(name: str, step_size: float, curvature: float, limit: float) -> None:
    """Refuse a step size over 1 % beyond its `limit`, which follows from `curvature`."""
    if step_size > 1.01 * limit:
        raise Misuse(
            f"step_size of {name} is {step_size:.3g}, {step_size / limit:.3g} times the largest that is "
            f"stable at the first position ({limit:.3g}, for a curvature of {curvature:.3g} there); take a "
            "smaller one, or start elsewhere (init_params)."
        )
