"""Tempered posterior: Bayes over hypotheses with D' counted β times.

    π_β(z) ∝ π0(z) exp(β Σ_{x in D'} log p(x | z))

All of D' is taken to share one z. Along a context, hypotheses are reweighted by the context's own
likelihood with exponent 1: β strengthens D' alone, not the context (theory.md, section 6).

What β is after some steps has two readings without a fitted number, and neither is the Bayesian one. Passes
(`strength`): every visit of a document counts its likelihood once, whatever the learning rate. Rate
(`matched_rate`): β grows with learning-rate time so that the posterior gains likelihood on D' itself as fast,
at first, as gradient flow from the base network does (theory.md, section 4).
"""

from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Cost, Dataset, Distribution, Parametric, check_beta, mean_loss
from theory.contracts import Bound, Scale, Theory, Training
from theory.latent.mixture import Mixture

DistributionT = TypeVar("DistributionT", bound=Distribution)


@dataclass(frozen=True)
class TemperedPosterior(Theory[Distribution]):
    """D' counted β times."""

    breaks: dict[str, str] = field(default_factory=dict)

    def predict(
        self, prior: DistributionT, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> DistributionT:
        """The prior conditioned on the data with strength β (exact)."""
        check_beta(beta)
        return prior.condition(data, beta)

    @property
    def bound(self) -> Bound:
        """Any weights over the hypotheses."""
        return "mixture"

    def strength(self, training: Training, scale: Scale) -> np.ndarray:
        """Passes over D': each counts it once. A method that distils this theory has its teacher's β."""
        if training.teacher is not None:
            return np.full(len(training.doses), training.teacher)
        return training.passes

    rate_cost: ClassVar[Cost] = Cost(gradients=1)

    def rate(self, prior: Mixture, network: Parametric, data: Dataset) -> Float[Array, ""] | None:
        """`matched_rate`; None of a subclass that predicts otherwise, as its β means something else."""
        ours = type(self).predict is TemperedPosterior.predict
        return matched_rate(prior, network, data) if ours else None


def matched_rate(prior: Mixture, network: Parametric, data: Dataset) -> Float[Array, ""]:
    """β for one unit of learning-rate time: N ‖∇L‖² / Σ_x (Σ_z p(z | x) ℓ(z) - Σ_z π0(z) ℓ(z)).

    L is the network's mean loss of the N counted positions of D', and ℓ(z) the log-likelihood of all of D'.
    Above stands the speed of Σ_x log p(x) under gradient flow at the network's weights, below its speed in β
    under the tempered posterior at β = 0; nan where that does not gain. Hypotheses that rule D' out are gone
    at any β > 0, and are omitted.
    """
    gradient = jax.grad(lambda params: mean_loss(network.with_params(params), data))(network.params)
    square = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradient))
    likelihoods = prior.log_likelihoods(data)
    possible = jnp.isfinite(likelihoods).all(axis=1)
    likelihoods = jnp.where(possible[:, None], likelihoods, 0.0)
    weights = jnp.where(possible, jax.nn.log_softmax(prior.log_weights), -jnp.inf)
    before, after = (
        jax.nn.softmax(logits, axis=0) for logits in (weights[:, None], weights[:, None] + likelihoods)
    )
    gain = jnp.sum((after - before) * likelihoods.sum(axis=1, keepdims=True))
    return jnp.where(gain > 0, jnp.sum(data.mask) * square / gain, jnp.nan)


def example() -> TemperedPosterior:
    """The theory."""
    return TemperedPosterior()
