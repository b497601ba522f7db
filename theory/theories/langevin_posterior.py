"""Langevin posterior: the localised Gibbs posterior over weights, sampled by Langevin dynamics.

    p(w) ∝ exp( -β Σ_{x in D'} ℓ(x; w) - (γ/2) (w - w0)ᵀ Λ (w - w0) - α Σ_{x in D} ℓ(x; w) )
    p_β(x) = E_w [ p_w(x) ]

τ = βN/γ, N the counted positions, says where the posterior goes (its limit γ → ∞ at fixed τ is `proximal`);
1/γ is its temperature: how far from there the weights wander. Sampled by underdamped Langevin that solves the
Gaussian prior exactly (theory.samplers.harmonic_langevin), in coordinates where the prior is a standard
normal: the step size h is in those units, and h √(1 + λ) < 2 for the curvatures λ of βΣℓ there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from theory.base import Beta, Cost, Dataset, Misuse, Parametric, Params, check_beta, check_number
from theory.contracts import WeightTheory
from theory.latent.mixture import Average
from theory.mcmc.chains import Plan, Stream, advance, begin, finish, trace
from theory.samplers.harmonic_langevin import HarmonicLangevin
from theory.weights.gibbs import Posterior

PLAN = Plan(warmup=40, samples=40, thin=2)
Step = int | Int[Array, ""]


@dataclass(frozen=True)
class LangevinPosterior(WeightTheory):
    """`prior_precision` is γ, `metric` Λ (a pytree like the weights; None: identity), `step_size` h,
    `friction` κ; `batch` documents make a minibatch (None: all), with a control variate at w0; `replay` and
    `alpha` add pretraining documents. `predict` keeps every sample of every chain: it is for small networks.
    """

    prior_precision: Beta = 1e4
    metric: Params = None
    step_size: Beta = 0.25
    friction: Beta = 1.0
    plan: Plan = PLAN
    chains: int = 2
    batch: int | None = None
    replay: Dataset | None = None
    alpha: Beta = 0.0
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "prior": "at β = 0 the weights still wander about w0, by γ^-½",
            "additive": "the second pass starts from the average of the first, not from its posterior",
        }
    )

    sampled: ClassVar[bool] = True
    cost: ClassVar[Cost] = Cost(gradients=1, per="chain")

    def __post_init__(self) -> None:
        check_number("chains", self.chains, least=1, whole=True)
        for name in ("prior_precision", "step_size"):
            check_number(name, getattr(self, name), above=0)
        for name in ("friction", "alpha"):
            check_number(name, getattr(self, name), least=0)
        if self.batch is not None:
            check_number("batch", self.batch, least=1, whole=True)

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Average:
        """The prior network averaged (in probability) over the samples of all chains."""
        check_beta(beta)
        if key is None:
            raise Misuse("langevin-posterior draws at random and needs a key, got None.")
        posterior = self.posterior(prior, data, beta)
        self.kernel(posterior).check(posterior.weights())

        def sample(index: Array) -> Params:
            kept = {"weights": trace(lambda state: posterior.params(state.z))}
            return self.chain(posterior, jax.random.fold_in(key, index), kept)["weights"]

        samples = jax.vmap(sample)(jnp.arange(self.chains))
        return Average(
            prior.with_params(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), samples))
        )

    def posterior(self, prior: Parametric, data: Dataset, beta: Beta) -> Posterior:
        """The NumPyro model that is sampled."""
        return Posterior(
            prior, data, beta, self.prior_precision, self.metric, self.alpha, self.replay, batch=self.batch
        )

    def kernel(self, posterior: Posterior) -> HarmonicLangevin:
        """The kernel that samples it."""
        return HarmonicLangevin(
            posterior,
            step_size=self.step_size,
            friction=self.friction,
            scale=posterior.scale(),
            control_variate=self.batch is not None,
        )

    def chain(
        self,
        posterior: Posterior,
        key: PRNGKeyArray,
        streams: Mapping[str, Stream],
        first: Step = 0,
        last: Step | None = None,
    ) -> dict[str, Any]:
        """The results of the streams over one chain from w0. `first` > 0 omits as many steps of warm-up,
        `last` ends the chain at that step: short chains that tune the step size are of the same program."""
        kernel = self.kernel(posterior)
        carry = begin(kernel, self.plan, streams, key, posterior.weights())
        carry = advance(kernel, self.plan, streams, carry, first + jnp.arange(self.plan.steps), limit=last)
        return finish(self.plan, streams, carry)


def example() -> LangevinPosterior:
    """Short chains at a high temperature."""
    return LangevinPosterior(prior_precision=10.0, plan=Plan(warmup=20, samples=20, thin=1))
