"""Ablation of a subspace: streams lose what they have of it, and keep its mean.

    h -> h + P (m - h),   P the projection onto the subspace, m the mean stream

What it costs is compared with random subspaces of the same dimension, spanned by directions of N(0, Σ), in
which streams vary as they do: removed whole, or by a factor with which as much variance goes as with the
first.
Arrays are numpy's; no jax.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float

from theory.errors import Misuse
from theory.probes.codes import Streams
from theory.probes.curves import Curve
from theory.probes.subspaces import Covariance, covariance


@dataclass(frozen=True)
class Subspace:
    """An orthonormal basis (d, r), and the mean (d,) that is put in place of what varies."""

    basis: Float[np.ndarray, "d r"]
    mean: Float[np.ndarray, " d"]

    @classmethod
    def of_curve(cls, curve: Curve, mean: Float[np.ndarray, " d"]) -> Self:
        """The principal components that a curve's dimension counts."""
        components = np.linalg.svd(curve.centred, full_matrices=False)[2]
        return cls(components[: curve.dimension()].T, mean)

    @property
    def dimension(self) -> int:
        """Number of directions."""
        return self.basis.shape[1]

    def steps(self, streams: Streams) -> Streams:
        """From every stream to itself without the subspace, P (m - h)."""
        return (self.mean - np.asarray(streams, float)) @ self.basis @ self.basis.T

    def variance(self, streams_covariance: Covariance) -> float:
        """Variance of the streams in the subspace."""
        return float(np.trace(self.basis.T @ streams_covariance @ self.basis))

    def others(
        self, streams: Streams, count: int, random: np.random.Generator
    ) -> "list[tuple[Subspace, float]]":
        """So many random subspaces of the same dimension in which streams vary, each with the factor of its
        steps that removes as much variance from them as this one does."""
        spread = covariance(streams)
        values, vectors = np.linalg.eigh(spread)
        size = self.variance(spread)
        if not size > 0:
            raise Misuse("A subspace in which streams do not vary has no others that remove as much, got 0.")
        root = vectors * np.sqrt(np.maximum(values, 0))
        drawn = []
        for _ in range(count):
            directions = root @ random.normal(size=(len(values), self.dimension))
            other = Subspace(np.linalg.qr(directions)[0], self.mean)
            drawn.append((other, float(np.sqrt(size / other.variance(spread)))))
        return drawn
