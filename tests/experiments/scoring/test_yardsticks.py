"""The last dose, scaled: exact where the network moves along one direction, and the best of its class."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from experiments.scoring.fits import mean_kl
from experiments.scoring.nulls import biased
from experiments.scoring.yardsticks import fit_scale, last_dose

RANDOM = np.random.default_rng(0)
GROUP = np.repeat(["in_domain", "held_out"], [6, 3])
SPEEDS = np.array([1.0, 1.7, -2.0])  # of every dose


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


BASE = log_softmax(1.5 * RANDOM.normal(size=(9, 4)))
DIRECTION = RANDOM.normal(size=(2, 1, 9, 4))


def test_a_network_that_goes_straight_is_explained_with_the_ratio_of_the_doses(make):
    target = log_softmax(BASE + SPEEDS[:, None, None] * DIRECTION)
    last = last_dose(target, make.contexts(BASE, GROUP))
    np.testing.assert_allclose(last.scales[:, 1:], np.broadcast_to(SPEEDS[1:] / SPEEDS[:-1], (2, 2)))
    np.testing.assert_allclose(last.log_probs[:, 1:], target[:, 1:], atol=1e-9)
    assert last.undefined[:, 0].all() and not last.undefined[:, 1:].any()
    assert np.isnan(last.log_probs[:, 0]).all() and np.isnan(last.scales[:, 0]).all()
    assert all(nats[:, 1:].max() < 1e-12 for nats in last.best_in_class.values())


def test_the_scale_is_the_best_there_is_and_is_fitted_on_calibration_contexts(make):
    target = log_softmax(BASE + SPEEDS[:, None, None] * DIRECTION + RANDOM.normal(size=(2, 3, 9, 4)))
    contexts = make.contexts(BASE, GROUP)
    last = last_dose(target, contexts)
    for name, inside in (("in_domain", slice(0, 6)), ("held_out", slice(6, 9))):
        moved = (target[1, 1] - BASE)[inside]

        def loss(scale, inside=inside, moved=moved):
            return mean_kl(target[1, 2, inside], biased(BASE[inside], scale * moved))

        best = minimize_scalar(loss, bracket=(-1, 1), tol=1e-12)
        assert last.best_in_class[name][1, 2] == pytest.approx(best.fun, abs=1e-10)
        if name == "in_domain":
            assert last.scales[1, 2] == pytest.approx(best.x, abs=1e-5)


def test_a_dose_that_moved_nothing_scales_to_nothing(make):
    target = np.stack([np.stack([BASE, log_softmax(BASE + DIRECTION[0, 0])])])
    last = last_dose(target, make.contexts(BASE, GROUP))
    np.testing.assert_allclose(last.log_probs[0, 1], BASE, atol=1e-12)


@pytest.mark.parametrize("size", [30.0, 300.0])
def test_newton_neither_diverges_nor_stops_early(size):
    """The network is the dose before, scaled by far more than the first guess of 1."""
    moved = 0.1 * DIRECTION[:, 0]
    got = fit_scale(log_softmax(BASE + size * moved), BASE, moved)
    reached = mean_kl(log_softmax(BASE + size * moved), biased(BASE, got[:, None, None] * moved))
    assert reached.max() < 1e-10
