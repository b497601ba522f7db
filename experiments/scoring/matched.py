"""The broad rate at a matched narrow rate, and the law by which added documents lower it. Numpy and scipy.

    matched     the broad rate where the narrow one first reaches a set value, both linear between doses
    count       log C(n + N, N) ≈ N log(e n/N): the price of N documents by their number
    fraction    N/n: by their share
    law         y(n, N) = g(f(n, N)), y the log odds of the broad rate, g any curve

The laws are compared by leaving one n out: what n says at N is forecast by the curves of the other n, each
linear between its own points, at the same value of f, and averaged. Nothing is fitted to what is scored.
Points are scored where both laws have a forecast: an n' reaches as far as its own largest f, and no further.

Axes: b base networks, m pairs (n, N).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from experiments.scoring.intervals import Estimate, Ratio, ratio, ratio_difference


def matched(rates: np.ndarray, target: float) -> np.ndarray:
    """The broad rate (...) where the narrow one first reaches `target`; nan where it never does.

    `rates` (2, ..., d + 1) are the narrow and the broad one, the base network's first.
    """
    narrow, broad = rates
    reached = narrow >= target
    last = np.argmax(reached, axis=-1)[..., None]
    before = np.maximum(last - 1, 0)
    low, high = (np.take_along_axis(narrow, index, -1) for index in (before, last))
    share = np.where(last > 0, (target - low) / np.where(high > low, high - low, 1.0), 0.0)
    low, high = (np.take_along_axis(broad, index, -1) for index in (before, last))
    return np.where(reached.any(axis=-1), ((1 - share) * low + share * high)[..., 0], np.nan)


def log_odds(rates: np.ndarray) -> np.ndarray:
    """The log odds of a rate, of which a forecast may lie outside (0, 1)."""
    inside = np.clip(rates, 1e-6, 1 - 1e-6)
    return np.log(inside) - np.log1p(-inside)


def count(n: np.ndarray, added: np.ndarray) -> np.ndarray:
    """log C(n + N, N) in nats: the evidence for saturated against product, up to the prior."""
    return gammaln(n + added + 1.0) - gammaln(n + 1.0) - gammaln(added + 1.0)


def fraction(n: np.ndarray, added: np.ndarray) -> np.ndarray:
    """N/n."""
    return added / n


LAWS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"count": count, "fraction": fraction}


@dataclass(frozen=True)
class Collapse:
    """The part of the variance of y that each law explains with one n left out, and count less fraction;
    jackknifed over base networks. `scored` pairs of (n, N)."""

    explained: dict[str, Estimate]
    difference: Estimate
    scored: int


def collapse(n: np.ndarray, added: np.ndarray, values: np.ndarray) -> Collapse:
    """Which law the values y (b, m) follow; pairs that some network has not (nan) are omitted."""
    whole = np.isfinite(values).all(axis=0) & (len(values) > 0)
    n, added, values = n[whole], added[whole], values[:, whole]
    forecasts = {name: _left_out(n, law(n, added), values) for name, law in LAWS.items()}
    scored = np.all([np.isfinite(forecast).all(axis=0) for forecast in forecasts.values()], axis=0)
    left = {name: residuals(values[:, scored], forecast[:, scored]) for name, forecast in forecasts.items()}
    bases = [list(range(len(values)))]
    return Collapse(
        {name: explained(pair) for name, pair in left.items()},
        ratio_difference(left["fraction"], left["count"], bases),
        int(scored.sum()),
    )


def residuals(values: np.ndarray, forecast: np.ndarray) -> Ratio:
    """Squares (b,) that a forecast (b, m) of values (b, m) leaves, and those about each network's mean."""
    centre = values.mean(axis=1, keepdims=True) if values.size else 0.0
    return np.sum((values - forecast) ** 2, axis=1), np.sum((values - centre) ** 2, axis=1)


def explained(pair: Ratio) -> Estimate:
    """1 - the squares that are left in units of those about the mean, over base networks."""
    left = ratio(*pair, [list(range(len(pair[0])))])
    interval = None if left.interval is None else (1 - left.interval[1], 1 - left.interval[0])
    return Estimate(1 - left.value, left.standard_error, interval)


def _left_out(n: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The forecast (b, m) of every n by the curves of the others; nan out of their reach."""
    forecast = np.full(values.shape, np.nan)
    for column, (ours, wanted) in enumerate(zip(n, at, strict=True)):
        curves = [_curve(at[n == other], values[:, n == other], wanted) for other in np.unique(n[n != ours])]
        near = [curve for curve in curves if curve is not None]
        if near:
            forecast[:, column] = np.mean(near, axis=0)
    return forecast


def _curve(at: np.ndarray, values: np.ndarray, wanted: float) -> np.ndarray | None:
    """Values (b, m) between their points `at` (m,); None beyond them."""
    order = np.argsort(at)
    if not at.min() <= wanted <= at.max():
        return None
    return np.array([np.interp(wanted, at[order], row[order]) for row in values])
