"""Finite-time Langevin: weights on their way from w0 to the posterior, on the quadratic potential at w0.

    dw = -(g + (γ + H)(w - w0)) dt + √(2T) dB
    w_t ~ N(w0 - (1 - e^{-(γ+H)t}) / (γ+H) g,   T (1 - e^{-2(γ+H)t}) / (γ+H))

    g, H    gradient and Gauss-Newton matrix of the loss summed over D' at w0 (nats)
    γ       pull back to w0
    T       temperature: that of the posterior exp(-(Σ ℓ + ½ γ ‖w - w0‖²) / T)

β is the time t: N t = η × steps, N the counted positions, under gradient descent on the mean loss. T = 0 and
γ = 0 is early stopping (`spectrum`); t → ∞ is Laplace with β = 1/T and prior precision γ/T. In a metric Λ
noise and pull are Λ's, and H is Λ^-½ H Λ^-½ in coordinates Λ^½ (w - w0). Mean and covariance act by the one
filter (1 - e^{-xs})/x, with Lanczos (theory.weights.curvature). The quadratic is that of Mandt, Hoffman and
Blei (arXiv 1704.04289), started at w0 rather than stationary.

SGD adds noise of its own: batches of B documents at step size η add a variance of tr(η N C / B) a unit of t,
where C is the covariance, over documents, of a document's share of the mean loss's gradient; Langevin adds
2 T p over p weights. `relaxation` sets the temperature at which they are equal beside the time after which
the start is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import (
    Beta,
    Cost,
    Dataset,
    Misuse,
    Model,
    Parametric,
    Params,
    PyTree,
    check_number,
)
from theory.contracts import Process, Setting, WeightTheory
from theory.theories.laplace import averaged, check_samples, displaced, opposite_pairs
from theory.theories.spectrum import check_filter, early_stopping, filter_cost, made, to_weights
from theory.weights.curvature import Product, apply, gauss_newton, gradient, modes
from theory.weights.document_gradients import gradient_rows


@dataclass(frozen=True)
class Transient:
    """The Gaussian of w - w0 at time t. `product` is v -> H v in the metric's coordinates, `scale` Λ^-½,
    `pull` Λ^-½ g."""

    product: Product
    pull: Params
    scale: Product
    time: Beta
    temperature: Beta
    prior_precision: Beta
    iterations: int

    def mean(self) -> Params:
        """The mean displacement, a pytree like the weights."""
        return self._filtered(lambda rates: -early_stopping(rates, self.time), self.pull)

    def deviation(self, normal: Params) -> Params:
        """A displacement from the mean, by a standard normal pytree like the weights: linear in it."""
        variance = lambda rates: self.temperature * early_stopping(rates, 2 * self.time)  # noqa: E731
        return self._filtered(lambda rates: jnp.sqrt(variance(rates)), normal)

    def _filtered(self, function: Callable[[Array], Array], vector: Params) -> Params:
        rates = lambda curvatures: function(self.prior_precision + curvatures)  # noqa: E731
        return self.scale(apply(rates, self.product, vector, self.iterations))


@dataclass(frozen=True)
class Relaxation:
    """`time` t is that of the slowest relevant mode, 1/(γ + h); `temperature` that of the noise of batches.

    `injected` and `batches` are the variances, summed over weights, that Langevin and small batches add in a
    unit of t. In the time `time` the mode keeps 1/e of its start; three of them leave a twentieth.
    """

    time: Float[Array, ""]
    injected: Float[Array, ""]
    batches: Float[Array, ""]
    temperature: Float[Array, ""]


@dataclass(frozen=True)
class FiniteTimeLangevin(WeightTheory):
    """`prior_precision` is γ ≥ 0, `temperature` T ≥ 0; `metric` Λ and `iterations` as in `spectrum`;
    `samples` of weights are averaged (an even number; 0: the mean alone)."""

    prior_precision: float = 1.0
    temperature: float = 1.0
    metric: PyTree = None
    samples: int = 0
    iterations: int = 32
    breaks: dict[str, str] = field(
        default_factory=lambda: {"additive": "the second pass is pulled to the first one's end, not to w0"}
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_samples(self.samples)
        check_number("prior_precision", self.prior_precision, least=0)
        check_number("temperature", self.temperature, least=0)
        check_filter(1.0, self.iterations, self.metric)

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Model:
        """The linearised network at the mean, or averaged (in probability) over samples."""
        transient = self._transient(prior, data, beta)
        if not self.samples:
            return displaced(prior, transient.mean())
        if key is None:
            raise Misuse("finite-time-langevin with samples needs a key, got None.")
        return averaged(prior, opposite_pairs(transient.mean(), transient.deviation, key, self.samples))

    def transient(self, prior: Parametric, data: Dataset, time: Beta) -> Transient:
        """The Gaussian of w - w0 at a time above 0."""
        check_number("time", time, above=0)
        return self._transient(prior, data, time)

    def relaxation(
        self,
        prior: Parametric,
        data: Dataset,
        learning_rate: float,
        batch: int,
        relevant: float = 0.01,
    ) -> Relaxation:
        """When the start is forgotten, and the noise of batches (identity metric) against Langevin's.

        The slowest relevant mode has the least curvature that is needed for all but the share `relevant` of
        the drop of the potential, ½ g² / (γ + h) summed over modes. Batches count as drawn with replacement:
        those of a reshuffled pass have less noise.
        """
        check_number("learning_rate", learning_rate, above=0)
        check_number("relevant", relevant, above=0, below=1)
        check_number("prior_precision", self.prior_precision, above=0)  # else flat modes never relax
        if self.metric is not None:
            raise Misuse("The noise of batches is compared in the identity metric only; leave metric None.")
        curvatures, components = modes(
            gauss_newton(prior, data).product, gradient(prior, data), self.iterations
        )
        flat = jax.vmap(lambda tree: ravel_pytree(tree)[0])(components)
        rates = self.prior_precision + curvatures
        drops = jnp.sum(flat**2, axis=1) / rates
        order = jnp.argsort(rates)
        kept = jnp.cumsum(drops[order]) > relevant * jnp.sum(drops)
        slowest = rates[order][jnp.argmax(kept)]
        size, counted = flat.shape[1], jnp.sum(data.mask)
        batches = learning_rate * counted / batch * gradient_variance(prior, data, batch)
        injected = jnp.asarray(2.0 * self.temperature * size)
        return Relaxation(1 / slowest, injected, batches, batches / (2 * size))

    def _transient(self, prior: Parametric, data: Dataset, time: Beta) -> Transient:
        scale = to_weights(self.metric)
        product, pull = gauss_newton(prior, data).within(scale).product, scale(gradient(prior, data))
        return Transient(product, pull, scale, time, self.temperature, self.prior_precision, self.iterations)

    @property
    def cost(self) -> Cost:
        """A gradient, and Lanczos for the mean and for every pair of samples."""
        return filter_cost(self.metric, self.iterations, self.samples)

    @property
    def unit(self) -> Beta:
        """1: β is the time itself."""
        return 1.0

    def complete(self, setting: Setting) -> Self:
        """With the metric that it names."""
        return replace(self, metric=made(self.metric, setting))


def gradient_variance(network: Parametric, data: Dataset, batch: int) -> Float[Array, ""]:
    """tr C of the mean loss's gradient over the documents of D'; a batch has no more documents than D'."""
    documents = data.tokens.shape[0]
    check_number("batch", batch, least=1, whole=True)
    if batch > documents:
        raise Misuse(f"A batch has at most the {documents} documents of D', got {batch}; take a smaller one.")
    return jnp.sum(jnp.var(gradient_rows(network, data), axis=0))


def variants(process: Process) -> dict[str, FiniteTimeLangevin]:
    """The mean."""
    return {"finite-time-langevin": FiniteTimeLangevin()}


def example() -> FiniteTimeLangevin:
    """The mean, isotropic."""
    return FiniteTimeLangevin()
