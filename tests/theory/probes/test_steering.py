"""Steering is scored by exact conditioning: evidence scores 1, the network as it was 0."""

import numpy as np
import pytest

from theory.errors import Misuse
from theory.probes.futures import Futures
from theory.probes.steering import beyond_span, change, conditioned, score_steering

CONTEXTS = np.repeat(np.arange(40), 5)
COMES = np.tile([True, False, True, False, False], 40)


def futures(seed=0):
    """Made-up continuations of 40 contexts, five of each."""
    chances = np.random.default_rng(seed).dirichlet(np.ones(5), 40).reshape(-1)
    return Futures(CONTEXTS, COMES, chances)


@pytest.mark.parametrize("nats", [-1.0, 0.5, 3.0])
def test_evidence_scores_one_and_adds_its_nats_in_every_context(nats):
    network = futures()
    edited = conditioned(network, nats)
    np.testing.assert_allclose(change(network, edited), nats)
    np.testing.assert_allclose(np.bincount(CONTEXTS, weights=edited.chances), 1)
    found = score_steering(network, edited)
    np.testing.assert_allclose([found.change, found.spread, found.wrong_sign], [nats, 0, 0], atol=1e-9)
    np.testing.assert_allclose(found.score, 1, atol=1e-9)


def test_much_evidence_is_conditioning():
    """Doob's transform: p(y | A)."""
    network = futures()
    wanted = network.chances * COMES / network.event[CONTEXTS]
    np.testing.assert_allclose(conditioned(network, 40.0).chances, wanted, rtol=1e-9, atol=1e-12)


def test_the_target_is_the_nearest_law_with_its_log_odds():
    """Another law with the same log-odds of the event scores below 1 by its own divergence."""
    network, edited = futures(), conditioned(futures(), 1.0)
    uneven = edited.chances * np.where(COMES, np.tile([0.2, 1, 1.8, 1, 1], 40), 1)
    scale = edited.event / Futures(CONTEXTS, COMES, uneven).event
    other = edited._replace(chances=np.where(COMES, uneven * scale[CONTEXTS], uneven))
    np.testing.assert_allclose(change(network, other), 1)
    lost = np.sum(edited.chances * np.log(edited.chances / other.chances))
    whole = np.sum(edited.chances * np.log(edited.chances / network.chances))
    np.testing.assert_allclose(score_steering(network, other).score, 1 - lost / whole)
    assert score_steering(network, other).score < 0.9


def test_contexts_that_go_the_other_way_are_counted():
    network = futures()
    there, back = conditioned(network, 2.0), conditioned(network, -1.0)
    mixed = network._replace(chances=np.where(CONTEXTS < 30, there.chances, back.chances))
    found = score_steering(network, mixed)
    np.testing.assert_allclose([found.change, found.wrong_sign], [1.25, 0.25])
    assert found.score < 1


def test_log_odds_are_exact_where_the_event_is_all_but_certain():
    """Chances that add to 1 up to the rounding of float32 do not make log-odds infinite."""
    chances = np.array([1.0, 1e-9, 1 + 1e-7, 1e-9 * np.e])
    sure = Futures(np.array([0, 0, 1, 1]), np.array([True, False, True, False]), chances)
    np.testing.assert_allclose(sure.log_odds, [9 * np.log(10), 9 * np.log(10) - 1], atol=1e-6)


def test_an_edit_leaves_the_span_where_it_ends_beyond_what_was_read():
    read = np.array([-1.0, 0.0, 2.0])
    assert beyond_span(read, 1.5) == pytest.approx(1 / 3) and beyond_span(read, 0.0) == 0
    ends = np.array([-3.0, -3.0, -3.0]), np.array([0.4, 1.6, 9.0])  # of each number its own
    assert beyond_span(read, 1.5, ends) == pytest.approx(1 / 3) and beyond_span(read, -2.5, ends) == 1 / 3


def test_a_still_network_has_no_score():
    network = futures()
    assert np.isnan(score_steering(network, network).score) and score_steering(network, network).change == 0
    with pytest.raises(Misuse, match="must be the same continuations, got 200 and 5"):
        score_steering(network, Futures(*(part[:5] for part in network)))
