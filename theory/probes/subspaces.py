"""Directions in a stream: the pattern of a probe, angles between subspaces, and erasure of a target.

    A    filters of a probe (d, k), what reads:  k numbers Aᵀ h
    U    its pattern (d, k), what writes:  U = Σ A (Aᵀ Σ A)⁺     (Haufe et al., NeuroImage 87, 2014)
    Σ    covariance of the streams

Read with the filter, steer with the pattern: Aᵀ U = 1, so adding x U_k raises number k by x, and among all
such directions the pattern is the one along which streams vary when that number does. Log-odds have a
constant that is free, so there Aᵀ U = 1 - 11ᵀ/k: x U_k raises the log-odds of k against any other by x nats.

    angles      principal angles between subspaces after whitening by Σ^-½: what the streams' shape is, or in
                which linear coordinates they are written, then has no say
    erasure     r(h) = h - W⁺ P W (h - μ),  W = Σ^-½,  P the projection onto the span of W Σ_hz:  of all
                affine maps after which no linear probe finds z, the one that changes h least
                (LEACE; Belrose et al., arXiv 2306.03819, theorem 4.2)

Streams are normalised before anything is fitted: each reader in a pre-norm transformer sees that, and the
first component of raw streams is mostly their norm. Arrays are numpy's; no jax.
"""

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.linalg import orth, subspace_angles

from theory.errors import Misuse
from theory.probes.codes import Streams, Targets

Directions: TypeAlias = Float[np.ndarray, "d k"]
Covariance: TypeAlias = Float[np.ndarray, "d d"]
EPSILON = 1e-6  # of root-mean-square normalisation, as in models.transformer
FLAT = 1e-10  # share of the largest variance below which streams do not vary


def normalise(streams: Streams) -> Streams:
    """Streams as the blocks and the read-out see them: each of root mean square 1."""
    return np.asarray(streams, float) / sizes(streams)


def sizes(streams: Streams) -> Float[np.ndarray, "*streams 1"]:
    """Root mean square of raw streams: what a direction of normalised ones is as long as in them."""
    return np.sqrt(np.mean(np.square(streams, dtype=float), axis=-1, keepdims=True) + EPSILON)


def covariance(streams: Streams) -> Covariance:
    """Σ of streams (..., d)."""
    rows = np.asarray(streams, float).reshape(-1, np.shape(streams)[-1])
    return np.cov(rows, rowvar=False, bias=True).reshape(rows.shape[1], rows.shape[1])


def pattern(filters: Directions, streams_covariance: Covariance) -> Directions:
    """U, the directions to steer along."""
    written = streams_covariance @ filters
    return written @ np.linalg.pinv(filters.T @ written, rcond=1e-10, hermitian=True)


def angles(
    first: Directions, second: Float[np.ndarray, "d j"], streams_covariance: Covariance
) -> Float[np.ndarray, " a"]:
    """Principal angles (radians, ascending) between the spans of patterns, in whitened coordinates."""
    whiten, _ = _roots(streams_covariance)
    spans = [whiten @ directions for directions in (first, second)]
    for span in spans:
        if not orth(span).size:
            raise Misuse("An angle needs directions along which streams vary, got none.")
    return subspace_angles(*spans)[::-1]


@dataclass(frozen=True)
class Erasure:
    """The affine map h -> `matrix` h + `shift` after which no linear probe finds a target."""

    matrix: Float[np.ndarray, "d d"]
    shift: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, streams: Streams, targets: Targets) -> Self:
        """The erasure of targets (..., k) from streams (..., d) of the same rows, exact on these."""
        rows = np.asarray(streams, float).reshape(-1, np.shape(streams)[-1])
        numbers = np.asarray(targets, float).reshape(-1, np.shape(targets)[-1])
        if len(rows) != len(numbers):
            raise Misuse(
                "Streams and targets must have the same rows, got "
                f"{np.shape(streams)} and {np.shape(targets)}."
            )
        mean = rows.mean(axis=0)
        whiten, colour = _roots(covariance(rows))
        basis = orth(whiten @ ((rows - mean).T @ (numbers - numbers.mean(axis=0)) / len(rows)), rcond=1e-9)
        removed = colour @ basis @ basis.T @ whiten
        return cls(np.eye(len(mean)) - removed, removed @ mean)

    def __call__(self, streams: Streams) -> Streams:
        """Streams without the target."""
        return np.asarray(streams, float) @ self.matrix.T + self.shift


def _roots(streams_covariance: Covariance) -> tuple[Covariance, Covariance]:
    """Σ^-½ and Σ^½ on the directions in which streams vary, 0 on the others."""
    values, vectors = np.linalg.eigh(streams_covariance)
    varies = values > FLAT * values.max()
    scales, vectors = np.sqrt(values[varies]), vectors[:, varies]
    return (vectors / scales) @ vectors.T, (vectors * scales) @ vectors.T
