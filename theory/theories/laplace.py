"""Laplace's approximation at w0: weights N(w0 - Σ β g, Σ) with Σ = (γ Λ + α H_D + β H)⁻¹, H that of D'.

    g, H     gradient and Gauss-Newton matrix of Σ_{D'} ℓ at w0 (nats); H_D that of pretraining documents D
    γ Λ      the prior's precision: how firmly pretraining holds each direction
    α        how often each document of D counts: with all of D, α = 1 is sequential Bayes
    β        how often each document of D' counts, as in `proximal`

The mean is one Newton step from w0 in the localised posterior (theory.weights.gibbs), w0 the mode of what
came
before: the gradient of D there is taken as zero. Where Σ ℓ is quadratic with minimum w' the mean is w0 + Σ
βH (w' - w0), and both are exact. The structure of Λ: isotropic (None), diagonal
(theory.weights.diagonal_metrics),
Kronecker factors (theory.weights.kronecker; Ritter et al., arXiv 1805.07810), or in full by `replay`.
Last-layer
Laplace is Laplace of that part of the network (theory.weights.subnetwork). Predictions are the linearised
network's, for
a Newton step belongs to the linearised model (Immer et al., arXiv 2008.08400), at the mean or averaged over
draws. Without replay the mean is `spectrum`'s ridge.

All is done by Lanczos with `iterations` products (theory.weights.curvature): the mean from g, a draw Σ^½ ξ
from ξ.
Its error is that of as many steps of conjugate gradients: a stiff replay (largest curvature of αH_D ≫ γ)
needs more.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray

from theory.base import Beta, Dataset, Misuse, Parametric
from theory.latent.mixture import Average
from theory.theories.linearised import Tangent
from theory.theories.spectrum import check_filter
from theory.weights.curvature import Product, apply, gauss_newton, gradient, inverse_root
from theory.weights.gibbs import Posterior
from theory.weights.kronecker import Kronecker


@dataclass(frozen=True)
class Gaussian:
    """Displacements with mean -Λ^-½ (1 + tC)⁻¹ s Λ^-½ g and covariance Λ^-½ (1 + tC)⁻¹ Λ^-½ / γ.

    `product` is v -> C v in the metric's coordinates, `scale` Λ^-½, `pull` Λ^-½ g, `step` s, `time` t.
    """

    product: Product
    pull: Any
    scale: Product
    step: Any
    time: Any
    prior_precision: Any
    iterations: int

    def mean(self) -> Any:
        """The mean displacement, a pytree like the weights."""
        solve = lambda curvatures: -self.step / (1 + self.time * curvatures)  # noqa: E731
        return self.scale(apply(solve, self.product, self.pull, self.iterations))

    def away(self, normal: Any) -> Any:
        """A displacement from the mean, by a standard normal pytree like the weights: linear in it."""
        shrink = lambda curvatures: (self.prior_precision * (1 + self.time * curvatures)) ** -0.5  # noqa: E731
        return self.scale(apply(shrink, self.product, normal, self.iterations))

    def samples(self, key: PRNGKeyArray, count: int) -> Any:
        """`count` displacements (even), stacked: in opposite pairs about the mean, which theirs then is."""
        mean = self.mean()
        flat, shaped = ravel_pytree(mean)

        def one(key: PRNGKeyArray) -> Any:
            return self.away(shaped(jax.random.normal(key, flat.shape, flat.dtype)))

        # one after the other: Lanczos keeps `iterations` vectors for each
        away = jax.lax.map(one, jax.random.split(key, count // 2))
        return jax.tree.map(lambda middle, leaf: jnp.concatenate([middle + leaf, middle - leaf]), mean, away)


@dataclass(frozen=True)
class Laplace:
    """`prior_precision` is γ, `metric` Λ, `replay` the documents D and `alpha` α; `draws` of weights are
    averaged
    (an even number; 0: the mean alone); `linear` predictions, or those of the network itself."""

    prior_precision: Beta = 1.0
    metric: Any = None
    replay: Dataset | None = None
    alpha: Beta = 0.0
    samples: int = 0
    linear: bool = True
    iterations: int = 32
    breaks: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        check_draws(self.samples)
        check_filter(self.prior_precision, self.iterations)
        breaks = {"additive": "the second pass is pulled to the first one's mean, its curvature taken there"}
        if self.samples:
            breaks["prior"] = "at β = 0 the weights still vary about w0, by (γΛ + αH)^-½"
        object.__setattr__(self, "breaks", breaks)

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Any:
        """The network at the mean, or averaged (in probability) over draws; linearised, or itself."""
        gaussian = self.gaussian(prior, data, beta)
        if not self.samples:
            return displaced(prior, gaussian.mean(), self.linear)
        if key is None:
            raise Misuse("laplace with draws needs a key, got None.")
        return averaged(prior, gaussian.samples(key, self.samples), self.linear)

    def gaussian(self, prior: Parametric, data: Dataset, beta: Beta) -> Gaussian:
        """The approximate posterior of w - w0."""
        plain = None if isinstance(self.metric, Kronecker) else self.metric
        Posterior(
            prior, data, beta, self.prior_precision, plain, self.alpha, self.replay
        )  # refuses what is wrong
        scale, step = inverse_root(self.metric), beta / self.prior_precision
        told = gauss_newton(prior, data).within(scale).product
        product, time = told, step
        if self.replay is not None:
            kept, time = gauss_newton(prior, self.replay).within(scale).product, 1.0

            def product(vector: Any) -> Any:
                both = lambda new, old: step * new + self.alpha / self.prior_precision * old  # noqa: E731
                return jax.tree.map(both, told(vector), kept(vector))

        pull = scale(gradient(prior, data))
        return Gaussian(product, pull, scale, step, time, self.prior_precision, self.iterations)


def displaced(prior: Any, displacement: Any, linear: bool = True) -> Any:
    """The network at w0 + δ, linearised at w0 or itself."""
    if linear:
        return Tangent(prior, displacement)
    return prior.with_params(jax.tree.map(jnp.add, prior.params, displacement))


def averaged(prior: Any, displacements: Any, linear: bool = True) -> Average:
    """The average over stacked displacements."""
    count = jax.tree.leaves(displacements)[0].shape[0]
    stack: Any = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *jnp.shape(leaf))), prior)
    return Average(displaced(stack, displacements, linear))


def check_draws(samples: int) -> None:
    """Refuse draws that do not come in pairs."""
    if samples < 0 or samples % 2:
        raise Misuse(f"draws come in opposite pairs: give an even number of them, got {samples}.")


def example() -> Laplace:
    """The mean, isotropic."""
    return Laplace()
