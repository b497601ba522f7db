"""Intervals of 95 % for ratios over networks that share base networks and D'. Numpy and scipy only.

A score is a ratio of sums, R = Σ a / Σ b over networks. Networks are clustered crosswise: every base network
meets every D'. With main effects of each of the d ways (factors) of clustering,

    V     = Σ_i V_i - (d - 1) W,   and no less than any V_i
    V_i   = (G_i - 1) / G_i Σ_g (R̂ - R̂_g)²     R̂_g without cluster g, one of the G_i of a way
    W     = Σ w² / (f m),  w what all ways together leave of the residuals (a - R̂ b) / mean(b) of the m
            networks, f their degrees of freedom
    R̂ ± q √V

V_i is the jackknife of a way; a cluster that has much of the shift counts for what it holds. W stands in
every V_i once, and counts once. (The sum is that of Cameron, Gelbach and Miller, J. Bus. Econ. Stat. 29,
2011, its intersection made unbiased: Σ e² in its place subtracts a part of the clusters' effects, too. The
jackknife in such a sum: MacKinnon, Nielsen and Webb, arXiv 2406.08880.) The quantile q has few degrees of
freedom, f_i = G_i - 1 for V_i alone. With the shares s_i = (V_i - W/4)+ / Σ (V_j - W/4)+,

    q     = (1 - λ) t(1 / Σ s_i² / f_i) + λ Σ s_i t(f_i),     λ = (1 - min f / max f)⁴

The first is Satterthwaite's, which covers too little where a way with very few clusters counts most, the
second that of Cochran and Cox, which covers too much. λ, and how much noise is taken off the shares, were
chosen by simulation: all designs of 3 to 8 base networks and 2 to 5 D' are covered within 3 points
(docs/theory.md).

A way whose clusters lie inside those of another (base networks of one draw of the process) is omitted, as the
clusters of the other carry its effects. With one cluster in any other way there is no interval and no
standard error: nothing in the data says how far another base network, or another D', would be from these.
Nor is there one where a single cluster has all of the shift. An imported table of one base model is about
this very model, and no sample of models: there the one way is D', V the jackknife over its G finetuning
seeds and q = t(G - 1), and the interval says nothing of another base model.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import stdtrit

from experiments.storage.records import Interval

LEVEL = 0.95
NOISE = 0.25  # of W, taken off the parts before they are compared
ALIKE = 1e-9  # of a mean square: clusters of one factor that those of the others make up
Ratio: TypeAlias = tuple[np.ndarray, np.ndarray]
"""What is summed above and below, over networks (..., m)."""


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error and its interval of 95 %; both None where a factor has one cluster."""

    value: float
    standard_error: float | None = None
    interval: Interval | None = None

    @property
    def above(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.interval is not None and self.interval[0] > 0

    @property
    def below(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.interval is not None and self.interval[1] < 0


def clusters(
    draws: Sequence[int], bases: Sequence[int], seeds: Sequence[int], *, of_one_model: bool = False
) -> list[Sequence[int]]:
    """The ways of clustering networks: base networks, and D', of which each draw of the process has its own;
    draws of the process, too, where there are several. `of_one_model`: D' alone."""
    most = max(seeds, default=0) + 1
    documents = [draw * most + seed for draw, seed in zip(draws, seeds, strict=True)]
    return [*[draws] * (len(set(draws)) > 1), *[bases] * (not of_one_model), documents]


def ratio(above: np.ndarray, below: np.ndarray, clusters: Sequence[Sequence[int]]) -> Estimate:
    """Σ above / Σ below over networks (m,); without an interval where that is not finite.

    `clusters` has for each factor of clustering the cluster of each network, (d, m).
    """
    return _estimate(_value(above, below), [(above, below)], clusters)


def ratio_difference(first: Ratio, second: Ratio, clusters: Sequence[Sequence[int]]) -> Estimate:
    """Σ above / Σ below of the first pair less that of the second, over the same networks (m,)."""
    return _estimate(_value(*first) - _value(*second), [first, second], clusters)


def mean(values: np.ndarray, clusters: Sequence[Sequence[int]]) -> Estimate:
    """The mean over networks (m,)."""
    return ratio(values, np.ones_like(values), clusters)


def _value(above: np.ndarray, below: np.ndarray) -> float:
    return float(above.sum() / below.sum()) if below.sum() > 0 else float("nan")


def _estimate(value: float, ratios: Sequence[Ratio], clusters: Sequence[Sequence[int]]) -> Estimate:
    spread = half_width(ratios, clusters) if np.isfinite(value) else None
    if spread is None or not np.isfinite(spread[1]):
        return Estimate(value)
    error, half = map(float, spread)
    return Estimate(value, error, (value - half, value + half))


def half_width(
    ratios: Sequence[Ratio], clusters: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Standard error and half of the interval (...) of a ratio, or of the first less the second.

    None where a factor of clustering has one cluster alone; ∞ or nan where a cluster has all that is below.
    """
    design = _design(tuple(tuple(factor) for factor in clusters))
    counts = np.array([len(factor.starts) for factor in design.factors])
    if min(counts, default=1) < 2:
        return None
    residuals = _less(*(_residuals(*pair) for pair in ratios))
    moves = [_less(*(_without(*pair, factor) for pair in ratios)) for factor in design.factors]
    sums = [np.sum(np.square(move), axis=-1) for move in moves]
    parts = np.stack(sums, axis=-1) * (counts - 1) / counts
    left = np.sum(np.square(design.remaining(residuals)), axis=-1)
    shared = left / max(design.free, 1) / residuals.shape[-1]
    variance = np.maximum(parts.sum(axis=-1) - (len(counts) - 1) * shared, parts.max(axis=-1))
    apart = np.maximum(parts - NOISE * (len(counts) > 1) * shared[..., None], 0.0)
    return np.sqrt(variance), _quantile(apart, counts - 1) * np.sqrt(variance)


def _residuals(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    value = above.sum(axis=-1, keepdims=True) / below.sum(axis=-1, keepdims=True)
    return (above - value * below) / below.mean(axis=-1, keepdims=True)


def _without(above: np.ndarray, below: np.ndarray, factor: "_Factor") -> np.ndarray:
    """The loss (..., g) of a ratio by omission of each cluster of a factor."""
    parts = factor.sums(above), factor.sums(below)
    whole = [part.sum(axis=-1, keepdims=True) for part in parts]
    with np.errstate(divide="ignore", invalid="ignore"):
        return whole[0] / whole[1] - (whole[0] - parts[0]) / (whole[1] - parts[1])


def _less(first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    return first if second is None else first - second


def _quantile(parts: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The quantile q (...,) of variances (..., d) with degrees of freedom (d,)."""
    whole = parts.sum(axis=-1, keepdims=True)
    most = np.eye(len(free))[np.argmax(free)]  # of noise alone, which many clusters know best
    known = np.isfinite(whole) & (whole > 0)
    shares = np.where(known, parts / np.where(known, whole, 1.0), most)
    quantile = functools.partial(_t, np.asarray(0.5 + LEVEL / 2))
    satterthwaite = quantile(1 / np.sum(shares**2 / free, axis=-1))
    cochran_cox = np.sum(shares * quantile(free), axis=-1)
    weight = (1 - free.min() / free.max()) ** 4
    return (1 - weight) * satterthwaite + weight * cochran_cox


def _t(level: np.ndarray, free: np.ndarray) -> np.ndarray:
    return np.asarray(stdtrit(free, level))


@dataclass(frozen=True)
class _Factor:
    """A way of clustering m networks in g clusters: the cluster `of` (m,) each, networks in the `order` (m,)
    of clusters, and where each of these `starts` (g,) there."""

    of: np.ndarray
    order: np.ndarray
    starts: np.ndarray

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums (..., g) of values (..., m) over each cluster."""
        return np.add.reduceat(values[..., self.order], self.starts, axis=-1)

    def without_means(self, values: np.ndarray) -> np.ndarray:
        """Values (..., m) less the mean of their cluster."""
        sizes = np.diff(self.starts, append=len(self.of))
        return values - (self.sums(values) / sizes)[..., self.of]


@dataclass(frozen=True)
class _Design:
    """The factors of clustering, and the degrees of freedom of what they leave together.

    `largest` is the factor of most clusters, which is taken off by their means; `others` (m, g) are the
    indicators of the clusters of all others, less these means, and `solve` (g, g) the pseudo-inverse of
    their products. So nothing has the size of networks × networks.
    """

    factors: tuple[_Factor, ...]
    largest: _Factor
    others: np.ndarray
    solve: np.ndarray
    free: int

    def remaining(self, values: np.ndarray) -> np.ndarray:
        """Values (..., m) less their projection on the clusters of all factors."""
        left = self.largest.without_means(values)
        return left - left @ self.others @ self.solve @ self.others.T


@functools.lru_cache(maxsize=256)
def _design(clusters: tuple[tuple[int, ...], ...]) -> _Design:
    factors = tuple(_factor(factor) for factor in _outermost(clusters))
    *smaller, largest = sorted(factors, key=lambda factor: len(factor.starts))
    networks = len(clusters[0])
    indicators = [np.eye(len(factor.starts))[factor.of] for factor in smaller]
    others = np.concatenate([np.zeros((networks, 0)), *indicators], axis=1)
    others = np.ascontiguousarray(largest.without_means(others.T).T)
    values, vectors = np.linalg.eigh(others.T @ others)
    known = values > ALIKE * networks
    vectors = vectors[:, known]
    solve = vectors / values[known] @ vectors.T
    return _Design(factors, largest, others, solve, networks - len(largest.starts) - int(known.sum()))


def _factor(clusters: tuple[int, ...]) -> _Factor:
    _, of, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    return _Factor(of, np.argsort(of, kind="stable"), np.cumsum(counts) - counts)


def _outermost(clusters: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """The factors whose clusters do not lie inside those of another, of equal ones the first.

    Everything lies inside a single cluster, which is kept besides, as it leaves nothing to compare.
    """
    kept: list[tuple[int, ...]] = []
    for index, factor in enumerate(clusters):
        others = [
            other
            for position, other in enumerate(clusters)
            if position != index
            and len(set(other)) > 1
            and len(set(zip(factor, other, strict=True))) == len(set(factor))
        ]
        coarser = [other for other in others if len(set(other)) < len(set(factor))]
        if not coarser and factor not in kept:
            kept.append(factor)
    return kept
