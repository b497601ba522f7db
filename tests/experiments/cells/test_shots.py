"""Contexts of shots: exact answers have exact log-odds, which add up over context, D' and steering."""

import numpy as np
import pytest

from experiments.cells.shots import Shots
from experiments.scoring.additivity import closure, interactions, log_odds, mean_change
from theory.processes.add_k import AddK

PROCESS, SHIFT = AddK(modulus=5, pairs=5, noise=0.4, rarity=0.8), 1
PRICE = PROCESS.evidence_of_a_pair


def exact(shots, towards=0.0):
    """The answers (n, a) of exact Bayes with a prior that has moved by so many nats towards D's k."""
    prior = np.arange(5) * np.log(0.8) + towards * (np.arange(5) == SHIFT)
    joint = prior[:, None] + shots.evidence
    weights = np.exp(joint - np.logaddexp.reduce(joint, axis=0))
    return np.log(np.einsum("kn,kna->na", weights, np.exp(shots.components)))


@pytest.fixture(scope="module")
def shots():
    return Shots.drawn(PROCESS, np.random.default_rng(0), SHIFT, [0, 3], [(0, 0), (1, 0), (2, 0), (2, 1)])


def test_exact_answers_lose_the_same_nats_with_every_pair(shots):
    odds = log_odds(shots.mean_beliefs(exact(shots)))  # (counts, rivals)
    rivals = np.array([0, 2, 3, 4])
    np.testing.assert_allclose(odds[0], (SHIFT - rivals) * np.log(0.8), atol=1e-4)
    np.testing.assert_allclose(odds[:1] - odds, np.outer([0, 1, 2, 1], [PRICE] * 4), atol=1e-4)


def test_pairs_hold_what_their_counts_say_and_never_the_question(shots):
    for row, count, rival, position in zip(
        shots.tokens, shots.counts, shots.rivals, shots.positions, strict=True
    ):
        asks, answers = row[: position - 1 : 2], row[1 : position - 1 : 2] - 5
        hidden = (answers - asks) % 5
        assert [np.sum(hidden == rival), np.sum(hidden == SHIFT)] == count.tolist()
        assert row[position - 1] in (0, 3) and row[position - 1] not in asks


def test_three_currencies_of_exact_bayes_add_up_and_close(shots):
    nats, doses = [-2.0, -1.0, 0.0, 1.0, 2.0, 4.0], [0.0, 0.7, 1.9]
    beliefs = [[shots.mean_beliefs(exact(shots, dose + x)) for x in nats] for dose in doses]
    odds = np.moveaxis(log_odds(np.array(beliefs))[:, :, :3], 2, 1)  # (d, n, x, r)
    shares = interactions(np.moveaxis(odds, -1, 0))
    assert shares == pytest.approx(dict.fromkeys(shares, 0), abs=1e-6)
    changes = mean_change(odds, odds[0, 0, 2])
    np.testing.assert_allclose(closure(changes, [0, 1, 2], nats), 1, atol=1e-3)
