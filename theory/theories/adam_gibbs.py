"""Adam-Gibbs: the localised Gibbs posterior in Adam's metric, from second moments at the base weights.

    p(w) ∝ exp( -β Σ_{x in D'} ℓ(x; w) - (γ/2) (w - w0)ᵀ Λ (w - w0) ),      Λ = √v̂ + floor

v̂ is the mean square of minibatch gradients of D' at w0: what Adam has accumulated before it has moved. A step
of Adam, -η m̂/√v̂, is then a gradient step in this metric, and τ = βN/γ = η × steps without a fitted number.
It holds while v̂ keeps its size; as D' is learned gradients fall, v̂ with them, and Adam goes further than any
fixed metric predicts.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from theory.base import Beta, Cost, Dataset, Misuse, Parametric, Params, check_beta, check_number
from theory.contracts import WeightTheory
from theory.latent.mixture import Average
from theory.mcmc.chains import Plan
from theory.theories.langevin_posterior import LangevinPosterior
from theory.weights.diagonal_metrics import FLOOR, adam

SAMPLING = LangevinPosterior()


@dataclass(frozen=True)
class AdamGibbs(WeightTheory):
    """`sampling` is the posterior but for its metric; `batch` documents make one of the `batches` minibatches
    whose squared gradients are averaged; `floor` is a share of the metric's mean that is added."""

    sampling: LangevinPosterior = SAMPLING
    batch: int = 16
    batches: int = 32
    floor: float = FLOOR
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "prior": "at β = 0 the weights still wander about w0, by (γΛ)^-½",
            "exchangeable": "minibatches of D' are of its rows",
            "additive": "the second pass starts from the average of the first, in another metric",
        }
    )

    sampled: ClassVar[bool] = True
    cost: ClassVar[Cost] = Cost(gradients=1, per="chain")

    def __post_init__(self) -> None:
        for name in ("batch", "batches"):
            check_number(name, getattr(self, name), least=1, whole=True)
        check_number("floor", self.floor, above=0)

    def predict(
        self, prior: Parametric, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Average:
        """The prior network averaged (in probability) over the samples of all chains."""
        check_beta(beta)
        if key is None:
            raise Misuse("adam-gibbs draws at random and needs a key, got None.")
        rows, chains = jax.random.split(key)
        posterior = replace(self.sampling, metric=self.metric(prior, data, rows))
        return posterior.predict(prior, data, beta, key=chains)

    def metric(self, prior: Parametric, data: Dataset, key: PRNGKeyArray) -> Params:
        """Λ, a pytree like the weights."""
        count = data.tokens.shape[0]
        rows = jax.random.randint(key, (self.batches, min(self.batch, count)), 0, count)
        return adam(prior, data, jnp.asarray(rows), floor=self.floor)

    @property
    def metric_name(self) -> str:
        """Adam's."""
        return "adam"

    @property
    def prior_precision(self) -> Beta:
        """γ."""
        return self.sampling.prior_precision


def example() -> AdamGibbs:
    """Short chains at a high temperature."""
    short = LangevinPosterior(prior_precision=100.0, plan=Plan(warmup=20, samples=20, thin=1))
    return AdamGibbs(short, batch=4, batches=8)
