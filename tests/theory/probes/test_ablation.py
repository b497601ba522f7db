"""Ablation: a curve is lost whole with its subspace, and random ones take as much variance, exactly."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.ablation import Subspace
from theory.probes.codes import fit_linear, r_squared
from theory.probes.curves import Curve
from theory.probes.subspaces import covariance


@pytest.fixture(scope="module")
def world():
    random = np.random.default_rng(0)
    numbers = random.integers(0, 12, size=4000)
    turn = 2 * np.pi * np.arange(12) / 12
    points = np.zeros((12, 6))
    points[:, 0], points[:, 1] = 2 * np.cos(turn), np.sin(turn)
    points = points @ np.linalg.qr(random.normal(size=(6, 6)))[0]
    return points[numbers] + 0.3 * random.normal(size=(4000, 6)), numbers, Curve(np.arange(12), points)


def test_a_curve_goes_with_its_subspace_and_nothing_else_does(world):
    streams, numbers, curve = world
    column = Subspace.of_curve(curve, streams.mean(axis=0))
    assert column.dimension == curve.dimension() == 2
    left = streams + column.steps(streams)
    codes = np.eye(12)[numbers]
    assert r_squared(codes, fit_linear(streams, codes).predict(streams)) > 0.1
    assert r_squared(codes, fit_linear(left, codes).predict(left)) < 0.01
    np.testing.assert_allclose(left.mean(axis=0), streams.mean(axis=0))
    aside = np.eye(6) - column.basis @ column.basis.T
    np.testing.assert_allclose(left @ aside, streams @ aside)
    removed = np.trace(covariance(streams)) - np.trace(covariance(left))
    assert removed == pytest.approx(column.variance(covariance(streams)))


def test_others_are_as_large_and_take_as_much(world):
    streams, _, curve = world
    column = Subspace.of_curve(curve, streams.mean(axis=0))
    size = np.mean(column.steps(streams) ** 2)
    others = column.others(streams, 4, np.random.default_rng(1))
    assert len(others) == 4
    for other, factor in others:
        np.testing.assert_allclose(other.basis.T @ other.basis, np.eye(2), atol=1e-9)
        assert np.mean((factor * other.steps(streams)) ** 2) == pytest.approx(size)
    with pytest.raises(Misuse, match="do not vary"):
        column.others(np.ones((9, 6)), 1, np.random.default_rng(0))
