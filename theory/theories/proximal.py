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
        """Weights for every strength, and the objective's gradient norm left over, relative to w0's.

        One loop over all strengths with one gradient in it: a rung that is done (or out of iterations) hands
        its weights to the next, so rows that are mapped side by side never wait for each other.
        """
        start = prior.params
        times = jnp.asarray(betas) * jnp.sum(data.mask) / self.stiffness
        loss = lambda params: mean_loss(prior.with_params(params), data)  # noqa: E731
        # Unit steps: the pull towards w0 keeps the objective close to a quadratic, on which they are right;
        # a line search would triple what is compiled. What did not converge shows in the residual.
        optimizer = optax.lbfgs(1.0, memory_size=10, linesearch=None)
        fresh = optimizer.init(start)

        def step(carry: Any) -> Any:
            params, state, rung, count, pull, solutions, residuals = carry
            time = times[rung]
            gradient = jax.grad(loss)(params)
            pull = jnp.where((rung == 0) & (count == 0), optax.tree.norm(gradient), pull)
            # of (τ L + ½‖w - w0‖²) / (1 + τ): its size does not depend on τ
            slope = jax.tree.map(
                lambda gradient, leaf, base: (time * gradient + leaf - base) / (1 + time),
                gradient,
                params,
                start,
            )
            left = optax.tree.norm(slope) * (1 + time)
            done = (left <= self.tolerance * pull * time) | (count == self.iterations)
            solutions = jax.tree.map(lambda all, leaf: all.at[rung].set(leaf), solutions, params)
            residuals = residuals.at[rung].set(left / jnp.maximum(time * pull, 1e-30))
            updates, state = optimizer.update(slope, state, params)
            updates, state = jax.tree.map(
                lambda stay, move: jnp.where(done, stay, move),
                (jax.tree.map(jnp.zeros_like, updates), fresh),
                (updates, state),
            )
            params = optax.apply_updates(params, updates)
            return params, state, rung + done, jnp.where(done, 0, count + 1), pull, solutions, residuals

        solutions = jax.tree.map(lambda leaf: jnp.zeros((len(times), *leaf.shape), leaf.dtype), start)
        first = (start, fresh, 0, 0, jnp.zeros(()), solutions, jnp.zeros(len(times)))
        *_, solutions, residuals = jax.lax.while_loop(lambda carry: carry[2] < len(times), step, first)
        return solutions, residuals


def example() -> Proximal:
    """The theory at its defaults."""
    return Proximal()
