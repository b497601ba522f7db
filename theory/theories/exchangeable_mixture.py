"""Exchangeable mixture: a hidden z for every document of D', weights move by counts.

    π_β = argmax_π  β Σ_{x in D'} log Σ_z π_z p(x | z) + κ Σ_z π0_z log π_z
        = (κ π0 + β N(π_β)) / (κ + β n),      N_z(π) = Σ_{x in D'} π_z p(x | z) / Σ_y π_y p(x | y)

N_z(π) are the expected counts, n the documents and κ the prior's own count: π_β is the posterior mode under a
prior of κπ0 pseudo-counts, Dirichlet(κπ0 + 1), each document counted β times. The function is concave, so
there is one mode: it is the limit of expectation-maximisation from π0, which stops where no weight moves by
more than `TOLERANCE` in a step. With hidden z that documents show, N does not depend on π and the formula is
the posterior mean under Dirichlet(κπ0); where they show less, mean and mode differ (theory.md, section 3).
Where z is a product (personas × domains, `Mixture.factors`) the family says what may move:

    saturated   the free joint: evidence stays in the cell it came from, so nothing reaches other domains
    product     the marginals only, re-multiplied: what is learnt about the persona reaches every domain
    tilted      the marginals only, with the odds ratios of π0 kept: π(u, d) = π0(u, d) r_u s_d. Log-odds
                between two personas move alike in every domain; what the domain alone explains moves none

Responsibilities are those of whole documents, the mask notwithstanding: the questions of a document show its
domain. A saturated learner transfers exactly zero, a product learner fully (theory.md, 5.6). The tilted joint
is the one of least KL(π ‖ π0) with the moved marginals, by iterative proportional fitting. It exists:
the saturated joint has these marginals, and no mass where π0 has none. A sweep shrinks the error of the
marginals by ρ² in the end, ρ the maximal correlation of the factors (two of them) under the fitted joint,
so that `SWEEPS` are exact to float32 up to ρ = 0.96; odds ratios are kept however many are made.
"""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Dataset, Misuse, check_beta, check_number
from theory.contracts import Bound, Process, Scale, Theory, Training
from theory.latent.mixture import Mixture

FAMILIES = ("saturated", "product", "tilted")
FORMS = {
    "exchangeable-product": "The same where z is a product: its marginals alone move.",
    "exchangeable-tilted": "The same where z is a product: its marginals move, its odds ratios stay.",
}
SWEEPS = 200
TOLERANCE, STEPS = 1e-7, 2000  # of expectation-maximisation


@dataclass(frozen=True)
class ExchangeableMixture(Theory[Mixture]):
    """Counts of hypotheses, added to the prior's `concentration` κ > 0."""

    family: str = "saturated"
    concentration: float = 1.0
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "after a first pass the prior counts κ + βn documents; a second one takes κ again"
        }
    )

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise Misuse(f"family must be one of {FAMILIES}, got {self.family!r}.")
        check_number("concentration", self.concentration, above=0)

    def predict(
        self, prior: Mixture, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Mixture:
        """The mixture with moved weights; for `product`, of an independent joint (the prior's
        joint is replaced by the product of its marginals too, so β = 0 gives the prior only if the
        prior is a product)."""
        check_beta(beta)
        if self.family != "saturated" and len(prior.factors) < 2:
            raise Misuse(
                f"The {self.family} family needs a prior whose hidden variable is a product, got factors = "
                f"{prior.factors}; use the saturated family."
            )
        before = jnp.exp(jax.nn.log_softmax(prior.log_weights))
        joint = self._mode(prior, before, data, beta)
        if self.family == "product":
            joint = _product_of_marginals(joint.reshape(prior.factors)).reshape(-1)
        if self.family == "tilted":
            joint = _tilt(before.reshape(prior.factors), joint.reshape(prior.factors)).reshape(-1)
        return prior.with_log_weights(jnp.log(joint))

    def _mode(
        self, prior: Mixture, before: Float[Array, " k"], data: Dataset, beta: Beta
    ) -> Float[Array, " k"]:
        """The weights that expectation-maximisation ends at."""
        counted = Dataset(data.tokens, jnp.ones(data.tokens.shape, bool))
        likelihoods = prior.log_likelihoods(counted)  # (k, n), of whole documents
        pseudo, n = self.concentration * before, data.tokens.shape[0]

        def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            weights, _, count = state
            responsibilities = jax.nn.softmax(jnp.log(weights)[:, None] + likelihoods, axis=0)
            moved = (pseudo + beta * responsibilities.sum(axis=1)) / (self.concentration + beta * n)
            return moved, jnp.abs(moved - weights).max(), count + 1

        def goes_on(state: tuple[Array, Array, Array]) -> Array:
            return (state[1] > TOLERANCE) & (state[2] < STEPS)

        return jax.lax.while_loop(goes_on, step, (before, jnp.asarray(jnp.inf), jnp.asarray(0)))[0]

    @property
    def bound(self) -> Bound:
        """Any weights for the free joint; the other families reach theirs alone."""
        return "path" if self.optional else "mixture"

    @property
    def optional(self) -> bool:
        """All but the free joint."""
        return self.family != "saturated"

    def strength(self, training: Training, scale: Scale) -> np.ndarray | None:
        """Passes over D', each of which counts every document once; None of a method with a teacher, whose β
        is that of another theory."""
        return training.passes if training.teacher is None else None

    def grid(self, scale: Scale) -> np.ndarray:
        """β multiplies counts of documents, not likelihoods."""
        return np.concatenate([[0.0], np.logspace(-5, 3, 99)]).astype(np.float32)


def _product_of_marginals(joint: Float[Array, "..."]) -> Float[Array, "..."]:
    """Π_f marginal_f, broadcast back to the joint's shape."""
    product = jnp.ones_like(joint)
    for axis in range(joint.ndim):
        product = product * _marginal(joint, axis)
    return product


def _tilt(joint: Float[Array, "..."], wanted: Float[Array, "..."]) -> Float[Array, "..."]:
    """`joint`, one factor for each value of each axis, so that its marginals are those of `wanted`."""

    def tilted(factors: list[Array]) -> Array:
        return joint * math.prod(factors)

    def sweep(_: Array, factors: list[Array]) -> list[Array]:
        for axis in range(joint.ndim):
            marginal = _marginal(tilted(factors), axis)
            step = jnp.where(marginal > 0, _marginal(wanted, axis) / marginal, 0.0)
            factors = [*factors[:axis], factors[axis] * step, *factors[axis + 1 :]]
        return factors

    # the factors are kept and not the joint: rounding then never reaches the odds ratios
    start = [jnp.ones_like(_marginal(joint, axis)) for axis in range(joint.ndim)]
    return tilted(jax.lax.fori_loop(0, SWEEPS, sweep, start))


def _marginal(joint: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """The marginal along one axis, with the others kept at length 1."""
    return joint.sum(axis=tuple(other for other in range(joint.ndim) if other != axis), keepdims=True)


def variants(process: Process) -> dict[str, ExchangeableMixture]:
    """The free joint; the other families too where the hidden variable of a process is a product."""
    theories = {"exchangeable-mixture": ExchangeableMixture()}
    if len(process.distribution().factors) > 1:
        theories |= {name: ExchangeableMixture(name.removeprefix("exchangeable-")) for name in FORMS}
    return theories


def example() -> ExchangeableMixture:
    """The theory at its defaults."""
    return ExchangeableMixture()
