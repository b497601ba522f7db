"""Complexity prior: predictors weighted by description length, and by the evidence of D'.

    log w_i = -(K_i)^b ln 2 - β γ N^(1-α) L_i, normalised

    K_i   description length of predictor i, in bits (not given: -log2 of its weight in the prior)
    b     how much length counts: 1 is the prior 2^-K, below 1 it spares the longest
    N     counted positions of D',  L_i = mean loss (nats) of predictor i at one of them
    γ, α  size and sublinearity of the evidence: D' twice as large counts 2^(1-α) times as much

Wurgaft et al., arXiv 2506.17859, where N counts steps of pretraining and there is no β; here β multiplies
the evidence of D' (that of pretraining is in K, or in the weights that K is read from). After `passes`
visits of each document their law says β = passes^(1-α), which is γ (passes × N)^(1-α) L_i. With α = 0,
γ = 1, b = 1 and no lengths given this is the tempered posterior.

Their predictors are mixtures themselves (memorising: every document is of an unknown
task out of many). `predictors` gives the predictor of which each component of the prior is a part; the parts
keep their proportions, and which of them a document is from stays open: L_i is that of
log Σ_parts share × p(document | part). Not given, each component is a predictor by itself.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from theory.base import Beta, Dataset, Misuse, check_beta, check_number
from theory.contracts import Process, Theory
from theory.latent.mixture import Mixture


@dataclass(frozen=True)
class ComplexityPrior(Theory[Mixture]):
    """`description_lengths` are K ≥ 0 in bits, `exponent` is b > 0, `scale` is γ > 0, and α is in [0, 1).

    `predictors` numbers them from 0 for every component of the prior.
    """

    description_lengths: tuple[float, ...] | None = None
    exponent: float = 1.0
    scale: float = 1.0
    alpha: float = 0.0
    predictors: tuple[int, ...] | None = None
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "prior": "weights start from the description lengths, not from the prior's own weights",
            "additive": "a second pass starts from the description lengths again",
        }
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        lengths = np.asarray(self.description_lengths if self.description_lengths is not None else 0.0)
        if not (np.isfinite(lengths) & (lengths >= 0)).all():
            raise Misuse(f"Description lengths must be finite and at least 0 bits, got {lengths.tolist()}.")
        for name in ("exponent", "scale"):
            check_number(name, getattr(self, name), above=0)
        check_number("alpha", self.alpha, least=0, below=1)
        numbers = sorted(set(self.predictors)) if self.predictors is not None else [0]
        if numbers != list(range(len(numbers))) or not numbers:
            raise Misuse(f"predictors must be numbered 0, 1, ... without a gap, got {self.predictors}.")

    def predict(
        self, prior: Mixture, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Mixture:
        """The prior's components under the weights of the formula."""
        check_beta(beta)
        counted = jnp.maximum(jnp.sum(data.mask), 1)
        part_of, shares, _ = self._parts(prior)
        likely = jnp.where(part_of[..., None], shares[:, None] + prior.log_likelihoods(data), -jnp.inf)
        loss = -jax.nn.logsumexp(likely, axis=1).sum(axis=-1) / counted
        evidence = -beta * self.scale * counted ** (1 - self.alpha) * loss
        # a predictor that finds the data impossible has an infinite loss, and 0 × ∞ is not 0
        weights = self.log_prior(prior) + jnp.where(beta == 0, 0.0, evidence)
        log_weights = jnp.max(jnp.where(part_of, weights[:, None], -jnp.inf), axis=0)
        return prior.with_log_weights(shares + log_weights)

    def log_prior(self, prior: Mixture) -> Float[Array, " i"]:
        """-(K_i)^b ln 2 of every predictor, not normalised."""
        *_, totals = self._parts(prior)
        if self.description_lengths is None:
            lengths = -jax.nn.log_softmax(totals) / jnp.log(2)
        else:
            lengths = jnp.asarray(self.description_lengths, float)
        if lengths.shape != totals.shape:
            raise Misuse(
                f"Each of the {totals.shape[0]} predictors needs a description length, "
                f"got {lengths.shape[0]}."
            )
        return -(lengths**self.exponent) * jnp.log(2)

    def _parts(self, prior: Mixture) -> tuple[Bool[Array, "i k"], Float[Array, " k"], Float[Array, " i"]]:
        """Which components are part of which predictor, their log-shares in it, and its log-weight."""
        components = prior.log_weights.shape[0]
        numbers = np.arange(components) if self.predictors is None else np.asarray(self.predictors)
        if len(numbers) != components:
            raise Misuse(f"Each of the {components} components needs its predictor, got {len(numbers)}.")
        part_of = jnp.asarray(np.arange(numbers.max() + 1)[:, None] == numbers)
        totals = jax.nn.logsumexp(jnp.where(part_of, prior.log_weights, -jnp.inf), axis=1)
        none = jnp.isneginf(prior.log_weights)
        return part_of, jnp.where(none, -jnp.inf, prior.log_weights - totals[numbers]), totals

    def strength_after(self, passes: Beta) -> Beta:
        """β after each document was visited so often, by the law of pretraining."""
        return passes ** (1 - self.alpha)


def variants(process: Process) -> dict[str, ComplexityPrior]:
    """Over the predictors that a process names, or else with the description lengths that it names, in full;
    without either, and from the prior's weights, it is the tempered posterior."""
    predictors, lengths = (getattr(process, name, None) for name in ("predictors", "description_lengths"))
    if predictors:
        theory = ComplexityPrior(predictors=predictors())
    else:
        theory = ComplexityPrior(tuple(float(bits) for bits in lengths()) if lengths else None)
    return {"complexity-prior": theory}


def example() -> ComplexityPrior:
    """Three predictors, the last one long."""
    return ComplexityPrior((1.0, 1.0, 4.0), exponent=0.7, alpha=0.3)
