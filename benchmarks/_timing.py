"""Timing by turns in one run, A B A B ..., so that a disturbance hits all competitors alike.

A row is a dict: `name`; `value` with `low` and `high` (median, least and most of the repeats) in `unit`;
`against`, what the `ratio` (with `ratio_low`, `ratio_high`) relates it to; `goal`, "≥ x" or "≤ x", of the
ratio where there is one and else of the value; and `met`. What a row does not have is None.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

LEAST_ROUNDS = 5


def interleaved(
    runs: Mapping[str, Callable[[], Any]], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> dict[str, np.ndarray]:
    """Seconds of every run in every round, for about `seconds` in all after one round that compiles.

    Take ratios round by round: both sides then saw the same machine. `time.process_time` is a `clock` that
    other processes do not delay.
    """
    timings: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        jax.block_until_ready(run())
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(timings[next(iter(runs))]) < LEAST_ROUNDS:
        for name, run in runs.items():
            start = clock()
            jax.block_until_ready(run())
            timings[name].append(clock() - start)
    return {name: np.asarray(rounds) for name, rounds in timings.items()}


def row(
    name: str, values: Any, unit: str, against: str | None = None, ratios: Any = None, goal: str | None = None
) -> dict[str, Any]:
    """One line of the table, from the repeats of a value and of its ratio to something else."""
    value, ratio = _spread(values), _spread(ratios)
    judged = value if ratios is None else ratio
    return {
        "name": name,
        **dict(zip(("value", "low", "high"), value, strict=True)),
        "unit": unit,
        "against": against,
        **dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True)),
        "goal": goal,
        "met": None if goal is None or judged[0] is None else _met(judged[0], goal),
    }


def _spread(values: Any) -> tuple[float | None, float | None, float | None]:
    if values is None:
        return None, None, None
    values = np.atleast_1d(np.asarray(values, float))
    return float(np.median(values)), float(values.min()), float(values.max())


def _met(value: float, goal: str) -> bool:
    sign, limit = goal.split()
    return value >= float(limit) if sign == "≥" else value <= float(limit)
