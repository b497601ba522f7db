"""Statistics that go together, read off a stream: of each, what it has beyond the others.

    whole     R² of a ridge regression of the statistic
    beyond    the same of the part that no affine function of the other statistics has

A stream that has one of them reads much of the others, as they go together; beyond the others it reads that
one alone. Held out: fitted on some rows, scored on the rest. Arrays are numpy's; no jax.
"""

import numpy as np
from jaxtyping import Bool, Float

from theory.errors import Misuse
from theory.probes.codes import fit_linear, r_squared


def partial_r_squared(
    streams: Float[np.ndarray, "n d"], statistics: Float[np.ndarray, "n u"], fitted: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "2 u"]:
    """R² of every statistic, whole and beyond the others, on rows that are not fitted; nan of what does not
    vary there."""
    if statistics.shape[1] < 2 or fitted.all() or not fitted.any():
        raise Misuse(
            "Statistics beyond others need two of them, and rows to fit and to score, got "
            f"{statistics.shape[1]} and {int(fitted.sum())} of {len(fitted)} rows to fit."
        )
    rows = []
    for index, statistic in enumerate(statistics.T):
        others = np.column_stack([np.ones(len(statistic)), np.delete(statistics, index, axis=1)])
        slope = np.linalg.lstsq(others[fitted], statistic[fitted], rcond=1e-9)[0]
        beyond = statistic - others @ slope
        rows.append([_read(streams, part[:, None], fitted, statistic.std()) for part in (statistic, beyond)])
    return np.array(rows).T


def _read(streams: np.ndarray, target: np.ndarray, fitted: np.ndarray, unit: float) -> float:
    if target[~fitted].std() <= 1e-9 * unit:
        return float("nan")
    probe = fit_linear(streams[fitted], target[fitted])
    return r_squared(target[~fitted], probe.predict(streams[~fitted]))
