"""Calibration: exact for a read-out of an exact belief, whatever the contexts; and what breaks it."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from theory.errors import Misuse
from theory.probes.calibration import (
    Rescaling,
    Response,
    against_others,
    anchored,
    answered,
    kept_information,
    spread,
    two_way,
    variation,
    visibility,
)
from theory.probes.codes import fit_log_odds, information
from theory.probes.subspaces import covariance, pattern

RANDOM = np.random.default_rng(0)
LOG_ODDS = RANDOM.normal(size=(60, 3))
BELIEFS = softmax(LOG_ODDS, axis=-1)
COMPONENTS = log_softmax(RANDOM.normal(size=(3, 60, 4)), axis=-1)
NATS = (-2.0, 0.0, 2.0)


def predict(log_odds):
    """Answers of a mixture with these log-odds."""
    return np.log(np.einsum("kca,ck->ca", np.exp(COMPONENTS), softmax(log_odds, axis=-1)))


def test_exact_answers_tell_of_the_exact_posterior():
    read = answered(predict(LOG_ODDS), COMPONENTS, BELIEFS, 1)
    np.testing.assert_allclose(read, against_others(LOG_ODDS, 1), atol=1e-6)
    np.testing.assert_allclose(two_way(read)[:, 0], BELIEFS[:, 1], atol=1e-6)


def test_a_nat_along_the_pattern_is_a_nat_of_answers():
    """A network whose stream is linear in log-odds, and whose read-out is Bayes."""
    mixing = RANDOM.normal(size=(3, 6))
    streams = LOG_ODDS @ mixing
    probe = fit_log_odds(streams, BELIEFS, ridge=1e-9)
    written = pattern(probe.filters, covariance(streams))
    answers = [predict((streams + x * written[:, 2]) @ np.linalg.pinv(mixing)) for x in NATS]
    read = np.stack([answered(answer, COMPONENTS, BELIEFS, 2) for answer in answers])
    found = Response.of(NATS, read)
    assert found.slope == pytest.approx(1, abs=1e-5) and found.spread < 1e-5 and found.wrong == 0
    assert found.of_log_odds < 1e-5 < 0.1 < found.of_probability


def test_edits_that_add_probability_have_the_other_code():
    beliefs = np.clip(BELIEFS[:, 0], 0.1, 0.7)
    read = np.stack([np.log(beliefs + x) - np.log1p(-beliefs - x) for x in (0.0, 0.2)])
    found = Response.of((0.0, 1.0), read)
    assert found.of_probability < 1e-9 < 0.1 < found.of_log_odds


def test_the_wrong_sign_is_counted():
    found = Response.of(NATS, np.outer(NATS, [1.0, 1.0, -0.5, 0.5]))
    assert found.wrong == 0.25 and found.slope == pytest.approx(0.75)
    assert np.isnan(variation(np.zeros(3)))
    normal = RANDOM.normal(2.0, 0.5, size=100_000)
    assert spread(normal) == pytest.approx(0.5, rel=0.02) and variation(normal) == pytest.approx(
        0.25, rel=0.02
    )


def test_an_anchor_takes_the_base_networks_error_off():
    base = log_softmax(predict(LOG_ODDS) + RANDOM.normal(size=(60, 4)), axis=-1)
    exact = predict(LOG_ODDS)
    read = answered(anchored(base, base, exact), COMPONENTS, BELIEFS, 0)
    np.testing.assert_allclose(read, against_others(LOG_ODDS, 0), atol=1e-6)


def test_a_rescaling_finds_a_temperature_and_a_shift():
    shift = np.array([0.5, -0.2, -0.3])
    found = Rescaling.fit((LOG_ODDS - shift) / 2, BELIEFS)
    assert found.slope == pytest.approx(2, abs=1e-4)
    np.testing.assert_allclose(found.shift, shift, atol=1e-4)
    np.testing.assert_allclose(found((LOG_ODDS - shift) / 2), BELIEFS, atol=1e-5)


def test_a_shifted_belief_keeps_its_information_and_a_tempered_one_does_not():
    moved = LOG_ODDS + np.array([3.0, 0.0, 0.0])
    assert information(BELIEFS, softmax(moved, axis=-1)) < 0
    halves = (slice(30), slice(30, None))
    kept = [
        kept_information(numbers[halves[0]], BELIEFS[halves[0]], numbers[halves[1]], BELIEFS[halves[1]])
        for numbers in (moved, 0.3 * moved)
    ]
    assert kept[0] == pytest.approx(1, abs=1e-8) and kept[1] < 0.9


def test_an_edit_that_answers_do_not_show_tells_nothing():
    silent = COMPONENTS.copy()
    silent[2, 30:] = predict(LOG_ODDS)[30:]
    silent[:2, 30:] = silent[2, 30:]
    found = visibility(silent, BELIEFS, 2, 2.0)
    assert found[:30].min() > 1e-4 and np.abs(found[30:]).max() < 1e-12


def test_edits_without_0_are_refused():
    with pytest.raises(Misuse, match="edits by 0"):
        Response.of((1.0, 2.0), np.zeros((2, 3)))
