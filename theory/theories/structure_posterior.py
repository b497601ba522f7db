"""Structure posterior: D' moves the belief in how personas are tied to domains, and the weights.

    p(S | D') ∝ p(S) E_S(D'),      π = Σ_S p(S | D') π_S

    saturated   any joint of the factors (personas × domains, `Mixture.factors`): D' moves its cells alone
    product     independent factors: what is learnt about a persona holds in every domain
    tilted      the odds ratios of the prior π0 kept: π(u, d) = π0(u, d) r_u s_d

Each document has its own z. A structure is an exponential family: a base measure b (π0; for `product` the
product of its marginals) times a factor for each value of each block (one block of all cells; a block for
each factor). Its prior is the conjugate one of κ documents distributed as b: Dirichlet(κπ0) over cells; for
`product` a Dirichlet(κ marginal) for each factor. With a_v = κ b_v + β N_v the counts of a block's values

    π_S = argmax_π β Σ_x log Σ_z π_z p(x | z) - κ KL(b ‖ π),      marginals a_v / (κ + β n)
    log E_S ≈ this maximum + Σ_blocks (Σ_v g(a_v) - g(κ + β n)) - ½ log det K(π_S), less the same at β = 0

with g(a) = log Γ(a) - a log a + a, and K the correlation matrix of indicators of values of different factors.
Derived here (theory.md, section 3). Where documents show their z, E_S is the Dirichlet-multinomial evidence
of their counts, exactly, for `saturated` and `product`. `tilted` has no closed form: Laplace's approximation,
less its error for `product` at the same marginals; so it is exact where π0 is a product, and `product` then.
Where documents show less of z, N are expected counts, and E_S is the approximation of Cheeseman and Stutz
(1996). β counts how often each document of D' counts. Where π0 is no product, β = 0 is not π0: `product` has
another prior.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, xlogy
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Beta, Dataset, Misuse, check_beta, check_number
from theory.contracts import Process, Scale, Theory
from theory.latent.mixture import Mixture

STRUCTURES = ("saturated", "product", "tilted")
TOLERANCE, STEPS = 1e-7, 2000  # of expectation-maximisation


class Fit(NamedTuple):
    """Weights of a structure after D' (k,), and its log evidence (nats) less β log p(D') under the prior."""

    weights: Float[Array, " k"]
    log_evidence: Float[Array, ""]


@dataclass(frozen=True)
class StructurePosterior(Theory[Mixture]):
    """Bayes over `structures` of prior `odds` (even: ()), each with a `concentration` κ > 0 of its prior."""

    structures: tuple[str, ...] = STRUCTURES
    odds: tuple[float, ...] = ()
    concentration: float = 1.0
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "after a first pass the prior counts κ + βn documents; a second one takes κ again"
        }
    )

    def __post_init__(self) -> None:
        unknown = [name for name in self.structures if name not in STRUCTURES]
        if unknown or not self.structures or len({*self.structures}) < len(self.structures):
            raise Misuse(f"structures must be different ones of {STRUCTURES}, got {self.structures!r}.")
        if self.odds and len(self.odds) != len(self.structures):
            raise Misuse(
                f"odds must have a number for each of the {len(self.structures)} structures, or none at all, "
                f"got {self.odds!r}."
            )
        for odds in self.odds:
            check_number("odds", odds, above=0)
        check_number("concentration", self.concentration, above=0)

    def predict(
        self, prior: Mixture, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Mixture:
        """The mixture with the structures' weights, averaged by the belief in each."""
        check_beta(beta)
        fits = self.fits(prior, data, beta)
        belief = jax.nn.softmax(self._believe(fits))
        return prior.with_log_weights(
            jnp.log(sum(p * fit.weights for p, fit in zip(belief, fits, strict=True)))
        )

    def belief(self, prior: Mixture, data: Dataset, beta: Beta) -> Float[Array, " s"]:
        """log p(S | D') (nats) of every structure."""
        return jax.nn.log_softmax(self._believe(self.fits(prior, data, beta)))

    def fits(self, prior: Mixture, data: Dataset, beta: Beta) -> list[Fit]:
        """Weights and log evidence of every structure; refuses one that the prior does not have."""
        beyond = [name for name in self.structures if name != "saturated"]
        if beyond and len(prior.factors) < 2:
            raise Misuse(
                f"The structure {beyond[0]} needs a prior whose hidden variable is a product, got factors = "
                f"{prior.factors}; use structures = ('saturated',)."
            )
        counted = Dataset(data.tokens, jnp.ones(data.tokens.shape, bool))
        likelihoods = prior.log_likelihoods(counted)  # (k, n), of whole documents: questions show the domain
        before = jax.nn.softmax(prior.log_weights)
        # relative to π0: what all structures have in common would cost their difference its last digits
        likelihoods -= jax.nn.logsumexp(jnp.log(before)[:, None] + likelihoods, axis=0)
        return [self._fit(name, before, prior.factors, likelihoods, beta) for name in self.structures]

    def _believe(self, fits: list[Fit]) -> Float[Array, " s"]:
        """log p(S) + log E_S, up to a constant."""
        return jnp.log(jnp.asarray(self.odds or (1.0,) * len(fits))) + jnp.stack(
            [fit.log_evidence for fit in fits]
        )

    def _fit(
        self,
        name: str,
        before: Float[Array, " k"],
        factors: tuple[int, ...],
        likelihoods: Float[Array, "k n"],
        beta: Beta,
    ) -> Fit:
        """A structure's posterior mode and evidence, from log p(x | z) - log p(x) (nats)."""
        blocks = _blocks(() if name == "saturated" else factors, len(before))
        start = [_marginal(before, block) for block in blocks]
        base = _tilted(jnp.ones_like(before), blocks, start) if name == "product" else before
        kappa, total = self.concentration, self.concentration + beta * likelihoods.shape[1]

        def counts(weights: Float[Array, " k"]) -> list[Array]:
            """a_v of every block."""
            expected = jax.nn.softmax(jnp.log(weights)[:, None] + likelihoods, axis=0).sum(axis=1)
            return [_marginal(kappa * base + beta * expected, block) for block in blocks]

        def step(state: tuple[list[Array], Array, Array, Array]) -> tuple[list[Array], Array, Array, Array]:
            """Expected counts, and one sweep of iterative proportional fitting towards them."""
            tilts, weights, _, count = state
            for index, wanted in enumerate(counts(weights)):
                reached = _marginal(_tilted(base, blocks, tilts), blocks[index])
                change = jnp.where(reached > 0, wanted / (total * reached), 0.0)
                tilts = [*tilts[:index], tilts[index] * change, *tilts[index + 1 :]]
            moved = _tilted(base, blocks, tilts)
            return tilts, moved, jnp.abs(moved - weights).max(), count + 1

        def goes_on(state: tuple[list[Array], Array, Array, Array]) -> Array:
            return (state[2] > TOLERANCE) & (state[3] < STEPS)

        even = [jnp.ones_like(marginal) for marginal in start]
        _, weights, _, _ = jax.lax.while_loop(
            goes_on, step, (even, base, jnp.asarray(jnp.inf), jnp.asarray(0))
        )
        gained = beta * jax.nn.logsumexp(jnp.log(weights)[:, None] + likelihoods, axis=0).sum()
        departure = kappa * jnp.sum(xlogy(base, jnp.where(base > 0, base / weights, 1.0)))
        after = _volume(counts(weights), total, weights, blocks)
        prior = _volume([kappa * marginal for marginal in start], kappa, base, blocks)
        return Fit(weights, gained - departure + after - prior)

    def grid(self, scale: Scale) -> np.ndarray:
        """β multiplies counts of documents, not likelihoods."""
        return np.concatenate([[0.0], np.logspace(-5, 3, 99)]).astype(np.float32)


def _volume(
    counts: list[Array], total: Beta, weights: Float[Array, " k"], blocks: list[np.ndarray]
) -> Float[Array, ""]:
    """log of the integral over a structure's parameters, relative to its largest integrand (nats)."""
    gammas = sum(
        (jnp.sum(_excess(count)) - _excess(jnp.asarray(total)) for count in counts), jnp.asarray(0.0)
    )
    return gammas - _correlation(weights, blocks) / 2


def _excess(count: Float[Array, "..."]) -> Float[Array, "..."]:
    """g(a) = log Γ(a) - a log a + a, 0 for a value that the prior rules out."""
    # far out by Stirling's series: the terms of the difference are large there
    near, far = jnp.clip(count, 1e-30, 10.0), jnp.maximum(count, 10.0)
    series = 0.5 * jnp.log(2 * math.pi / far) + 1 / (12 * far) - 1 / (360 * far**3)
    exact = gammaln(near) - xlogy(near, near) + near
    return jnp.where(count > 0, jnp.where(count < 10.0, exact, series), 0.0)


def _correlation(weights: Float[Array, " k"], blocks: list[np.ndarray]) -> Float[Array, ""]:
    """log det K: 0 for independent factors; for two of them Σ log(1 - ρ²) over canonical correlations ρ."""
    marginals = jnp.concatenate([_marginal(weights, block) for block in blocks])
    every = jnp.asarray(np.concatenate(blocks, axis=1))
    joint = jnp.matmul(every.T * weights, every, precision="highest")
    scale = jnp.where(marginals > 0, jax.lax.rsqrt(jnp.maximum(marginals, 1e-30)), 0.0)
    correlations = (joint - jnp.outer(marginals, marginals)) * jnp.outer(scale, scale)
    index = np.repeat(np.arange(len(blocks)), [block.shape[1] for block in blocks])
    within = index[:, None] == index
    return jnp.linalg.slogdet(jnp.where(within, jnp.eye(len(index)), correlations))[1]


def _blocks(factors: tuple[int, ...], cells: int) -> list[np.ndarray]:
    """Indicators (k, values) of the values of every factor; without factors of every cell."""
    if not factors:
        return [np.eye(cells, dtype=np.float32)]
    values = np.unravel_index(np.arange(cells), factors)
    return [np.eye(size, dtype=np.float32)[value] for size, value in zip(factors, values, strict=True)]


def _marginal(weights: Float[Array, " k"], block: np.ndarray) -> Float[Array, " values"]:
    """Sums of weights over the cells of every value."""
    return jnp.matmul(weights, block, precision="highest")


def _tilted(base: Float[Array, " k"], blocks: list[np.ndarray], tilts: list[Array]) -> Float[Array, " k"]:
    """The base times the tilt of the value that a cell has in every block."""
    return base * math.prod(
        jnp.matmul(block, tilt, precision="highest") for block, tilt in zip(blocks, tilts, strict=True)
    )


def variants(process: Process) -> dict[str, StructurePosterior]:
    """The three structures, where the hidden variable of a process is a product; else none."""
    is_product = len(process.distribution().factors) > 1
    return {"structure-posterior": StructurePosterior()} if is_product else {}


def example() -> StructurePosterior:
    """The theory with the one structure that every process has."""
    return StructurePosterior(("saturated",))
