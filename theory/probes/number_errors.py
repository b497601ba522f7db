"""Errors of a number that is read off a stream, in units of the number, on documents not fitted on.

    linear    root mean square error of a ridge regression of the number
    classes   that of the most probable value by a multinomial regression with a class a value, as in Gurnee
              et al. (When Models Manipulate Manifolds, 2025), where it is 5 of 150 characters
    constant  that of the mean number, which knows no stream

A code with a direction for each value is read without error by classes, and linearly as well. A circle is
read by classes and not linearly. Arrays are numpy's; no jax.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from theory.errors import Misuse
from theory.probes.codes import fit_linear, fit_log_odds


class NumberErrors(NamedTuple):
    """Root mean square errors, in units of the number."""

    linear: float
    classes: float
    constant: float


def number_errors(
    streams: Float[np.ndarray, "n d"], numbers: Int[np.ndarray, " n"], fitted: Bool[np.ndarray, " n"]
) -> NumberErrors:
    """Errors on the rows that are not `fitted`; numbers that those do not have are left out."""
    values = np.unique(numbers[fitted])
    held = ~fitted & np.isin(numbers, values)
    if len(values) < 2 or not held.any():
        raise Misuse(
            f"An error needs two numbers to fit and rows to score, got {len(values)} and {int(held.sum())}."
        )
    classes = np.equal.outer(numbers[fitted], values).astype(float)
    linear = fit_linear(streams[fitted], numbers[fitted][:, None].astype(float))
    likeliest = np.argmax(fit_log_odds(streams[fitted], classes).numbers(streams[held]), axis=1)
    read = (linear.predict(streams[held])[:, 0], values[likeliest], numbers[fitted].mean())
    return NumberErrors(*(_root_mean_square(part - numbers[held]) for part in read))


def _root_mean_square(missed: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(missed, dtype=float))))
