"""Directions of L-BFGS: minus the gradient times an inverse curvature that the last few steps imply.

    H_k = V_kᵀ H_{k-1} V_k + ρ_k s_k s_kᵀ,   V_k = I - ρ_k y_k s_kᵀ,   ρ_k = 1 / s_kᵀ y_k

with s_k the k-th step and y_k the change of the gradient along it; before the last m steps H = γ I, where
γ = s_kᵀ y_k / y_kᵀ y_k of the newest (Nocedal and Wright, Numerical Optimization, algorithm 7.4). H g is a
sum of g and the s and y, so the recursion goes over the coefficients of that sum: it needs the inner products
of s, y and g alone. The directions are those of `optax.scale_by_lbfgs`, which goes over whole vectors, twice
m of them for every direction, whether or not there have been m steps.
"""

from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

STEPS = 10  # that are remembered


class Memory(NamedTuple):
    """The last m steps s and changes of the gradient y, in a ring: row k % m is of the k-th."""

    steps: Float[Array, "m p"]
    changes: Float[Array, "m p"]
    products: Float[Array, "m m"]
    """s_iᵀ y_j."""
    squares: Float[Array, "m m"]
    """y_iᵀ y_j."""
    gradient: Float[Array, " p"]
    """That of the last point."""
    count: Int[Array, ""]
    """The points so far; with none, rows mean nothing."""

    @classmethod
    def empty(cls, point: Float[Array, " p"]) -> Self:
        """No points yet."""
        rows, small = jnp.zeros((STEPS, *point.shape)), jnp.zeros((STEPS, STEPS))
        return cls(rows, rows, small, small, jnp.zeros_like(point), jnp.zeros((), int))

    def after(
        self, step: Float[Array, " p"], gradient: Float[Array, " p"], accepted: Bool[Array, ""]
    ) -> tuple[Float[Array, " p"], Self]:
        """The direction at the point that is a step away, and the memory with it; as it was where the step
        is not accepted. At the first point the direction is against the gradient, at most 1 long."""
        new, stored = (self.count - 1) % STEPS, accepted & (self.count > 0)
        step = jnp.where(stored, step, self.steps[new])
        change = jnp.where(stored, gradient - self.gradient, self.changes[new])
        steps, changes = self.steps.at[new].set(step), self.changes.at[new].set(change)
        products = self.products.at[new].set(changes @ step).at[:, new].set(steps @ change)
        square = changes @ change
        squares = self.squares.at[new].set(square).at[:, new].set(square)
        memory = Memory(steps, changes, products, squares, self.gradient, self.count)
        of_steps, of_changes, scale = memory.coefficients(steps @ gradient, changes @ gradient)
        direction = of_steps @ steps + of_changes @ changes - scale * gradient
        first = -jnp.minimum(1.0, 1.0 / jnp.linalg.norm(gradient)) * gradient
        last = jnp.where(accepted, gradient, self.gradient)
        return jnp.where(self.count > 0, direction, first), type(self)(
            steps, changes, products, squares, last, self.count + accepted
        )

    def coefficients(
        self, along_steps: Float[Array, " m"], along_changes: Float[Array, " m"]
    ) -> tuple[Float[Array, " m"], Float[Array, " m"], Float[Array, ""]]:
        """The coefficients of s and y in -H g, and γ, that of -g, from sᵀ g and yᵀ g."""
        slopes, new = jnp.diagonal(self.products), (self.count - 1) % STEPS
        square = self.squares[new, new]
        scale = jnp.where(square > 0, slopes[new] / square, 1.0)
        used = (jnp.arange(STEPS) < self.count) & (slopes != 0)
        weights = jnp.where(used, 1 / slopes, 0)
        ages = (self.count + jnp.arange(STEPS)) % STEPS  # the oldest first

        def back(passed: Array, row: Array) -> tuple[Array, None]:
            """Take a step off the gradient, after those that came later."""
            left = along_steps[row] - self.products[row] @ passed
            return passed.at[row].set(weights[row] * left), None

        removed, _ = jax.lax.scan(back, jnp.zeros(STEPS), ages, reverse=True)
        left = scale * (along_changes - self.squares @ removed)

        def forth(passed: Array, row: Array) -> tuple[Array, None]:
            """Give a step back, after those that came earlier."""
            overlap = weights[row] * (left[row] + passed @ self.products[:, row])
            return passed.at[row].set(removed[row] - overlap), None

        restored, _ = jax.lax.scan(forth, jnp.zeros(STEPS), ages)
        return -restored, scale * removed, scale

    def forget(self, condition: Bool[Array, ""]) -> Self:
        """Nothing remembered where the condition holds."""
        return self._replace(count=jnp.where(condition, 0, self.count))
