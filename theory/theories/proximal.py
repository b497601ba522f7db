"""Proximal point: the weights that trade D' against distance from w0, a Gibbs posterior at temperature 0.

    w_β = argmin_w  β Σ_{x in D'} ℓ(x; w) + (γ/2) (w - w0)ᵀ Λ (w - w0)

The limit of p(w) ∝ exp(-β Σ ℓ - (γ/2)‖w - w0‖²_Λ) when β and γ grow together; only τ = β N / γ matters, N the
counted positions: argmin τ L(w) + ½‖w - w0‖²_Λ with L the mean loss; Λ is the identity unless given. At
matched τ = η × steps it approximates gradient flow; a mode of curvature h is shrunk by τh/(1+τh) instead of
1-exp(-τh), and the two differ by at most 0.204 (theory.md, section 4). Solved along an ascending ladder, each
from the last, by L-BFGS with a backtracking stride; a rung that keeps more than `UNCONVERGED` of the gradient
at w0 is not a number.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import (
    Beta,
    Betas,
    Cost,
    Dataset,
    LogProbs,
    Model,
    Parametric,
    Params,
    PyTree,
    Tokens,
    check_beta,
    check_ladder,
    check_number,
    mean_loss,
)
from theory.compute.devices import row_by_row
from theory.compute.lbfgs import Memory
from theory.contracts import Scale, WeightTheory

UNCONVERGED = 0.05
Number = float | Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Solution:
    """A network at the minimum of the objective, with the gradient that is left over, relative to w0's."""

    network: Model
    residual: Float[Array, "*batch"]

    def predict(self, tokens: Tokens) -> LogProbs:
        """The network's log-probabilities (nats); nan where it did not converge."""
        return jnp.where(self.residual > UNCONVERGED, jnp.nan, self.network.predict(tokens))

    @property
    def params(self) -> Params:
        """The weights."""
        return self.network.params

    def with_params(self, params: Params) -> Self:
        """The same with other weights."""
        return replace(self, network=self.network.with_params(params))


@dataclass(frozen=True)
class Proximal(WeightTheory):
    """`prior_precision` is γ > 0; `metric` is Λ, a positive pytree like the weights (None: identity). At most
    `iterations` for each strength; it stops early when the gradient norm of the objective falls below
    `tolerance` × that at w0."""

    prior_precision: float = 1.0
    metric: Params = None
    iterations: int = 60
    tolerance: float = 0.01
    breaks: dict[str, str] = field(
        default_factory=lambda: {"additive": "the second pass is pulled to the first one's solution"}
    )

    def __post_init__(self) -> None:
        check_number("prior_precision", self.prior_precision, above=0)
        check_number("iterations", self.iterations, least=1, whole=True)
        check_number("tolerance", self.tolerance, above=0)

    @property
    def cost(self) -> Cost:
        """The gradients of L-BFGS, of which easy strengths take fewer."""
        return Cost(gradients=self.iterations, per="strength", most=True)

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> "Solution":
        """The prior network at w_β; its answers are nan if it did not converge."""
        check_beta(beta)
        solutions, residuals = self.solve(prior, data, jnp.asarray([beta], float))
        return Solution(prior.with_params(jax.tree.map(lambda leaf: leaf[0], solutions)), residuals[0])

    def path(
        self,
        prior: Parametric,
        data: Dataset,
        betas: Betas,
        *,
        key: PRNGKeyArray | None = None,
    ) -> "Solution":
        """Networks stacked over ascending strengths; answers are nan where one did not converge."""
        check_ladder(betas)
        solutions, residuals = self.solve(prior, data, betas)
        return Solution(prior.with_params(solutions), residuals)

    def times(self, scale: Scale) -> np.ndarray:
        """Learning-rate times τ (b,) from 0, an octave apart, to past the longest of the methods."""
        top = max(3, int(np.ceil(np.log2(max(scale.longest, 1.0)))) + 1)
        return np.concatenate([[0.0], 2.0 ** np.arange(-8.0, top + 1)]).astype(np.float32)

    def solve(self, prior: Parametric, data: Dataset, betas: Betas) -> tuple[Params, Float[Array, " b"]]:
        """Weights for every strength, and the objective's gradient norm left over, relative to w0's.

        One loop over all strengths with one gradient in it: a rung that is done (or out of iterations) hands
        its weights to the next.
        """
        return row_by_row(self._solve)(prior, data, jnp.asarray(betas), self.metric)

    def _solve(
        self, prior: Parametric, data: Dataset, betas: Betas, metric: Params
    ) -> tuple[Params, Float[Array, " b"]]:
        times = betas * jnp.sum(data.mask) / self.prior_precision
        base, shaped = ravel_pytree(prior.params)  # one vector: its programs are smaller than a tree's
        scale = 1.0 if metric is None else ravel_pytree(metric)[0] ** -0.5

        def weights(moved: Array) -> Params:
            """From scaled displacements Λ^½ (w - w0), in which the distance is Euclidean."""
            return shaped(base + scale * moved)

        loss = lambda moved: mean_loss(prior.with_params(weights(moved)), data)  # noqa: E731
        start = jnp.zeros_like(base)
        memory = Memory.empty(start)
        fresh = Search(start, jnp.inf, 0.0, start, 1.0, jnp.inf)

        # the backtracking is part of the one loop: rows that are mapped would wait for each other in another
        def step(carry: PyTree) -> PyTree:
            """Try the search's next point; accept it, or halve the stride."""
            search, memory, rung, count, pull, solutions, residuals = carry
            time = times[rung]
            trial = search.point + search.stride * search.direction
            value, gradient = jax.value_and_grad(loss)(trial)
            pull = jnp.where((rung == 0) & (count == 0), jnp.linalg.norm(gradient), pull)
            # (τ L + ½‖·‖²) / (1 + τ): its size does not depend on τ
            height = (time * value + 0.5 * jnp.sum(trial**2)) / (1 + time)
            slope = (time * gradient + trial) / (1 + time)
            enough = search.height + 1e-4 * search.stride * search.descent + 1e-6 * jnp.abs(height)
            better = height <= enough
            direction, memory = memory.after(trial - search.point, slope, better)
            left = jnp.linalg.norm(slope) * (1 + time) / jnp.maximum(time * pull, 1e-30)
            accepted = Search(trial, height, jnp.vdot(slope, direction), direction, 1.0, left)
            search = _where(better, accepted, search._replace(stride=search.stride / 2))
            done = (search.left <= self.tolerance) | (time == 0) | (count == self.iterations)
            solutions = solutions.at[rung].set(search.point)
            residuals = residuals.at[rung].set(search.left * (time > 0))
            search = _where(done, fresh._replace(point=search.point, direction=start), search)
            count = jnp.where(done, 0, count + 1)
            return search, memory.forget(done), rung + done, count, pull, solutions, residuals

        solutions = jnp.zeros((len(times), *start.shape), start.dtype)
        first = (fresh, memory, 0, 0, jnp.zeros(()), solutions, jnp.zeros(len(times)))
        *_, solutions, residuals = jax.lax.while_loop(lambda carry: carry[2] < len(times), step, first)
        return jax.vmap(weights)(solutions), residuals


class Search(NamedTuple):
    """L-BFGS with a backtracking stride: the last point accepted, the objective there, its slope along the
    direction that is tried, that direction, the stride, and the gradient left over."""

    point: Array
    height: Number
    descent: Number
    direction: Array
    stride: Number
    left: Number


def _where(condition: Array, this: PyTree, that: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), this, that)


def example() -> Proximal:
    """The theory at its defaults."""
    return Proximal()
