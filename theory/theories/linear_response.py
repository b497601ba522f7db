"""Linear response: log-probabilities moved by β times the susceptibility of the posterior at β = 0.

    p_β ∝ p_0 exp(β χ)
    χ = d⟨log p_w⟩/dβ = -Cov(log p_w, L(w)),    L(w) = Σ_{x in D'} ℓ(x; w)

⟨·⟩ and Cov are over the weights of the localised posterior at β = 0 (Baker et al., Structural inference:
interpreting small language models with susceptibilities, arXiv 2504.18274; for single documents, Kreer et
al., Bayesian influence functions for Hessian-free data attribution, arXiv 2509.26544). Without replay these
weights are w0 + ξ, ξ ~ N(0, Σ), Σ = (γΛ)^-1: samples are independent, no chain is needed, and the covariance
is one of gradients,

    χ = -∫₀¹ E[ ∇log p(w0 + ξ)ᵀ Σ ∇L(w0 + ξ') ] ds,    Cov(ξ, ξ') = s Σ

(the integrand is d/ds E[log p(w0 + ξ) L(w0 + ξ')], by parts; s runs from a product of means to the mean of
the product). So χ is the eNTK of D' smeared over weights: every sample contains its linear part
-∇log p Σ ∇L without error. Antithetic pairs (±ξ, ±ξ') remove odd orders, and s is drawn from strata of
[0, 1]: the error of the samples is of order γ^-2 where χ is of order 1/γ. As γ → ∞ at fixed β/γ this is one
gradient step of the linearised network, δ = -(β/γ) Λ^-1 ∇L.

β multiplies the loss of every document of D', as in `langevin_posterior`; γη × steps / N, N the counted
positions, is the forecast. It is first order in β: nothing saturates. p_0 is the network at w0, not its
average over ξ, so that β = 0 is the prior.
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
    LogProbs,
    Misuse,
    Model,
    Parametric,
    Params,
    PyTree,
    Tokens,
    check_beta,
    check_number,
    log_likelihood,
)
from theory.contracts import Process, WeightTheory
from theory.theories.langevin_posterior import LangevinPosterior

SAMPLING = LangevinPosterior()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SmearedTangent:
    """χ as the mean slope of log p of samples: `weights` and `directions` -Σ∇L have an axis k."""

    network: Model
    weights: Params
    directions: Params

    def at(self, tokens: Tokens) -> Float[Array, "n t v"]:
        """χ (nats per unit of β) of every token at every position."""
        log_probs = lambda params: self.network.with_params(params).predict(tokens)  # noqa: E731
        total = _total(
            lambda sample: jax.jvp(log_probs, sample[:1], sample[1:])[1], (self.weights, self.directions)
        )
        return total / jax.tree.leaves(self.weights)[0].shape[0]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Covariance:
    """χ as a covariance over a chain: `weights` and `scores` (mean L - L) / (k - 1) have an axis k."""

    network: Model
    weights: Params
    scores: Float[Array, "*batch k"]

    def at(self, tokens: Tokens) -> Float[Array, "n t v"]:
        """χ (nats per unit of β) of every token at every position."""
        log_probs = lambda params: self.network.with_params(params).predict(tokens)  # noqa: E731
        return _total(lambda sample: sample[1] * log_probs(sample[0]), (self.weights, self.scores))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shifted:
    """A predictor whose log-probabilities are moved by β χ."""

    base: Model
    response: SmearedTangent | Covariance
    beta: Float[Array, "*batch"]

    def predict(self, tokens: Tokens) -> LogProbs:
        """log p_0 + β χ, normalised."""
        return jax.nn.log_softmax(self.base.predict(tokens) + self.beta * self.response.at(tokens), axis=-1)

    @property
    def params(self) -> Params:
        """The base's weights."""
        return self.base.params

    def with_params(self, params: Params) -> Self:
        """The same shift of the base at other weights."""
        return replace(self, base=self.base.with_params(params))


@dataclass(frozen=True)
class LinearResponse(WeightTheory):
    """`sampling` is the posterior that responds, its prior precision γ, metric Λ and replay. `samples` of
    independent weights in antithetic pairs; None: those of the chains of `sampling` at β = 0, which replay
    needs (its law is no Gaussian) and whose plain covariance has a far larger error. `predict` keeps every
    sample."""

    sampling: LangevinPosterior = SAMPLING
    samples: int | None = 64
    breaks: dict[str, str] = field(
        default_factory=lambda: {"additive": "a second pass responds to losses that the first has moved"}
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.samples is None:
            return
        check_number("samples", self.samples, whole=True)
        if self.samples < 2 or self.samples % 2:
            raise Misuse(f"samples come in antithetic pairs and must be even, from 2 on, got {self.samples}.")
        if self.sampling.replay is not None:
            raise Misuse(
                f"With replay the posterior at beta = 0 is not Gaussian, got samples = {self.samples}; use "
                "None, for those of its chains."
            )

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Shifted:
        """The prior network, its log-probabilities moved by β times their response."""
        check_beta(beta)
        if key is None:
            raise Misuse("linear-response draws at random and needs a key, got None.")
        return Shifted(prior, self.response(prior, data, key), jnp.asarray(beta, float))

    def response(self, prior: Parametric, data: Dataset, key: PRNGKeyArray) -> SmearedTangent | Covariance:
        """χ, to be read at any tokens."""
        centre, unflat = ravel_pytree(prior.params)

        def loss(weights: Float[Array, " p"]) -> Float[Array, ""]:
            return -jnp.sum(log_likelihood(prior.with_params(unflat(weights)), data))

        if self.samples is None:
            weights = self.sampling.predict(prior, data, 0.0, key=key).params
            losses = jax.lax.map(lambda params: loss(ravel_pytree(params)[0]), weights)
            return Covariance(prior, weights, (jnp.mean(losses) - losses) / (len(losses) - 1))

        posterior = self.sampling.posterior(prior, data, 0.0)
        scale, _ = ravel_pytree(posterior.params(posterior.scale()))
        pairs = self.samples // 2

        def pair(row: tuple[Array, PRNGKeyArray]) -> tuple[Params, Params]:
            stratum, key = row
            along, key = jax.random.split(key)
            share = (stratum + jax.random.uniform(along)) / pairs
            here, other = scale * jax.random.normal(key, (2, *centre.shape), centre.dtype)
            there = share * here + jnp.sqrt(1 - share**2) * other

            def signed(sign: Array) -> tuple[Params, Params]:
                direction = -(scale**2) * jax.grad(loss)(centre + sign * there)
                return unflat(centre + sign * here), unflat(direction)

            return jax.vmap(signed)(jnp.asarray([1.0, -1.0], centre.dtype))

        drawn = jax.lax.map(pair, (jnp.arange(pairs), jax.random.split(key, pairs)))
        return SmearedTangent(prior, *jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), drawn))

    @property
    def cost(self) -> Cost:
        """A gradient for every sample; of chains, at every step."""
        return Cost(gradients=self.samples) if self.samples else Cost(gradients=1, per="chain")

    @property
    def prior_precision(self) -> Beta:
        """γ."""
        return self.sampling.prior_precision

    @property
    def metric_name(self) -> str:
        """That of the posterior."""
        return self.sampling.metric_name


def _total(of: Callable[[PyTree], Array], samples: PyTree) -> Array:
    """The sum of `of` over a leading axis, in sequence (memory for two)."""
    first = jax.eval_shape(of, jax.tree.map(lambda leaf: leaf[0], samples))
    add = lambda total, sample: (total + of(sample), None)  # noqa: E731
    return jax.lax.scan(add, jnp.zeros(first.shape, first.dtype), samples)[0]


def variants(process: Process) -> dict[str, LinearResponse]:
    """The response of a posterior at a low temperature in the identity metric."""
    return {"linear-response/identity": LinearResponse(LangevinPosterior(1e5), samples=16)}


def example() -> LinearResponse:
    """Few samples at a high temperature."""
    return LinearResponse(LangevinPosterior(prior_precision=2.0), samples=16)
