"""Patterns, angles and erasure against formulas and exact cases."""

import jax.numpy as jnp
import numpy as np
import pytest

from models.transformer import rms_norm
from theory.errors import Misuse
from theory.probes.codes import fit_linear, fit_log_odds, r_squared
from theory.probes.subspaces import Erasure, angles, covariance, normalise, pattern

N, WIDTH = 400, 5


@pytest.fixture
def random():
    return np.random.default_rng(1)


@pytest.fixture
def streams(random):
    return random.normal(size=(N, WIDTH)) @ random.normal(size=(WIDTH, WIDTH)) + 1


@pytest.mark.slow
def test_normalised_streams_are_those_of_the_network(random):
    streams = random.normal(size=(3, 4, WIDTH)) * 5
    wanted = rms_norm(jnp.asarray(streams.reshape(-1, WIDTH).T, jnp.float32)).T
    np.testing.assert_allclose(normalise(streams).reshape(-1, WIDTH), wanted, rtol=1e-5)
    np.testing.assert_allclose(np.mean(normalise(streams) ** 2, axis=-1), 1, atol=1e-5)


def test_the_pattern_is_the_map_that_made_the_streams(random):
    """h = U s + noise, Gaussian: the pattern of the best linear reader of s is U (Haufe et al., 2014)."""
    written = random.normal(size=(WIDTH, 2))
    noise = random.normal(size=(WIDTH, WIDTH))
    total = written @ written.T + noise @ noise.T
    reader = np.linalg.solve(total, written)  # the regression of s on h, whose errors are left in s
    made = pattern(reader, total)
    np.testing.assert_allclose(reader.T @ made, np.eye(2), atol=1e-9)
    # U up to the 2 × 2 matrix by which reading shrinks s
    np.testing.assert_allclose(made @ (reader.T @ written), written, atol=1e-9)
    formula = total @ reader @ np.linalg.inv(reader.T @ total @ reader)
    np.testing.assert_allclose(made, formula, atol=1e-9)


def test_steering_along_a_pattern_by_x_raises_log_odds_by_x(random, streams):
    beliefs = random.dirichlet(np.ones(3), N)
    probe = fit_log_odds(streams, beliefs, 1e-3)
    directions = pattern(probe.filters, covariance(streams))
    moved = np.log(probe.predict(streams + 0.7 * directions[:, 1]) / probe.predict(streams))
    np.testing.assert_allclose(moved[:, 1] - moved[:, 0], 0.7, atol=1e-9)
    np.testing.assert_allclose(moved[:, 2] - moved[:, 0], 0, atol=1e-9)


def test_angles_do_not_depend_on_coordinates(random, streams):
    first, second = random.normal(size=(WIDTH, 2)), random.normal(size=(WIDTH, 2))
    spread = covariance(streams)
    change = random.normal(size=(WIDTH, WIDTH))
    before = angles(first, second, spread)
    after = angles(change @ first, change @ second, change @ spread @ change.T)
    np.testing.assert_allclose(after, before, atol=1e-9)
    assert (np.diff(before) >= 0).all()
    turned = angles(change @ first, change @ second, np.eye(WIDTH))
    assert np.abs(turned - angles(first, second, np.eye(WIDTH))).max() > 0.05
    np.testing.assert_allclose(angles(first, first @ random.normal(size=(2, 2)), spread), 0, atol=1e-7)


def test_angles_of_independent_targets_are_right_ones(random):
    """Whitened, two independent parts of the streams are orthogonal, however they are mixed."""
    change = random.normal(size=(WIDTH, WIDTH))
    np.testing.assert_allclose(angles(change[:, :2], change[:, 2:4], change @ change.T), np.pi / 2, atol=1e-9)


def test_no_linear_probe_finds_what_is_erased(random, streams):
    targets = np.eye(3)[random.integers(0, 3, N)]
    targets[:, 0] += 0.5 * streams[:, 0]
    erase = Erasure.of(streams, targets)
    left = erase(streams)
    cross = (left - left.mean(axis=0)).T @ (targets - targets.mean(axis=0)) / N
    np.testing.assert_allclose(cross, 0, atol=1e-12)
    np.testing.assert_allclose(fit_linear(left, targets, 1e-6).filters, 0, atol=1e-5)
    assert abs(r_squared(targets, fit_linear(left, targets, 1e-6).predict(left))) < 1e-9
    assert r_squared(targets, fit_linear(streams, targets, 1e-6).predict(streams)) > 0.3
    np.testing.assert_allclose(left.mean(axis=0), streams.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(erase(left), left, atol=1e-9)  # a projection


def test_erasure_moves_streams_least(random, streams):
    """Among maps that erase as much: the orthogonal projection, which leaves the mean, moves them more."""
    targets = streams[:, :1] + random.normal(size=(N, 1))
    erase = Erasure.of(streams, targets)
    away = (streams - streams.mean(axis=0)).T @ targets
    away /= np.linalg.norm(away)
    projected = streams - (streams - streams.mean(axis=0)) @ away @ away.T
    assert np.sum((erase(streams) - streams) ** 2) < 0.999 * np.sum((projected - streams) ** 2)


def test_streams_that_do_not_fill_their_space_have_patterns_and_erasures(random):
    flat = random.normal(size=(N, 2)) @ random.normal(size=(2, WIDTH))
    targets = flat[:, :1]
    left = Erasure.of(flat, targets)(flat)
    assert np.isfinite(left).all() and abs(np.cov(left[:, 1], targets[:, 0])[0, 1]) < 1e-9
    with pytest.raises(Misuse, match="directions along which streams vary"):
        angles(np.zeros((WIDTH, 1)), np.ones((WIDTH, 1)), covariance(flat))
    with pytest.raises(Misuse, match=r"the same rows, got \(400, 5\) and \(3, 1\)"):
        Erasure.of(flat, targets[:3])
