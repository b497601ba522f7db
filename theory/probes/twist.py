"""Twists: cosines of two curves in a head, of which turned so that a number meets that a fixed lag ahead.

    M[c, w]    cosine of R W_Q μ_c and W_K ν_w, both curves centred; R = 1 for the head itself
    share      of the variance of M beyond a function of c and one of w, what a function of w - c has: 1 where
               M depends on their difference alone
    offset     the lag w - c at which the mean of M is largest
    rotated    the share with R a random rotation of the head's space: few dimensions align many points by
               chance

(Gurnee et al., When Models Manipulate Manifolds, 2025: in boundary heads the cosine peaks on an off-diagonal,
and nowhere in the raw stream.) Arrays are numpy's; no jax.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import orth

from theory.errors import Misuse

PAIRS = 4  # a mean by lag is of at least so many


@dataclass(frozen=True)
class Difference:
    """Matrices M (c, w) as functions of the difference of two numbers: orthonormal bases (c w, r) of what is
    a function of one number, and of what is that or a function of the lag."""

    lags: Int[np.ndarray, "c w"]
    single: Float[np.ndarray, "m r"]
    both: Float[np.ndarray, "m q"]

    @classmethod
    def of(cls, first: Int[np.ndarray, " c"], second: Int[np.ndarray, " w"]) -> Self:
        """Of the values of both numbers."""
        lags = np.asarray(second)[None] - np.asarray(first)[:, None]
        if min(lags.shape) < 3:
            raise Misuse(f"A difference of numbers needs three values of both, got {lags.shape}.")
        rows, columns = (axis.reshape(-1) for axis in np.indices(lags.shape))
        parts = [np.equal.outer(part, np.unique(part)) for part in (rows, columns, lags.reshape(-1))]
        single = np.concatenate(parts[:2], axis=1).astype(float)
        return cls(lags, orth(single), orth(np.concatenate([single, parts[2]], axis=1)))

    def share(self, matrices: Float[np.ndarray, "*s c w"]) -> Float[np.ndarray, "*s"]:
        """The share of a function of the lag; 0 where nothing is left for it."""
        flat = matrices.reshape(*matrices.shape[:-2], -1)
        flat = flat - flat.mean(axis=-1, keepdims=True)
        total, single, both = (
            np.sum(np.square(part), axis=-1) for part in (flat, flat @ self.single, flat @ self.both)
        )
        left = total - single
        return np.where(left > 1e-12 * total, (both - single) / np.where(left > 0, left, 1), 0.0)

    def interaction(self, matrix: Float[np.ndarray, "*s c w"]) -> Float[np.ndarray, "*s c w"]:
        """The part that no sum of a function of one number and one of the other has."""
        flat = matrix.reshape(*matrix.shape[:-2], -1)
        return (flat - flat @ self.single @ self.single.T).reshape(matrix.shape)

    def offset(self, matrix: Float[np.ndarray, "c w"]) -> int:
        """The lag with the largest mean, of those with enough pairs."""
        lags, counts = np.unique(self.lags, return_counts=True)
        lags = lags[counts >= min(PAIRS, counts.max())]
        return int(lags[np.argmax([matrix[self.lags == lag].mean() for lag in lags])])


def cosines(
    first: Float[np.ndarray, "... c k"], second: Float[np.ndarray, "... w k"]
) -> Float[np.ndarray, "... c w"]:
    """Cosines of the points of two curves, each centred."""
    sides = [part - part.mean(axis=-2, keepdims=True) for part in (first, second)]
    sides = [part / np.maximum(np.linalg.norm(part, axis=-1, keepdims=True), 1e-12) for part in sides]
    return sides[0] @ sides[1].swapaxes(-1, -2)


def rotations(size: int, count: int, random: np.random.Generator) -> Float[np.ndarray, "s k k"]:
    """Uniform random orthogonal matrices."""
    drawn, upper = np.linalg.qr(random.normal(size=(count, size, size)))
    return drawn * np.sign(np.diagonal(upper, axis1=1, axis2=2))[:, None]


def rotated(
    first: Float[np.ndarray, "c k"], second: Float[np.ndarray, "w k"], turns: Float[np.ndarray, "s k k"]
) -> Float[np.ndarray, "s c w"]:
    """Cosines after every rotation of the first curve."""
    return cosines(first @ turns.swapaxes(1, 2), second[None])
