"""Exact stationary laws of chains, and agreement with them by standard errors."""

import numpy as np
import pytest


def _agree(values, truth, *, against=()):
    """The mean over chains (axis 0) is `truth` within 4 standard errors, each of `against` beyond 8.

    The standard error comes from the spread between chains; where `truth` is an array, every entry must agree
    and some entry must reject.
    """
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(mean - truth) < 4 * error), (mean, truth, error)
    for wrong in against:
        assert np.any(np.abs(mean - wrong) > 8 * error), (mean, wrong, error)


def _law(step, size, noise, cases=(None,)):
    """Exact stationary mean and covariance of x ← step(x, ξ, case), affine in (x, ξ), cases equally likely.

    With x = m + y:  y ← A y + b + B ξ  for each case, so  C = E[A C Aᵀ] + E[b bᵀ] + E[B Bᵀ].
    """
    maps = []
    for case in cases:
        zero = step(np.zeros(size), np.zeros(noise), case)
        inner = np.stack([step(row, np.zeros(noise), case) - zero for row in np.eye(size)], axis=1)
        outer = np.stack([step(np.zeros(size), row, case) - zero for row in np.eye(noise)], axis=1)
        maps.append((inner, zero, outer))
    mean_of = [np.mean(parts, axis=0) for parts in zip(*maps, strict=True)]
    mean = np.linalg.solve(np.eye(size) - mean_of[0], mean_of[1])
    push, source = np.zeros((size**2, size**2)), np.zeros((size, size))
    for inner, zero, outer in maps:
        off = inner @ mean + zero - mean
        push += np.kron(inner, inner) / len(maps)
        source += (np.outer(off, off) + outer @ outer.T) / len(maps)
    assert np.abs(np.linalg.eigvals(push)).max() < 1  # else there is no stationary law
    return mean, np.linalg.solve(np.eye(size**2) - push, source.ravel()).reshape(size, size)


@pytest.fixture(scope="session")
def agree():
    return _agree


@pytest.fixture(scope="session")
def law():
    return _law
