"""Curves in a stream: how its mean moves as a number goes from value to value.

    μ_c         mean of the normalised streams where the number is c, centred over values; beliefs that go
                with the number can be held equal
    dimension   principal components of μ for 95 % of its variance. A code of k cells that do not overlap
                needs about 0.95 (k - 1); smooth cells need fewer, a straight line needs one
    ρ(lag)      mean cosine of μ_c and μ_c' at |c - c'| = lag. Ringing is the largest rise of ρ with the lag:
                of a straight line 0 (Gurnee et al., When Models Manipulate Manifolds, 2025)
    helix       μ_c ≈ a_0 + a_1 c + a_2 cos 2πc/T + a_3 sin 2πc/T,  fitted, T included, on every other value
                and scored on those between: R². Any smooth curve is fitted well so. A helix is fitted better
                than random curves of the same spectrum; so is a smooth place code, of other R² and dimension.
                One whose period is longer than the curve is an arc
    surrogate   a random curve with the singular values of μ, its components those of a Gaussian curve with
                the power of μ at each frequency along c (own derivation): as smooth, and of the same
                dimension. Components of any smooth curve look like waves, and those of surrogates do as well

Arrays are numpy's; no jax.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from theory.errors import Misuse

Points: TypeAlias = Float[np.ndarray, "c d"]
SHARE = 0.95  # of variance, in a dimension
PAIRS = 4  # a mean cosine by lag is of at least so many
SHORTEST, PERIODS = 4.0, 40  # the least period of a helix, in steps of the number, and how many are tried
FEWEST = 8  # values of a curve: half of them fit a helix


def longest_run(numbers: Int[np.ndarray, " n"], least: int) -> Int[np.ndarray, " c"]:
    """The longest run of values that `least` rows have each."""
    enough = np.flatnonzero(np.bincount(numbers) >= least)
    return max(np.split(enough, np.flatnonzero(np.diff(enough) > 1) + 1), key=len)


@dataclass(frozen=True)
class Curve:
    """Points (c, d) at ascending values (c,) in equal steps."""

    values: Int[np.ndarray, " c"]
    points: Points

    def __post_init__(self) -> None:
        if len(self.values) < FEWEST or len(set(np.diff(self.values))) > 1:
            raise Misuse(
                f"A curve needs at least {FEWEST} values in equal steps, got {list(self.values)}; read more "
                "documents, or ask for fewer positions a value."
            )

    @classmethod
    def of(
        cls,
        streams: Float[np.ndarray, "n d"],
        numbers: Int[np.ndarray, " n"],
        least: int,
        equal: Float[np.ndarray, "n f"] | None = None,
    ) -> Self:
        """Mean streams by number, for the longest run of values that `least` rows have each. Of what is held
        `equal`, the part that goes with the number is taken off, as it goes with streams at one number."""
        counts, values = np.bincount(numbers), longest_run(numbers, least)
        rows = np.asarray(streams, float)
        means = _means(rows, numbers, counts)
        points = means[values]
        if equal is not None:
            held = _means(equal, numbers, counts)
            slope = np.linalg.lstsq(equal - held[numbers], rows - means[numbers], rcond=1e-9)[0]
            points = points - (held[values] - equal.mean(axis=0)) @ slope
        return cls(values, points)

    @property
    def centred(self) -> Points:
        """Points less their mean over values."""
        return self.points - self.points.mean(axis=0)

    def shares(self) -> Float[np.ndarray, " r"]:
        """Share of the variance in each principal component."""
        squares = np.linalg.svd(self.centred, compute_uv=False) ** 2
        return squares / squares.sum()

    def spectrum(self, count: int) -> Float[np.ndarray, " n"]:
        """The share of the variance in the first 1 to `count` principal components."""
        return np.cumsum(np.pad(self.shares(), (0, count)))[:count]

    def dimension(self, share: float = SHARE) -> int:
        """Fewest principal components that have a share of the variance."""
        return int(np.searchsorted(np.cumsum(self.shares()), share - 1e-9) + 1)

    def by_lag(self) -> Float[np.ndarray, " lags"]:
        """Mean cosine of points by the lag of their values, from 0 to the last with enough pairs."""
        length = np.linalg.norm(self.centred, axis=1, keepdims=True)
        cosines = (self.centred / length) @ (self.centred / length).T
        return np.array([np.diagonal(cosines, lag).mean() for lag in range(len(self.values) - PAIRS + 1)])

    def ringing(self) -> float:
        """The largest rise of the mean cosine from a lag to a longer one."""
        profile = self.by_lag()
        return float(np.max(profile - np.minimum.accumulate(profile)))

    def surrogates(self, count: int, random: np.random.Generator) -> Float[np.ndarray, "s c r"]:
        """Random smooth curves of the same spectrum, in coordinates of their components."""
        sizes = np.linalg.svd(self.centred, compute_uv=False)[: len(self.values) - 1]
        waves = _waves(len(self.values))
        power = np.sum((waves @ self.centred) ** 2, axis=1)
        drawn = random.normal(size=(count, len(waves), len(sizes))) * sizes
        curves = waves.T @ (np.sqrt(power)[:, None] * drawn)
        components = np.linalg.svd(curves, full_matrices=False)[0]
        return components * sizes


class HelixFit(NamedTuple):
    """R² of a helix and of a straight line between the values that they are fitted on, and the helix's period
    in steps of the number."""

    helix: float
    line: float
    period: float


def fit_helix(curve: Curve) -> HelixFit:
    """The helix nearest to a curve."""
    return HelixFit(*(float(part[0]) for part in _between(curve.centred[None])))


def surrogate_helices(curve: Curve, count: int, random: np.random.Generator) -> Float[np.ndarray, " s"]:
    """R² of the helices nearest to random smooth curves of the same spectrum."""
    return _between(curve.surrogates(count, random))[0]


def _between(curves: Float[np.ndarray, "s c d"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every curve R² of helix and line on every other value, fitted on those between, and the period."""
    steps = np.arange(curves.shape[1], dtype=float)
    line = np.stack([np.ones_like(steps), steps], axis=1)
    periods = np.geomspace(SHORTEST, 2 * len(steps), PERIODS)
    turns = 2 * np.pi * steps / periods[:, None]
    lines = np.broadcast_to(line, (PERIODS, *line.shape))
    helices = np.concatenate([lines, np.cos(turns)[..., None], np.sin(turns)[..., None]], axis=2)
    inside, between = curves[:, ::2], curves[:, 1::2]

    def r_squared(basis: np.ndarray, rows: slice, targets: np.ndarray) -> np.ndarray:
        """Of every basis (b, c, k) and curve, (b, s)."""
        maps = basis[:, rows] @ np.linalg.pinv(basis[:, ::2])
        read = (maps @ inside.swapaxes(0, 1).reshape(inside.shape[1], -1)).swapaxes(0, 1)
        missed = targets - read.reshape(-1, len(maps), *inside.shape[::2]).transpose(1, 2, 0, 3)
        total = np.sum((targets - inside.mean(axis=1, keepdims=True)) ** 2, axis=(1, 2))
        return 1 - np.sum(missed**2, axis=(2, 3)) / total

    odd, even = slice(1, None, 2), slice(0, None, 2)
    best = np.argmax(r_squared(helices, even, inside), axis=0)
    scored = r_squared(helices, odd, between)[best, np.arange(len(curves))]
    return scored, r_squared(line[None], odd, between)[0], periods[best]


def _means(
    rows: Float[np.ndarray, "n d"], numbers: Int[np.ndarray, " n"], counts: Int[np.ndarray, " v"]
) -> Float[np.ndarray, "v d"]:
    """Means by number; 0 where there is none."""
    sums = np.stack([np.bincount(numbers, column, len(counts)) for column in rows.T], axis=1)
    return sums / np.maximum(counts, 1)[:, None]


def _waves(count: int) -> Float[np.ndarray, "k c"]:
    """The orthonormal cosines of a discrete cosine transform but the constant, by ascending frequency."""
    steps = np.arange(count) + 0.5
    return np.sqrt(2 / count) * np.cos(np.pi * np.arange(1, count)[:, None] * steps / count)


def place_code(cells: int, width: float = 0.0) -> Curve:
    """A code of so many cells with Gaussian tuning of a width in steps of the number, one at every value; of
    width 0, cells that do not overlap."""
    values = np.arange(cells)
    apart = values[:, None] - values
    return Curve(values, np.exp(-0.5 * (apart / width) ** 2) if width else np.eye(cells))
