"""Do three currencies add up? Log-odds on a grid dose × shots × steering, nan where not resolved. Numpy only.

    additive       z = a_d + b_n + c_x, by least squares on what is resolved
    interactions   Σ (residuals)² / Σ (z - mean z)²; of a pair of currencies, what its products take off
    undone         where log-odds are back at those of the base network, by straight lines
    closure        x/y: N shots undo a dose, x nats of steering undo these N shots, y nats that dose

Exact Bayes has interactions 0 and closure 1. Axes: d doses (the base network first), n numbers of shots (none
first), x nats of steering, r rivals.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

LEAST = 0.01  # of a belief: networks do not resolve what is below it
CURRENCIES = ("dose", "shots", "steering")  # the axes of a grid
PAIRS = tuple(combinations(range(len(CURRENCIES)), 2))
ALL = "all"


def log_odds(beliefs: np.ndarray) -> np.ndarray:
    """log w_k - log w_r of beliefs (..., 2); nan where one of them is not resolved."""
    with np.errstate(invalid="ignore"):
        logs = np.log(np.where(beliefs < LEAST, np.nan, beliefs))
    return logs[..., 0] - logs[..., 1]


def mean_change(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The mean over rivals (..., r) of a change; nan where fewer than half of them are resolved."""
    change = after - before
    count = np.isfinite(change).sum(axis=-1)
    total = np.nansum(change, axis=-1)
    return np.where(2 * count >= change.shape[-1], total / np.maximum(count, 1), np.nan)


def interactions(grids: np.ndarray) -> dict[str, float]:
    """Shares of the variance of log-odds (r, d, n, x), summed over rivals; nan where nothing is resolved."""
    sums = np.sum([_squares(grid) for grid in grids], axis=0)
    total, additive, *pairs = sums
    names = [" × ".join(CURRENCIES[axis] for axis in pair) for pair in PAIRS]
    if not total > 0:
        return dict.fromkeys([*names, ALL], np.nan)
    shares = [(additive - part) / total for part in pairs]
    return dict(zip([*names, ALL], [*shares, additive / total], strict=True))


def _squares(grid: np.ndarray) -> np.ndarray:
    """Sums of squares of one rival's grid (d, n, x): about the mean, after the additive model, and after it
    with the products of each pair of currencies."""
    known = np.isfinite(grid)
    if known.sum() < 2:
        return np.zeros(2 + len(PAIRS))
    at, values = np.argwhere(known), grid[known]
    levels = [np.eye(size)[at[:, axis]] for axis, size in enumerate(grid.shape)]
    main = np.concatenate(levels, axis=1)

    def left(columns: np.ndarray) -> float:
        return float(np.sum((values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]) ** 2))

    products = [(levels[i][:, :, None] * levels[j][:, None]).reshape(len(at), -1) for i, j in PAIRS]
    return np.array(
        [
            np.sum((values - values.mean()) ** 2),
            left(main),
            *(left(np.concatenate([main, part], axis=1)) for part in products),
        ]
    )


def undone(sizes: Sequence[float], odds: np.ndarray) -> float:
    """The size at which log-odds (x,) are 0, by straight lines between what is resolved; nan if nowhere."""
    known = np.isfinite(odds)
    at, values = np.asarray(sizes, float)[known], odds[known]
    if (values == 0).any():
        return float(at[np.flatnonzero(values == 0)[0]])
    crossed = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
    if not len(crossed):
        return float("nan")
    first = crossed[0]
    low, high = values[first : first + 2]
    return float(at[first] + low / (low - high) * (at[first + 1] - at[first]))


def closure(changes: np.ndarray, shots: Sequence[int], nats: Sequence[float]) -> np.ndarray:
    """x/y of every dose but the first (d - 1,), of log-odds (d, n, x) less those of the base network without
    shots or steering; nan where the grid does not reach that far."""
    none = list(nats).index(0.0)
    by_shots = [0.0, *(undone(nats, changes[0, row]) for row in range(1, len(shots)))]
    result = []
    for dose in changes[1:]:
        count, size = undone(shots, dose[:, none]), undone(nats, dose[0])
        steering = float(np.interp(count, shots, by_shots)) if np.isfinite(count) else np.nan
        result.append(steering / -size if size else np.nan)
    return np.array(result)
