"""Probes recover planted codes, reach the minimum that another solver finds, and hold out documents."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from theory.errors import Misuse
from theory.probes.codes import (
    FLOORS,
    divergence,
    fit_linear,
    fit_log_odds,
    fit_probability,
    information,
    r_squared,
)

N, WIDTH, CLASSES = 300, 4, 3


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def streams(random):
    return random.normal(size=(N, WIDTH)) @ random.normal(size=(WIDTH, WIDTH)) + 2


def probabilities(random, streams):
    """Beliefs in a probability code, inside the simplex."""
    read = streams @ random.normal(size=(WIDTH, CLASSES))
    read -= read.mean(axis=1, keepdims=True)
    return 1 / CLASSES + 0.3 * read / np.abs(read).max()


def test_a_code_of_log_odds_is_recovered(random, streams):
    filters, offset = random.normal(size=(WIDTH, CLASSES)), random.normal(size=CLASSES)
    beliefs = softmax(streams @ filters + offset, axis=-1)
    probe = fit_log_odds(streams, beliefs, 1e-10)
    np.testing.assert_allclose(probe.filters, filters - filters.mean(axis=1, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(probe.predict(streams), beliefs, atol=1e-5)
    assert information(beliefs, probe.predict(streams)) > 1 - 1e-6
    # the other code loses on it
    other = fit_probability(streams, beliefs, 1e-10)
    assert information(beliefs, other.predict(streams)) < 0.97


def test_a_code_of_probabilities_is_recovered(random, streams):
    beliefs = probabilities(random, streams)
    probe = fit_probability(streams, beliefs, 1e-12)
    np.testing.assert_allclose(probe.predict(streams), beliefs, atol=1e-6)
    assert probe.floor == FLOORS[0]
    other = fit_log_odds(streams, beliefs, 1e-10)
    assert information(beliefs, other.predict(streams)) < 0.999 < information(beliefs, probe.predict(streams))


def test_the_minimum_has_no_slope_and_is_that_of_another_solver(random, streams):
    """On targets that no code fits, with a ridge: gradient 0, and scipy's minimiser ends there."""
    beliefs, ridge = random.dirichlet(np.full(CLASSES, 0.3), N), 0.03
    features = np.column_stack([(streams - streams.mean(axis=0)) / streams.std(axis=0), np.ones(N)])
    penalty = np.append(np.full(WIDTH, ridge), 0)

    def objective(flat):
        weights = flat.reshape(CLASSES, WIDTH + 1)
        read = features @ weights.T
        value = -np.sum(beliefs * log_softmax(read, axis=1)) / N + 0.5 * np.sum(penalty * weights**2)
        slope = (softmax(read, axis=1) - beliefs).T @ features / N + penalty * weights
        return value, slope.reshape(-1)

    probe = fit_log_odds(streams, beliefs, ridge)
    slopes = probe.filters * streams.std(axis=0)[:, None]
    weights = np.column_stack([slopes.T, probe.offset + streams.mean(axis=0) @ probe.filters])
    value, slope = objective(weights.reshape(-1))
    assert np.abs(slope).max() < 1e-10
    found = minimize(objective, np.zeros(weights.size), jac=True, method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(found.fun, value, atol=1e-12)
    np.testing.assert_allclose(found.x.reshape(weights.shape)[:, :-1], weights[:, :-1], atol=1e-6)


def test_the_hessian_in_chunks_is_the_hessian(random, streams, monkeypatch):
    beliefs = random.dirichlet(np.ones(CLASSES), N)
    whole = fit_log_odds(streams, beliefs)
    monkeypatch.setattr("theory.probes.codes.CHUNK", 100)
    np.testing.assert_allclose(fit_log_odds(streams, beliefs).filters, whole.filters, atol=1e-9)


def test_ridge_is_the_closed_form(random, streams):
    targets, ridge = random.normal(size=(N, 2)), 0.4
    spread = streams.std(axis=0)
    features = (streams - streams.mean(axis=0)) / spread
    weights = np.linalg.inv(features.T @ features + N * ridge * np.eye(WIDTH)) @ features.T @ targets
    probe = fit_linear(streams, targets, ridge)
    np.testing.assert_allclose(probe.filters, weights / spread[:, None], atol=1e-12)
    np.testing.assert_allclose(probe.predict(streams).mean(axis=0), targets.mean(axis=0), atol=1e-12)


def test_ridge_is_linear_in_its_targets(random, streams):
    """probe(B V) = probe(B) V: what makes a probe of any event out of a probe of beliefs."""
    beliefs, values = random.dirichlet(np.ones(5), N), random.random((5, 2))
    direct, combined = fit_linear(streams, beliefs @ values), fit_linear(streams, beliefs).combined(values)
    np.testing.assert_allclose(combined.filters, direct.filters, atol=1e-12)
    np.testing.assert_allclose(combined.offset, direct.offset, atol=1e-12)


def test_information_is_1_of_the_beliefs_and_0_of_their_mean(random):
    beliefs = random.dirichlet(np.ones(CLASSES), (6, 7))
    mean = beliefs.mean(axis=(0, 1))
    assert information(beliefs, beliefs) == 1
    np.testing.assert_allclose(information(beliefs, np.broadcast_to(mean, beliefs.shape)), 0, atol=1e-12)
    entropy = lambda p: -np.sum(p * np.log(p), axis=-1)  # noqa: E731
    # KL to the mean is the mutual information of row and hypothesis
    np.testing.assert_allclose(divergence(beliefs, mean), entropy(mean) - entropy(beliefs).mean(), rtol=1e-12)
    half = 0.5 * beliefs + 0.5 * mean
    assert 0 < information(beliefs, half) < 1 and information(beliefs, half, beliefs * 0.5 + 0.5 * mean) == 0


def test_r_squared_pools_targets(random):
    targets = random.normal(size=(5, 8, 2)) * [1, 3]
    assert r_squared(targets, targets) == 1
    np.testing.assert_allclose(
        r_squared(targets, np.broadcast_to(targets.mean(axis=(0, 1)), targets.shape)), 0
    )
    lost = targets.copy()
    lost[..., 0] = targets[..., 0].mean()
    variances = targets.reshape(-1, 2).var(axis=0)
    np.testing.assert_allclose(r_squared(targets, lost), variances[1] / variances.sum())


def test_a_feature_that_is_constant_gets_no_weight(random, streams):
    beliefs = random.dirichlet(np.ones(CLASSES), N)
    with_constant = np.column_stack([streams, np.full(N, 3.0)])
    assert (fit_log_odds(with_constant, beliefs).filters[-1] == 0).all()
    assert np.isfinite(fit_linear(with_constant, beliefs).filters).all()


@pytest.mark.parametrize("fit", [fit_linear, fit_probability, fit_log_odds])
@pytest.mark.parametrize(
    "streams, targets, ridge, sentence",
    [
        (
            np.zeros((3, 2)),
            np.full((4, 2), 0.5),
            1.0,
            r"the same rows, at least one, got \(3, 2\) and \(4, 2\)",
        ),
        (np.zeros((0, 2)), np.zeros((0, 2)), 1.0, r"at least one, got \(0, 2\) and \(0, 2\)"),
        (np.full((3, 2), np.nan), np.full((3, 2), 0.5), 1.0, "must be finite, got inf or nan"),
        (np.zeros((3, 2)), np.full((3, 2), 0.5), 0.0, "ridge must be finite and above 0, got 0.0"),
    ],
)
def test_what_makes_no_probe_is_refused(fit, streams, targets, ridge, sentence):
    with pytest.raises(Misuse, match=sentence):
        fit(streams, targets, ridge)


def test_targets_that_are_no_beliefs_and_probes_too_large_are_refused():
    for fit in (fit_log_odds, fit_probability):
        with pytest.raises(
            Misuse, match="add to 1 over their last axis, got a least entry of 1 and sums from 2"
        ):
            fit(np.zeros((3, 2)), np.ones((3, 2)))
    with pytest.raises(Misuse, match="has 4004 numbers, more than 3000; use fewer features"):
        fit_log_odds(np.zeros((2, 1000)), np.full((2, 4), 0.25))
