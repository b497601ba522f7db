"""Convergence diagnostics of chains: R̂, effective sample sizes, bias of the step, noise of the gradient.

    R̂     √(variance over all chains / mean variance within a chain), on ranks made normal, of half chains;
          the larger of that of the samples (agreement in location) and of |samples - median| (in scale)
    ESS   samples / τ, τ = 1 + 2 Σ ρ_t by Geyer's initial monotone sequence: of the ranks (bulk); of the
          indicators below the 5 % and 95 % quantiles, the smaller of both (tail)

Both are Vehtari et al. 2021 (arXiv 1903.08008), as in ArviZ, but what is undefined is nan: an observable that
is not finite somewhere or never changes, a tail without samples (over 5 % tied at the top), too few samples.
An unadjusted chain has a bias that no R̂ sees. So measure also the acceptance that a Metropolis test of its
steps would have, the effect of halving the step, and gradient noise against injected noise
(theory.mcmc.gradient_noise). Weights have symmetries and flat directions: judge functions of them. Axes:
c chains, s samples of each, then any axes of observables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, SupportsFloat, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.diagnostics import autocovariance, gelman_rubin
from scipy.special import ndtri

from theory.base import PyTree
from theory.samplers.mala import MALA
from theory.samplers.sghmc import SGHMC

Draws: TypeAlias = Float[Array, "c s *o"] | Float[np.ndarray, "c s *o"]
Values: TypeAlias = Float[np.ndarray, "c s *o"]
PerObservable: TypeAlias = Float[np.ndarray, "*o"]


@dataclass(frozen=True)
class Thresholds:
    """Limits that a converged chain keeps, with the reason of each. None: no limit."""

    rhat: float | None = 1.05  # at most; the worst of 500 observables exceeds the usual 1.01 on exact samples
    bulk_ess: float | None = 100.0  # at least; the error of a mean is a tenth of the posterior's spread
    tail_ess: float | None = 50.0  # at least; a tail of 5 % is known to within 3 percentage points
    acceptance: float | None = 0.5  # at least; the best MALA has 0.57, below half most steps are rejected
    halved_step: float | None = 0.1  # at most; share of the predicted shift, about the remaining bias
    gradient_noise: float | None = 0.1  # at most; 0.1 is a chain at temperature 1.1


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics of a posterior's chains, worst over observables; nan where not measured or undefined.

    `halved_step` is the change of predictions with half the step over the shift they predict, `nonfinite` the
    (chain, sample) of the first sample that is not finite; `drift` and `base_loss_change` (nats) have no
    limits.
    """

    rhat: float
    bulk_ess: float
    tail_ess: float
    acceptance: float
    halved_step: float
    gradient_noise: float
    drift: float
    base_loss_change: float
    nonfinite: tuple[int, int] | None

    def problems(self, thresholds: Thresholds) -> list[str]:
        """A sentence for each violation: what, the value, the limit, what to do. nan violates."""
        sentences = []
        if self.nonfinite is not None:
            chain, sample = self.nonfinite
            sentences.append(
                f"Sample {sample} of chain {chain} is the first not finite: take a smaller step."
            )
        for name, (what, side, advice) in _RULES.items():
            value, limit = getattr(self, name), getattr(thresholds, name)
            if limit is None or (value <= limit if side == "at most" else value >= limit):
                continue
            why = " (not measured, constant or not finite)" if np.isnan(value) else ""
            sentences.append(f"{what} is {value:.3g}{why}, but must be {side} {limit:g}: {advice}.")
        return sentences

    def converged(self, thresholds: Thresholds) -> bool:
        """Whether no threshold is violated."""
        return not self.problems(thresholds)


_RULES = {
    "rhat": ("The worst R-hat", "at most", "run longer chains or start them closer"),
    "bulk_ess": ("The least bulk ESS", "at least", "take more samples or a better scale"),
    "tail_ess": ("The least tail ESS", "at least", "take more samples or report means only"),
    "acceptance": ("The acceptance", "at least", "take a smaller step or a better scale"),
    "halved_step": ("The change with half the step", "at most", "halve the step"),
    "gradient_noise": ("Gradient over injected noise", "at most", "take larger batches or smaller steps"),
}


def diagnose(
    observables: Draws,
    *,
    acceptance: SupportsFloat = np.nan,
    halved_step: SupportsFloat = np.nan,
    gradient_noise: SupportsFloat = np.nan,
    drift: SupportsFloat = np.nan,
    base_loss_change: SupportsFloat = np.nan,
) -> Diagnostics:
    """Diagnostics of samples of observables, shape (c, s, ...), with numbers that were measured elsewhere."""
    rhat, *sizes = (measure(observables) for measure in (rank_normalised_rhat, bulk_ess, tail_ess))
    measured = acceptance, halved_step, gradient_noise, drift, base_loss_change
    numbers = rhat.max(), *map(np.min, sizes), *measured
    return Diagnostics(*map(float, numbers), nonfinite=first_nonfinite(observables))


def rank_normalised_rhat(samples: Draws) -> PerObservable:
    """The larger of bulk and tail R̂; 1 is agreement. Needs four samples a chain; a single chain is split."""
    values = _defined(samples)
    if values.shape[1] < 4:
        return np.full(values.shape[2:], np.nan)
    halves = _halves(values)
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    scores = map(_normal_scores, (halves, folded))
    return np.asarray(np.fmax(*(_where_varying(z, gelman_rubin(z)) for z in scores)))


def bulk_ess(samples: Draws) -> PerObservable:
    """Number of independent samples that would give the mean as exactly; needs ten samples a chain."""
    return _ess(_normal_scores(_halves(_defined(samples))))


def tail_ess(samples: Draws) -> PerObservable:
    """Number of independent samples that would give the 5 % and 95 % quantiles as exactly; needs ten samples
    a chain."""
    values = _defined(samples)
    below = (values <= np.quantile(values, tail, axis=(0, 1)) for tail in (0.05, 0.95))
    return np.asarray(np.minimum(*(_ess(_halves(indicator.astype(float))) for indicator in below)))


def first_nonfinite(samples: PyTree) -> tuple[int, int] | None:
    """(chain, sample) of the earliest sample that is not finite, or None; of a pytree (c, s, ...)."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(samples)]
    nonfinite = [~np.isfinite(leaf).all(axis=tuple(range(2, leaf.ndim))) for leaf in leaves]
    # Transposed, so that `nonzero` lists by sample first: the earliest of all chains.
    sample, chain = np.nonzero(np.any(nonfinite, axis=0).T)
    return (int(chain[0]), int(sample[0])) if sample.size else None


def hypothetical_acceptance(
    potential: Callable[[PyTree], Float[Array, ""]],
    positions: PyTree,
    step_size: float | Float[Array, ""],
    scale: PyTree,
    key: PRNGKeyArray,
    *,
    splitting: Literal["langevin", "baoab"] = "langevin",
) -> Float[Array, ""]:
    """Mean probability that a Metropolis test would accept the steps of an unadjusted chain.

    `positions` is stacked along a leading axis, `potential` the whole one in nats, `scale` as in the kernels.
    One proposal from each position; one that is not finite counts 0. "langevin" is MALA's test of a step ε;
    "baoab" min(1, exp(-ΔH)) of the deterministic part (BAAB) of SGHMC's step h, the momentum from its
    stationary law: severe, as BAOAB keeps the law of positions better than the energy.
    """
    mala = MALA(potential_fn=potential, step_size=step_size, scale=scale)  # refuses a potential_fn(z, key)
    undamped = SGHMC(potential_fn=lambda z: potential(z), step_size=step_size, scale=scale, friction=0.0)

    def probability(start: tuple[PyTree, PRNGKeyArray]) -> Float[Array, ""]:
        position, key = start
        if splitting == "langevin":
            return mala.sample(mala.init(key, 0, position)).accept_prob
        before = undamped.init(key, 0, position)
        states = before, undamped.sample(before)
        # A state's memory is the kernel's (momentum, gradient) and the anchor of a control variate.
        old, new = (state.potential_energy + jnp.sum(state.memory[0][0] ** 2) / 2 for state in states)
        return jnp.where(jnp.isfinite(new), jnp.exp(jnp.minimum(0.0, old - new)), 0.0)

    keys = jax.random.split(key, len(jax.tree.leaves(positions)[0]))
    return jnp.mean(jax.lax.map(probability, (positions, keys)))


def drift(positions: PyTree, start: PyTree, metric: PyTree = None) -> Float[Array, "*i"]:
    """√ Σ metric (w - w0)² over pytrees; leading axes of `positions` stay; a metric of None is 1."""
    metric = jax.tree.map(jnp.ones_like, start) if metric is None else metric

    def squared(position: Array, origin: Array, weight: Array) -> Array:
        return jnp.sum(weight * (position - origin) ** 2, axis=tuple(range(-jnp.ndim(origin), 0)))

    return jnp.sqrt(sum(jax.tree.leaves(jax.tree.map(squared, positions, start, metric))))


def _defined(samples: Draws) -> Values:
    """The samples in double precision; an observable that is not finite somewhere is made constant, so that
    its diagnostics are nan and its neighbours keep theirs."""
    return np.where(np.isfinite(samples).all(axis=(0, 1)), np.asarray(samples, dtype=float), 0.0)


def _halves(values: Values) -> Float[np.ndarray, "two_c half *o"]:
    half = values.shape[1] // 2
    return np.concatenate([values[:, :half], values[:, values.shape[1] - half :]])


def _normal_scores(values: Values) -> Values:
    """Φ⁻¹((rank - 3/8) / (S + 1/4)), ranks over all chains, ties averaged (Blom 1958)."""
    from scipy.stats import rankdata  # takes a second to import

    ranks = rankdata(values.reshape(-1, *values.shape[2:]), axis=0)
    return ndtri((ranks - 3 / 8) / (len(ranks) + 1 / 4)).reshape(values.shape)


def _where_varying(values: Values, diagnostic: np.ndarray | np.floating) -> PerObservable:
    return np.where(values.max(axis=(0, 1)) > values.min(axis=(0, 1)), diagnostic, np.nan)


@np.errstate(invalid="ignore", divide="ignore")
def _ess(values: Values) -> PerObservable:
    """Effective sample size of half chains, at most S log₁₀ S."""
    chains, length = values.shape[:2]
    if length < 5:
        return np.full(values.shape[2:], np.nan)
    lags = autocovariance(values, axis=1).mean(axis=0)
    within, total = lags[0] * length / (length - 1), lags[0] + values.mean(axis=1).var(axis=0, ddof=1)
    rho = 1 - (within - lags) / total
    rho[0] = 1.0
    # Of a reversible chain the sums ρ_2k + ρ_2k+1 are positive and fall with k. So noise is what comes after
    # the first that is not positive (it is cut off) and what rises (it is held at the least so far).
    last = (length - 1) // 2 * 2
    even, pairs = rho[:last:2], rho[:last:2] + rho[1:last:2]
    kept = np.logical_and.accumulate(pairs > 0, axis=0)
    kept[-1] = False  # the last pair is never summed, so that there is an entry after the sum to add
    ends = np.where(pairs < 0, np.maximum(even, 0), even)
    end = np.take_along_axis(ends, kept.sum(axis=0)[None], axis=0)[0]
    tau = 2 * np.where(kept, np.minimum.accumulate(pairs), 0).sum(axis=0) - 1 + end
    return _where_varying(values, chains * length / np.maximum(tau, 1 / np.log10(chains * length)))
