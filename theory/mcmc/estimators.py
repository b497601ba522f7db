"""Estimates from chains of a localised posterior, with standard errors: learning coefficient to free energy.

    p(w) ∝ exp( -β n L_n(w) - (γ/2) |w - w0|² ),      n L_n(w) = Σ_i ℓ_i(w)

    learning coefficient   λ̂ = β n (E L_n - L_n(w0))                 Lau et al., arXiv 2308.12108
    susceptibility         d⟨φ⟩/dβ = -Cov(φ, Σ_i ℓ_i)                Baker et al., arXiv 2504.18274
    influence              d⟨φ⟩/du_i = -β Cov(φ, ℓ_i)                Kreer et al., arXiv 2509.26544
    free energy            -log Z(β₁)/Z(β₀) = ∫ E_β[n L_n] dβ        thermodynamic integration

ℓ_i is the negative log-likelihood (nats) of the counted positions of document i of D', u_i a factor on it (1
in the chain). The covariances are exact derivatives of the sampled law, not approximations: the first holds
at the strength of the chain (β = 0 too), for φ(w) that do not themselves depend on β or u.

Errors are sampling errors; a bias of the sampler is not in them (see theory.mcmc.diagnostics). That of a mean
is √(variance / ESS): ESS from the spread between half chains and the autocorrelations within (Geyer's initial
monotone sequence, Vehtari et al., arXiv 1903.08008), of the samples themselves, not of their ranks. A
covariance is first made a mean, of the jackknife's pseudo-values over blocks of samples. Errors of a quantity
that never changes, or is not finite somewhere, are nan. Axes: c chains, s samples, o observables,
n documents.
"""

from dataclasses import dataclass
from typing import SupportsFloat, TypeAlias

import numpy as np
from jaxtyping import Array, Float
from numpyro.diagnostics import effective_sample_size

from theory.base import Betas, check_ladder
from theory.errors import Misuse
from theory.mcmc.diagnostics import Draws

BLOCKS = 50  # of a chain's samples, for covariances

PerDraw: TypeAlias = Float[Array, "_c _s"] | Float[np.ndarray, "_c _s"]
PerDocument: TypeAlias = Float[Array, "_c _s n"] | Float[np.ndarray, "_c _s n"]
PerBeta: TypeAlias = Float[Array, " _b"] | Float[np.ndarray, " _b"]
Several: TypeAlias = Float[Array, " r"] | Float[np.ndarray, " r"]


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error, arrays of one shape and unit."""

    value: Float[np.ndarray, "*o"]
    error: Float[np.ndarray, "*o"]


@dataclass(frozen=True)
class FreeEnergy:
    """-log Z(β₁)/Z(β₀) in nats: `error` from the means, `discretisation` from the gaps of the ladder.

    `discretisation` is the change when every other strength is omitted, about 15 times the remaining error
    on a smooth ladder that is fine enough, and no bound on one too coarse; it contains noise of size `error`.
    """

    value: float
    error: float
    discretisation: float


def expectation(samples: Draws) -> Estimate:
    """The posterior expectation of samples (c, s, ...): their mean over chains and samples."""
    values = _checked(samples)
    return Estimate(np.asarray(values.mean(axis=(0, 1))), _error(values))


def learning_coefficient(
    losses: PerDraw, baseline: SupportsFloat | Several, beta_n: SupportsFloat
) -> Estimate:
    """λ̂ = βn (E L - L(w0)), a pure number: half the effective dimension at L's scale 1/(βn).

    `losses` is L(w) of every sample and `baseline` L(w0), both on the whole data: nats a document with
    `beta_n` = βn, or nats a counted position with `beta_n` = β times the counted positions. From minibatches,
    another for each sample, losses are noisier and the error is larger; `baseline` is then an array of
    estimates at w0 from minibatches independent of each other and of the chains, whose error is added.
    Losses in single precision are rounded by about 6e-8 L, so λ̂ by as much as βn times that.

    λ̂ contains the localisation: with curvatures h_i it is ½ Σ βn h_i / (βn h_i + γ), not half the number of
    parameters. Without, λ̂ → λ as βn → ∞, as slowly as λ - (m - 1)/log βn where the multiplicity m is not 1.
    """
    strength = float(beta_n)
    if not 0 < strength < float("inf"):
        raise Misuse(f"beta_n must be above 0 and finite, got {strength}.")
    several = np.asarray(baseline, dtype=float)
    if several.ndim and several.size < 2:
        raise Misuse(
            f"An estimated baseline needs two or more independent estimates, got {several.size}; pass a "
            "plain number for a loss on the whole data."
        )
    noise = several.std(ddof=1) / np.sqrt(several.size) if several.ndim else 0.0
    mean = expectation(losses)
    error = np.sqrt(mean.error**2 + noise**2)
    return Estimate(np.asarray(strength * (mean.value - several.mean())), np.asarray(strength * error))


def susceptibility(observables: Draws, potential: PerDraw, blocks: int = BLOCKS) -> Estimate:
    """d⟨φ⟩/dβ = -Cov(φ, Σ_i ℓ_i) for observables (c, s, ...): their unit per unit of β.

    `potential` is n L_n(w) of every sample: the loss summed over D' (nats), without β and without the prior.
    """
    shape = np.shape(observables)[2:]
    covariance = _covariance(observables, np.asarray(potential)[..., None], blocks)
    return Estimate(np.asarray(-covariance.value.reshape(shape)), covariance.error.reshape(shape))


def influence(observables: Draws, losses: PerDocument, beta: SupportsFloat, blocks: int = BLOCKS) -> Estimate:
    """d⟨φ⟩/du_i = -β Cov(φ, ℓ_i), shape (..., n), for observables (c, s, ...) and losses ℓ_i (nats).

    To first order the observable moves by minus this when document i is omitted, by plus this when it is
    counted twice. The sum over all documents is β times the susceptibility.
    """
    strength = float(beta)
    if not 0 <= strength < float("inf"):
        raise Misuse(f"beta must be at least 0 and finite, got {strength}.")
    shape = *np.shape(observables)[2:], np.shape(losses)[2]
    covariance = _covariance(observables, losses, blocks)
    return Estimate(-strength * covariance.value.reshape(shape), strength * covariance.error.reshape(shape))


def free_energy(betas: Betas, mean_losses: PerBeta, errors: PerBeta) -> FreeEnergy:
    """-log Z(β₁)/Z(β₀) = ∫ E_β[n L_n] dβ over an ascending ladder, Z(β) the integral of e^{-βnL_n} prior.

    `mean_losses` is E_β[n L_n] (nats, summed over D') of an independent run at each strength, `errors` its
    standard errors. From β = 0 to 1 it is minus the log evidence. The loss falls fastest near the prior, so
    strengths belong there, as in (i/b)⁵ (Friel & Pettitt 2008). Losses and strengths are cubic splines of
    the ladder's *index*: Simpson's order on any smooth ladder, uniform in β or not, of any length.
    """
    strengths, values, noise = (np.asarray(array, dtype=float) for array in (betas, mean_losses, errors))
    check_ladder(strengths)
    if len(strengths) < 3 or not np.all(np.diff(strengths) > 0):
        raise Misuse(f"A free energy needs three or more ascending strengths, got {strengths.tolist()}.")
    if not strengths.shape == values.shape == noise.shape:
        raise Misuse(
            f"Every strength needs a mean loss and an error, got {len(strengths)} strengths, {len(values)} "
            f"mean losses and {len(noise)} errors."
        )
    rule = _quadrature(strengths)
    half = np.union1d(np.arange(0, len(strengths), 2), len(strengths) - 1)
    value, coarse = rule @ values, _quadrature(strengths[half]) @ values[half]
    return FreeEnergy(float(value), float(np.sqrt(rule**2 @ noise**2)), float(abs(value - coarse)))


def _checked(samples: Draws) -> Float[np.ndarray, "c s *o"]:
    values = np.asarray(samples, dtype=float)
    if values.shape[1] < 10:
        raise Misuse(f"An error needs ten or more samples of every chain, got {values.shape[1]}; take more.")
    return values


@np.errstate(invalid="ignore", divide="ignore")
def _error(values: Float[np.ndarray, "c s *o"]) -> Float[np.ndarray, "*o"]:
    """Standard error of the mean of (c, s, ...), by the ESS of half chains."""
    # Halves differ where a chain has a trend, so that a single chain too shows that it has not converged.
    half = values.shape[1] // 2
    halves = np.concatenate([values[:, :half], values[:, -half:]])
    size, largest = halves.shape[0] * half, np.log10(halves.shape[0] * half)
    within = halves.var(axis=1, ddof=1).mean(axis=0) * (half - 1) / half
    share = effective_sample_size(halves) / size  # below 0 where alternating samples cancel
    share = np.where(share > 0, np.minimum(share, largest), largest)
    error = np.sqrt((within + halves.mean(axis=1).var(axis=0, ddof=1)) / (size * share))
    return np.where(values.max(axis=(0, 1)) > values.min(axis=(0, 1)), error, np.nan)


def _covariance(left: Draws, right: PerDocument, blocks: int) -> Estimate:
    """Cov(left, right) of samples (c, s, ...), flattened to (p, q), by the jackknife over G blocks in all.

    With φ and ψ centred, the pseudo-value of a block is mean(φψ) + mean(φ) mean(ψ) / (G - 1): their mean is
    unbiased when blocks are independent, and their error is that of a mean. Where φψ is skewed, a standard
    error covers 62 % instead of 68 % at 200 effective samples.
    """
    if np.shape(left)[:2] != np.shape(right)[:2]:
        raise Misuse(
            "Observables and losses must come from the same chains and samples, got shapes "
            f"{np.shape(left)} and {np.shape(right)}."
        )
    chains, samples = np.shape(left)[:2]
    if blocks < 10:
        raise Misuse(f"The jackknife needs ten or more blocks of every chain, got {blocks}.")
    blocks = min(blocks, samples)
    kept = samples // blocks * blocks  # the first few, nearest the warm-up, are omitted
    centred = []
    for values in map(_checked, (left, right)):
        values = values[:, samples - kept :].reshape(chains, blocks, kept // blocks, -1)
        centred.append(values - values.mean(axis=(0, 1, 2)))
    product = np.swapaxes(centred[0], -1, -2) @ centred[1] / (kept // blocks)
    first, second = (values.mean(axis=2) for values in centred)
    pseudo = product + first[..., :, None] * second[..., None, :] / (chains * blocks - 1)
    return Estimate(pseudo.mean(axis=(0, 1)), _error(pseudo))


def _quadrature(nodes: Float[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
    """Weights of ∫ y(i) x'(i) di, x and y the cubic splines of nodes and values: exact by Gauss's rule."""
    from scipy.interpolate import CubicSpline  # takes a while to import

    points, weights = np.polynomial.legendre.leggauss(3)
    index = np.arange(len(nodes))
    at = (index[:-1, None] + (points + 1) / 2).ravel()
    speed = CubicSpline(index, nodes)(at, 1)
    return (np.tile(weights / 2, len(nodes) - 1) * speed) @ CubicSpline(index, np.eye(len(nodes)))(at)
