"""Sums over examples: exact Bayes adds up, and each departure is seen for what it is."""

import numpy as np
import pytest

from experiments.cells.head_parts import by_position, left_correlation, vector_sum, written
from experiments.cells.shot_examples import Examples, Sums, answered_weights, correlation, recency
from models.network import build, first
from models.transformer import Architecture
from theory.processes.add_k import AddK

PROCESS = AddK(modulus=5, pairs=6, noise=0.5, rarity=0.8)
PRICE = PROCESS.evidence_of_a_pair
PRIOR = np.arange(5) * np.log(0.8)


class Weighing:
    """A predictor with `weights` (shown,) of pairs, from their number: exact Bayes where all are 1."""

    def __init__(self, weights):
        self.weights = weights

    def predict(self, tokens):
        """Answers at the question, elsewhere nothing."""
        tokens = np.asarray(tokens)
        answers = np.full((*tokens.shape, 10), -np.inf)
        for row, document in enumerate(tokens):
            shown = int(np.sum(document[1::2] >= 5))
            pairs, question = document[: 2 * shown].reshape(shown, 2), document[2 * shown]
            table = PROCESS.answer_table()
            sums = table[:, pairs[:, 0], pairs[:, 1] - 5] @ self.weights(shown)
            weight = np.exp(PRIOR + sums)
            mixed = (weight / weight.sum()) @ np.exp(table[:, question])
            answers[row, 2 * shown + 1, 5:] = np.log(mixed)
        return answers


def contexts(shown=3, count=60):
    return Examples.drawn(PROCESS, np.random.default_rng(0), shown, count)


def test_exact_bayes_adds_up_without_errors_and_whatever_the_order():
    exact = PROCESS.distribution()
    sums = Sums.of(exact, contexts())
    np.testing.assert_allclose(sums.added[:3], 1, atol=1e-3)
    assert sums.added[3] > 0.3 and np.isnan(sums.corrected).all()
    assert recency(exact, PROCESS, np.random.default_rng(0), 2, 60) == pytest.approx(0, abs=1e-3)
    odds = answered_weights(exact, contexts(1)) - answered_weights(exact, contexts(1).of(()))
    np.testing.assert_allclose(np.nanmax(odds, axis=1) - np.nanmin(odds, axis=1), PRICE, atol=1e-3)


def test_an_average_has_its_own_slope():
    """(1 + c0)/(N + c0) with c0 = 1: 0.5 of three pairs."""
    sums = Sums.of(Weighing(lambda shown: np.full(shown, 2 / (shown + 1))), contexts())
    assert sums.added[0] == pytest.approx(0.5) and sums.added[1] == pytest.approx(0)  # y = x/2: 1 - y²/y²
    assert sums.added[2] == pytest.approx(0.5)


def test_a_last_pair_that_counts_twice_is_recent():
    """One right pair: λ (1 - 0.5) if it came last, λ (0.5 - 1) if the wrong one did."""
    halved = Weighing(lambda shown: np.array([0.5] * (shown - 1) + [1.0])[:shown])
    assert recency(halved, PROCESS, np.random.default_rng(0), 1, 40) == pytest.approx(PRICE)


def test_a_contribution_that_makes_good_an_error_has_a_negative_correlation():
    random = np.random.default_rng(1)
    evidence, total, error, noise = random.normal(size=(4, 2000, 3))
    corrected = 0.9 * evidence - 0.5 * error, evidence
    errors = error - 0.3 * total, total
    assert correlation(corrected, errors) < -0.99
    assert abs(correlation((evidence + noise, evidence), errors)) < 0.05
    assert np.isnan(correlation((evidence, evidence), errors))


def test_parts_with_errors_of_their_own_do_not_correct_each_other():
    random = np.random.default_rng(0)
    evidence, noise = random.normal(size=(2, 3000, 4, 3))
    assert abs(left_correlation(0.7 * evidence + noise, evidence)) < 0.05
    noise[:, -1] -= noise[:, :-1].sum(axis=1)
    assert left_correlation(evidence + noise, evidence) < -0.8


@pytest.mark.slow
def test_what_heads_write_is_the_sum_over_positions():
    network = first(build(Architecture(8, 2, 2), PROCESS.vocabulary, PROCESS.length, [0]))
    examples = contexts(2, 10)
    np.testing.assert_allclose(
        by_position(network, examples).sum(axis=1), written(network, examples), atol=1e-4
    )
    slope, share = vector_sum(network, examples.of([0]))
    assert (slope, share) == (pytest.approx(1), pytest.approx(1))
