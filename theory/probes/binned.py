"""Shares of a number that statistics explain beyond a known one: what a network uses, of several.

    share(s) = (R²(c, s) - R²(c)) / (1 - R²(c)),    R² of the table of means over (c, bin of s), held out

A table is any function of both, so a share does not depend on how a statistic is read, only on what it tells.
Bins have about the same number of rows each; where a table has too few rows, it has the mean over c alone.
Arrays are numpy's; no jax.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from theory.errors import Misuse

FEWEST = 5  # rows of an entry of a table


def quantile_bins(
    statistic: Float[np.ndarray, " n"], fitted: Bool[np.ndarray, " n"], bins: int
) -> Int[np.ndarray, " n"]:
    """The bin of every row, by quantiles of the fitted rows; equal numbers share a bin."""
    if bins < 2 or not fitted.any():
        raise Misuse(f"A statistic needs two bins and rows to make them of, got {bins} and {fitted.sum()}.")
    edges = np.unique(np.quantile(statistic[fitted], np.arange(1, bins) / bins))
    return np.searchsorted(edges, statistic, side="right")


def explained_beyond(
    targets: Float[np.ndarray, " n"],
    known: Int[np.ndarray, " n"],
    bins: Int[np.ndarray, " n"],
    fitted: Bool[np.ndarray, " n"],
) -> float:
    """The share of the variance of targets that bins explain beyond the known number, on rows not fitted."""
    alone = _table(targets, known, fitted, np.full(known.max() + 1, targets[fitted].mean()))
    pair = known * (bins.max() + 1) + bins
    both = _table(targets, pair, fitted, np.repeat(alone, bins.max() + 1))
    held = ~fitted
    left = np.sum((targets - alone[known])[held] ** 2)
    return float(1 - np.sum((targets - both[pair])[held] ** 2) / left) if left > 0 else float("nan")


def _table(
    targets: Float[np.ndarray, " n"],
    keys: Int[np.ndarray, " n"],
    fitted: Bool[np.ndarray, " n"],
    otherwise: Float[np.ndarray, " k"],
) -> Float[np.ndarray, " k"]:
    """Means by key, where there are enough rows."""
    counts, sums = (np.bincount(keys[fitted], weights, len(otherwise)) for weights in (None, targets[fitted]))
    return np.where(counts >= FEWEST, sums / np.maximum(counts, 1), otherwise)
