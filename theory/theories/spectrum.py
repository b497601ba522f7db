"""Spectrum: a filter f of the curvature gives every direction of the weights a strength.

    w = w0 - f(H; τ) g, of the network linearised at w0

    ridge            f = τ / (1 + τh)          the proximal point, and the mean of Laplace's approximation
    early_stopping   f = (1 - e^{-τh}) / h     gradient flow for the time τ
    momentum(m)      m δ̈ + δ̇ = -(g + h δ)      heavy-ball flow from rest

g is the gradient of the loss summed over D' (nats) and H = Jᵀ S J its Gauss-Newton matrix, both at w0. In a
metric Λ f(H) g stands for Λ^-½ f(Λ^-½ H Λ^-½) Λ^-½ g. β is how often each counted position counts, against
γ, as in `proximal`: τ = β/γ, and N τ = η × steps, N the counted positions, under gradient descent on the
mean loss. Of the way to the quadratic's minimum a mode of curvature h has gone the share hf. Every filter
is a ridge whose strength depends on the mode, τ(h) = f / (1 - hf): for early stopping (e^{τh} - 1)/h, so
stiff modes count D' exponentially more often than soft ones. (Ali, Kolter & Tibshirani, arXiv 1810.10082,
compare the two.)

f(H) g is made by Lanczos with `iterations` products (theory.weights.curvature). Curvature and gradient are
those of w0 all along: to second order in τ this is gradient flow where logits are linear in the weights, and
`linearised` is it to all orders.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from theory.base import Beta, Cost, Dataset, Misuse, Parametric, PyTree, check_beta, check_number
from theory.contracts import Process, Setting, WeightTheory
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.linearised import Tangent
from theory.weights.curvature import Curvature, Product, apply, gauss_newton, gradient, inverse_root
from theory.weights.diagonal_metrics import fisher
from theory.weights.kronecker import kronecker

Number: TypeAlias = Any  # a curvature or a time, one or many: a float or an array
Filter: TypeAlias = Callable[[Number, Number], Array]  # of curvatures h ≥ 0 and the time τ, elementwise


def ridge(curvature: Number, time: Number) -> Array:
    """τ / (1 + τh)."""
    return time / (1 + time * curvature)


def early_stopping(curvature: Number, time: Number) -> Array:
    """(1 - e^{-τh}) / h, τ where h = 0."""
    gone = jnp.asarray(time * curvature)
    return time * jnp.where(gone > 0, -jnp.expm1(-gone) / jnp.where(gone > 0, gone, 1.0), 1.0)


def momentum(inertia: float) -> Filter:
    """Heavy-ball flow m δ̈ + δ̇ = -(g + hδ) from rest, where m = `inertia` has the unit of τ.

    SGD on the mean loss with step size η and momentum μ follows it to second order in η, once its first steps
    are over: N τ = η (steps + ½) / (1 - μ), N m = η (1 + μ) / (2 (1 - μ)²). Not a number where (τ/m) (2 + mh)
    is beyond about 1e5.
    """
    if not 0 < inertia < float("inf"):
        raise Misuse(f"inertia must be finite and above 0, got {inertia}; without any, use early_stopping.")

    def displacement(curvature: Array, time: Array) -> Array:
        # d/ds (position, velocity, 1) from (0, 0, 1) under a unit force, s = t/m
        flow = jnp.asarray([[0.0, 1.0, 0.0], [0.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
        return jax.scipy.linalg.expm(time * flow.at[1, 0].set(-curvature))[0, 2]

    return lambda curvature, time: inertia * jnp.vectorize(displacement)(inertia * curvature, time / inertia)


@dataclass(frozen=True)
class Spectrum(WeightTheory):
    """`filter` is f; `prior_precision` γ > 0; `metric` Λ (None: identity, a positive pytree like the weights,
    a `Kronecker`, or the name of one of `METRICS`, which `complete` makes); `iterations` of Lanczos."""

    filter: Filter = early_stopping
    prior_precision: float = 1.0
    metric: PyTree = None
    iterations: int = 32
    breaks: dict[str, str] = field(
        default_factory=lambda: {"additive": "the second pass takes its curvature at the first one's weights"}
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_filter(self.prior_precision, self.iterations, self.metric)

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Tangent:
        """The linearised network at -f(H; β/γ) g."""
        check_beta(beta)
        time, curvature = beta / self.prior_precision, gauss_newton(prior, data)
        return filtered(prior, data, time, curvature, self.filter, self.metric, self.iterations)

    @property
    def cost(self) -> Cost:
        """A gradient and the products of Lanczos, whatever the strengths."""
        return filter_cost(self.metric, self.iterations)

    def complete(self, setting: Setting) -> Self:
        """With the metric that it names."""
        return replace(self, metric=made(self.metric, setting))


def filtered(
    prior: Parametric,
    data: Dataset,
    time: Beta,
    curvature: Curvature,
    filter: Filter,
    metric: PyTree,
    iterations: int,
) -> Tangent:
    """The linearised network at -Λ^-½ f(Λ^-½ C Λ^-½; τ) Λ^-½ g, C a curvature and g the gradient of Σ ℓ."""
    scale = to_weights(metric)
    moved = apply(
        lambda curvatures: -filter(curvatures, time),
        curvature.within(scale).product,
        scale(gradient(prior, data)),
        iterations,
    )
    return Tangent(prior, scale(moved))


METRICS = {
    "adam": lambda setting: AdamGibbs().metric(setting.network, setting.data, setting.key),
    "fisher": lambda setting: fisher(setting.network, setting.documents),
    "kronecker": lambda setting: kronecker(setting.network, setting.documents),
}


def made(metric: PyTree, setting: Setting) -> PyTree:
    """The metric of that name at the setting's network; a metric that is no name stays as it is."""
    return METRICS[metric](setting) if isinstance(metric, str) else metric


def filter_cost(metric: PyTree, products: int, samples: int = 0) -> Cost:
    """A gradient, and Lanczos for it and every opposite pair of samples, in a metric that is made by name."""
    of_metric = {"adam": AdamGibbs.batches, "fisher": 1, "kronecker": 1}
    other = of_metric.get(metric, 0) if isinstance(metric, str) else 0
    return Cost(gradients=1, products=products * (1 + samples // 2), other_gradients=other)


def to_weights(metric: PyTree) -> Product:
    """v -> Λ^-½ v; refuses a metric that is still a name."""
    if isinstance(metric, str):
        raise Misuse(f"The metric {metric!r} is made of a network and its D'; call complete(setting) first.")
    return inverse_root(metric)


def check_filter(prior_precision: object, iterations: object, metric: PyTree = None) -> None:
    """Refuse a prior precision that is not positive, Lanczos without iterations, and unknown metrics."""
    check_number("prior_precision", prior_precision, above=0)
    check_number("iterations", iterations, least=1, whole=True)
    if isinstance(metric, str) and metric not in METRICS:
        raise Misuse(f"The metric must be an array pytree or one of {', '.join(METRICS)}, got {metric!r}.")


def variants(process: Process) -> dict[str, Spectrum]:
    """Early stopping of gradient flow, and of Adam."""
    return {"spectrum/identity": Spectrum(), "spectrum/adam": Spectrum(metric="adam")}


def example() -> Spectrum:
    """Early stopping."""
    return Spectrum()
