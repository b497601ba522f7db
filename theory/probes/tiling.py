"""Tiles: whether heads look at their best at different values of a number, and so cover its range.

    p_h(r)     how much head h looks, by a number r in equal steps; its peak is the largest mean of three
    apart      mean |peak_h - peak_g| over pairs of different heads, each of other documents
    within     the same of one head with itself, which is what documents alone make: heads that all have one
               profile have apart - within = 0 on average
    inner      share of heads whose peak is not at an end of the range: a head that looks the more, the larger
               the number, has its peak at the end and is no tile
    line       share of the variance of a head's mean writes by r in their first component, of the mean head;
               that of the sum of all heads is lower where they write along different lines

(Gurnee et al., When Models Manipulate Manifolds, 2025: three heads a layer with different offsets, each
nearly one-dimensional, together a curve.) Arrays are numpy's; no jax.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from theory.errors import Misuse

EDGE = 1  # steps from an end at which a peak is none


class Tiles(NamedTuple):
    """Measures of the heads of a block."""

    apart: float
    within: float
    inner: float
    line_head: float
    line_sum: float


def tiles(profiles: Float[np.ndarray, "2 h r"], writes: Float[np.ndarray, "h r d"]) -> Tiles:
    """Measures of the profiles on two halves of the documents, and of mean writes."""
    if profiles.shape[1] < 2 or profiles.shape[2] < 3:
        raise Misuse(f"Tiles need two heads and three values, got {profiles.shape[1:]}.")
    first, second = peaks(profiles)
    distances = np.abs(np.subtract.outer(first, second)).astype(float)
    within = float(np.mean(np.diagonal(distances)))
    apart = float((distances.sum() - np.trace(distances)) / (distances.size - len(distances)))
    whole = peaks(profiles.mean(axis=0))
    inner = np.mean((whole > EDGE) & (whole < profiles.shape[2] - 1 - EDGE))
    heads = np.mean([line_share(part) for part in writes])
    return Tiles(apart, within, float(inner), float(heads), line_share(writes.sum(axis=0)))


def peaks(profiles: Float[np.ndarray, "*s r"]) -> np.ndarray:
    """The step (*s,) at which the mean of three neighbours is largest; ends count twice."""
    wide = np.concatenate([profiles[..., :1], profiles, profiles[..., -1:]], axis=-1)
    return np.argmax(wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:], axis=-1)


def line_share(points: Float[np.ndarray, "r d"]) -> float:
    """The share of the variance of points in their first principal component; nan where they do not vary."""
    squares = np.linalg.svd(points - points.mean(axis=0), compute_uv=False) ** 2
    return float(squares[0] / squares.sum()) if squares.sum() > 0 else float("nan")
