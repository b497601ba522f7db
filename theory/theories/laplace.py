"""Laplace approximation: Gaussian weights about one Newton step from w0.

    w ~ N(w0 - Σ β g, Σ),      Σ = (γ Λ + α H_D + β H)⁻¹

    g, H     gradient and Gauss-Newton matrix of Σ_{D'} ℓ at w0 (nats); H_D that of pretraining documents D
    γ Λ      the prior's precision: how firmly pretraining holds each direction
    α        how often each document of D counts: with all of D, α = 1 is sequential Bayes
    β        how often each document of D' counts, as in `proximal`

The mean is one Newton step from w0 in the localised posterior (theory.weights.gibbs), w0 the mode of all that
came before: the gradient of D there is taken as zero. Where Σ ℓ is quadratic with minimum w' the mean is
w0 + Σ βH (w' - w0), and both are exact. The structure of Λ: isotropic (None), diagonal
(theory.weights.diagonal_metrics), Kronecker factors (theory.weights.kronecker; Ritter et al., arXiv
1805.07810), or in full by `replay`. Last-layer Laplace is Laplace of that part of the network
(theory.weights.subnetwork). Predictions are the linearised network's, for a Newton step belongs to the
linearised model (Immer et al., arXiv 2008.08400), at the mean or averaged over samples. Without replay the
mean is `spectrum`'s ridge.

All is done by Lanczos with `iterations` products (theory.weights.curvature): the mean from g, a sample Σ^½ ξ
from ξ. Its error is that of as many steps of conjugate gradients: a stiff replay (largest curvature of αH_D
≫ γ) needs more.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray

from theory.base import Beta, Cost, Dataset, Misuse, Model, Parametric, Params, PyTree, check_number
from theory.contracts import Process, Setting, WeightTheory
from theory.latent.mixture import Average
from theory.theories.linearised import Tangent, stacked
from theory.theories.spectrum import check_filter, filter_cost, made, to_weights
from theory.weights.curvature import Product, apply, gauss_newton, gradient
from theory.weights.gibbs import Posterior
from theory.weights.kronecker import Kronecker
from theory.weights.subnetwork import subnetwork

STRONG = (2, 13)  # octaves of τ against the curvature of pretraining


@dataclass(frozen=True)
class Gaussian:
    """Displacements with mean -Λ^-½ (1 + tC)⁻¹ s Λ^-½ g and covariance Λ^-½ (1 + tC)⁻¹ Λ^-½ / γ.

    `product` is v -> C v in the metric's coordinates, `scale` Λ^-½, `pull` Λ^-½ g, `step` s, `time` t.
    """

    product: Product
    pull: Params
    scale: Product
    step: Beta
    time: Beta
    prior_precision: Beta
    iterations: int

    def mean(self) -> Params:
        """The mean displacement, a pytree like the weights."""
        solve = lambda curvatures: -self.step / (1 + self.time * curvatures)  # noqa: E731
        return self.scale(apply(solve, self.product, self.pull, self.iterations))

    def deviation(self, normal: Params) -> Params:
        """A displacement from the mean, by a standard normal pytree like the weights: linear in it."""
        shrink = lambda curvatures: (self.prior_precision * (1 + self.time * curvatures)) ** -0.5  # noqa: E731
        return self.scale(apply(shrink, self.product, normal, self.iterations))

    def samples(self, key: PRNGKeyArray, count: int) -> Params:
        """`count` displacements (even), stacked: in opposite pairs about the mean, which is then exact."""
        return opposite_pairs(self.mean(), self.deviation, key, count)


@dataclass(frozen=True)
class Laplace(WeightTheory):
    """`prior_precision` is γ, `metric` Λ (as in `spectrum`), `replay` the documents D and `alpha` α (without
    documents, `complete` takes those of pretraining); `samples` of weights are averaged (an even number; 0:
    the mean alone); `linear` predictions, or those of the network itself; `layers` are the beginnings of the
    paths of the weights that move (none: all)."""

    prior_precision: Beta = 1.0
    metric: PyTree = None
    replay: Dataset | None = None
    alpha: Beta = 0.0
    samples: int = 0
    linear: bool = True
    iterations: int = 32
    layers: tuple[str, ...] = ()
    breaks: dict[str, str] = field(init=False)
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_samples(self.samples)
        check_number("alpha", self.alpha, least=0)
        check_filter(self.prior_precision, self.iterations, self.metric)
        breaks = {"additive": "the second pass is pulled to the first one's mean, its curvature taken there"}
        if self.samples:
            breaks["prior"] = "at β = 0 the weights still vary about w0, by (γΛ + αH)^-½"
        object.__setattr__(self, "breaks", breaks)

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Model:
        """The network at the mean, or averaged (in probability) over samples; linearised, or itself."""
        prior = self.moving(prior)
        gaussian = self.gaussian(prior, data, beta)
        if not self.samples:
            return displaced(prior, gaussian.mean(), self.linear)
        if key is None:
            raise Misuse("laplace with samples needs a key, got None.")
        return averaged(prior, gaussian.samples(key, self.samples), self.linear)

    def gaussian(self, prior: Parametric, data: Dataset, beta: Beta) -> Gaussian:
        """The approximate posterior of w - w0."""
        scale, step = to_weights(self.metric), beta / self.prior_precision
        plain = None if isinstance(self.metric, Kronecker) else self.metric
        # the posterior that is approximated refuses bad strengths, metrics and replays
        Posterior(prior, data, beta, self.prior_precision, plain, self.alpha, self.replay)
        curvature = gauss_newton(prior, data).within(scale).product
        product, time = curvature, step
        if self.replay is not None:
            # with two curvatures the strengths are part of the product, and its time is 1
            before, time = gauss_newton(prior, self.replay).within(scale).product, 1.0

            def product(vector: Params) -> Params:
                both = lambda new, old: step * new + self.alpha / self.prior_precision * old  # noqa: E731
                return jax.tree.map(both, curvature(vector), before(vector))

        pull = scale(gradient(prior, data))
        return Gaussian(product, pull, scale, step, time, self.prior_precision, self.iterations)

    def moving(self, network: Parametric) -> Parametric:
        """The network, or the part of it that moves."""
        return subnetwork(network, self.layers) if self.layers else network

    @property
    def metric_name(self) -> str:
        """None for a part of the network, and against the curvature of pretraining."""
        return "" if self.layers or self.alpha else super().metric_name

    @property
    def octaves(self) -> tuple[int, int]:
        """Far ones against the curvature of pretraining."""
        return STRONG if self.alpha else super().octaves

    @property
    def cost(self) -> Cost:
        """A gradient and Lanczos; against the curvature of pretraining two products at a time, for every
        strength anew."""
        whole = filter_cost(self.metric, self.iterations, self.samples)
        return replace(whole, products=2 * whole.products, per="strength") if self.alpha else whole

    def complete(self, setting: Setting) -> Self:
        """With the metric that it names, and with documents of pretraining where α counts them."""
        metric = made(self.metric, replace(setting, network=self.moving(setting.network)))
        replay = setting.documents if self.alpha and self.replay is None else self.replay
        return replace(self, metric=metric, replay=replay)


def displaced(prior: Model, displacement: Params, linear: bool = True) -> Model:
    """The network at w0 + δ, linearised at w0 or itself."""
    if linear:
        return Tangent(prior, displacement)
    return prior.with_params(jax.tree.map(jnp.add, prior.params, displacement))


def opposite_pairs(
    mean: Params, deviation: Callable[[Params], Params], key: PRNGKeyArray, count: int
) -> Params:
    """`count` displacements (even), stacked, in opposite pairs about the mean, by a map of normals."""
    flat, shaped = ravel_pytree(mean)

    def drawn(key: PRNGKeyArray) -> Params:
        return deviation(shaped(jax.random.normal(key, flat.shape, flat.dtype)))

    # in sequence and not at once: Lanczos keeps `iterations` vectors for each
    deviations = jax.lax.map(drawn, jax.random.split(key, count // 2))
    pair = lambda middle, leaf: jnp.concatenate([middle + leaf, middle - leaf])  # noqa: E731
    return jax.tree.map(pair, mean, deviations)


def averaged(prior: Model, displacements: Params, linear: bool = True) -> Average:
    """The average over stacked displacements."""
    count = jax.tree.leaves(displacements)[0].shape[0]
    return Average(displaced(stacked(prior, count), displacements, linear))


def check_samples(samples: object) -> None:
    """Refuse samples that do not come in pairs."""
    check_number("samples", samples, whole=True)
    if samples < 0 or samples % 2:  # type: ignore[operator]
        raise Misuse(f"samples come in opposite pairs: give an even number of them, got {samples}.")


def variants(process: Process) -> dict[str, Laplace]:
    """By what holds the weights: themselves, information of pretraining, or a fixed body of the network."""
    return {
        "laplace/isotropic": Laplace(),
        "laplace/fisher": Laplace(metric="fisher"),
        "laplace/kronecker": Laplace(metric="kronecker"),
        "laplace/last-layer": Laplace(layers=("unembed",)),
        "laplace/sequential": Laplace(alpha=1.0),
    }


def example() -> Laplace:
    """The mean, isotropic."""
    return Laplace()
