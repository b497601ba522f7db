"""The zero-temperature localised Gibbs posterior: the weights that trade D' against distance from w0.

    w_β = argmin_w  β Σ_{x in D'} ℓ(x; w) + (γ/2) ‖w - w0‖²,      Λ = identity

The limit of p(w) ∝ exp(-β Σ ℓ - (γ/2)‖w - w0‖²) when β and γ grow together; only τ = β N / γ matters, N the
counted positions: argmin τ L(w) + ½‖w - w0‖² with L the mean loss. At matched τ = η × steps it approximates
gradient flow; a mode of curvature h is shrunk by τh/(1+τh) instead of 1-exp(-τh), and the two differ by at
most 0.204 (theory.md, section 4). Solved along an ascending ladder, each from the last, by L-BFGS.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Betas, Dataset, Misuse, Parametric, check_beta, check_ladder, mean_loss


@dataclass(frozen=True)
class Proximal:
    """`stiffness` is γ > 0; `iterations` of L-BFGS at most for each strength; it stops early when the
    gradient norm of the objective falls below `tolerance` × that at w0."""

    stiffness: float = 1.0
    iterations: int = 60
    tolerance: float = 0.01
    breaks: dict[str, str] = field(
        default_factory=lambda: {"additive": "the second pass is pulled to the first one's solution"}
    )

    def __post_init__(self) -> None:
        if not self.stiffness > 0:
            raise Misuse(f"stiffness must be above 0, got {self.stiffness}.")

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Any:
        """The prior network at w_β."""
        check_beta(beta)
        stacked = self.path(prior, data, jnp.asarray([beta], float))
        return prior.with_params(jax.tree.map(lambda leaf: leaf[0], stacked.params))

    def path(
        self,
        prior: Parametric,
        data: Dataset,
        betas: Betas,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Any:
        """Networks stacked over an ascending ladder of strengths."""
        check_ladder(betas)
        params, _ = self.solve(prior, data, betas)
        return prior.with_params(params)

    def solve(self, prior: Parametric, data: Dataset, betas: Betas) -> tuple[Any, Float[Array, " b"]]:
        """Weights for every strength, and the objective's gradient norm left over, relative to w0's."""
        start = prior.params
        times = jnp.asarray(betas) * jnp.sum(data.mask) / self.stiffness
        loss = lambda params: mean_loss(prior.with_params(params), data)  # noqa: E731
        pull = optax.tree.norm(jax.grad(loss)(start))
        # Unit steps: the pull towards w0 keeps the objective close to a quadratic, on which they are right;
        # a line search would triple what is compiled. What did not converge shows in the residual.
        optimizer = optax.lbfgs(1.0, memory_size=20, linesearch=None)

        def objective(params: Any, time: Array) -> Array:
            # divided by 1 + τ so that its size does not depend on τ
            distance = optax.tree.norm(optax.tree.sub(params, start), squared=True)
            return (time * loss(params) + 0.5 * distance) / (1 + time)

        def climb(params: Any, time: Array) -> tuple[Any, tuple[Any, Array]]:
            limit = self.tolerance * pull * time / (1 + time)

            slope = jax.grad(objective)

            def step(carry: Any) -> Any:
                params, state, gradient, count = carry
                updates, state = optimizer.update(gradient, state, params)
                params = optax.apply_updates(params, updates)
                return params, state, slope(params, time), count + 1

            def unfinished(carry: Any) -> Array:
                return (carry[3] < self.iterations) & (optax.tree.norm(carry[2]) > limit)

            first = (params, optimizer.init(params), slope(params, time), 0)
            params, _, gradient, _ = jax.lax.while_loop(unfinished, step, first)
            left = optax.tree.norm(gradient)
            return params, (params, left * (1 + time) / jnp.maximum(time * pull, 1e-30))

        _, (solutions, residuals) = jax.lax.scan(climb, start, times)
        return solutions, residuals


def example() -> Proximal:
    """The theory at its defaults."""
    return Proximal()
