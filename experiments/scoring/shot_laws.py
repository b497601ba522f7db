"""Laws of what a pair is worth among many: always as much, a power of their number, or a share of an average.

    exact     z(N) = λ
    power     z(N) = γ N^-α                 N shots count as N^(1-α) (Bigelow et al., arXiv 2511.00617)
    average   z(N) = γ (1 + c0)/(N + c0)    softmax attention beside a sink of weight c0

z are nats that one pair ahead is worth, of N shown. Laws are fitted by least squares on the smaller half of
the numbers N and scored on the larger ones; `exact` has nothing to fit. Numpy and scipy only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

POWERS = (-2.0, 4.0)  # of α, between which it is fitted
SINKS = (-4.0, 8.0)  # the same of log c0


@dataclass(frozen=True)
class ShotLaws:
    """Root mean square nats that each law misses where it was not fitted, α, and 1/(1 + c0): 0 where pairs
    add up, 1 where they are averaged. All nan where there are too few numbers of pairs, or an unresolved
    one."""

    exact: float
    power: float
    average: float
    alpha: float
    averaged: float

    @classmethod
    def of(cls, totals: Sequence[int], nats: Sequence[float], price: float) -> "ShotLaws":
        """The laws of one network, from nats of one pair ahead among `totals`, ascending."""
        count, values = np.asarray(totals, float), np.asarray(nats, float)
        half = (len(count) + 1) // 2
        if half < 2 or half == len(count) or not np.isfinite(values).all():
            return cls(*[np.nan] * 5)
        parts = slice(half), slice(half, None)

        def fitted(shape: Callable[[float], np.ndarray], bounds: tuple[float, float]) -> tuple[float, float]:
            def missed(number: float, scored: bool = False) -> float:
                law = shape(number)
                seen, known = law[parts[0]], values[parts[0]]
                left = values - (known @ seen) / (seen @ seen) * law
                return float(np.mean(left[parts[scored]] ** 2))

            best: Any = minimize_scalar(missed, bounds=bounds, method="bounded")
            return float(best.x), missed(best.x, scored=True) ** 0.5

        alpha, power = fitted(lambda number: count**-number, POWERS)
        log_sink, average = fitted(lambda number: 1 / (count + np.exp(number)), SINKS)
        exact = float(np.sqrt(np.mean((values[parts[1]] - price) ** 2)))
        return cls(exact, power, average, alpha, 1 / (1 + float(np.exp(log_sink))))
