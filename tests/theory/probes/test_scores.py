"""Scores are held out by document, and the table tells a code from what only looks like one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from theory.errors import Misuse
from theory.probes.codes import fit_log_odds, fit_probability
from theory.probes.scores import (
    ProbeData,
    compare,
    compare_numbers,
    held_out,
    score_beliefs,
    score_numbers,
)

N, T, WIDTH, VOCABULARY = 60, 5, 12, 3


@pytest.fixture(scope="module")
def data():
    """Streams that hold one running sum of evidence, and not that of other settings of the filter."""
    random = np.random.default_rng(0)
    tokens = random.integers(0, VOCABULARY, (N, T))
    evidence, foreign = random.normal(size=(2, VOCABULARY, 2))
    evidence -= evidence.mean(axis=0)  # else the position says much of the sum
    before = np.pad(np.cumsum(np.eye(VOCABULARY)[tokens], axis=1), ((0, 0), (1, 0), (0, 0)))[:, :-1]
    beliefs = softmax(before @ evidence, axis=-1)
    streams = 3 * random.normal(size=(N, T, WIDTH))
    streams[..., 1] = -streams[..., 0]
    # the sum lies along one direction and against another: normalisation scales it by what varies little
    sums = (before @ evidence) @ [1, -1]
    streams = 0.05 * streams + np.eye(WIDTH)[2] * sums[..., None] + 4 * np.eye(WIDTH)[3]
    return ProbeData(
        streams=streams,
        beliefs=beliefs,
        log_probs=log_softmax(random.normal(size=(N, T, VOCABULARY)), axis=-1),
        untrained=random.normal(size=(N, T, WIDTH)),
        tokens=tokens,
        foreign=softmax(before @ foreign, axis=-1),
    )


def test_the_table_tells_what_streams_hold(data):
    table = compare(data)
    assert table.streams.held_out > 0.8
    assert table.tokens.held_out > 0.95  # evidence that adds is a bag of tokens
    for name in ("outputs", "outputs_cubic", "untrained", "foreign", "shuffled"):
        score = getattr(table, name)
        assert score.held_out < min(0.3, score.in_sample), name
    assert table.selectivity == table.streams.held_out - table.foreign.held_out > 0.7
    assert (table.streams.fitted, table.streams.scored) == (44, 16)
    assert [name for name, _ in table.rows()][:3] == ["streams", "outputs", "outputs, cubic"]


def test_a_foreign_filter_in_the_streams_is_seen(data):
    both = np.concatenate([data.streams, np.log(data.foreign)], axis=-1)
    assert compare(replace(data, streams=both)).foreign.held_out > 0.5


def test_a_foreign_filter_that_the_own_predicts_is_not_selective(data):
    """The own filter, named otherwise, has nothing left to tell: no score but noise of 0 / 0 by a ridge."""
    alike = replace(data, foreign=data.beliefs[..., ::-1] * 0.9 + 0.05)
    assert compare(alike, fit_probability).foreign.held_out < 0.5


def test_numbers_have_the_same_table_by_their_variance(data):
    """Sums of evidence in the place of beliefs: linear in streams that hold them."""
    numbers, foreign = (np.log(part[..., :1] / part[..., 1:]) for part in (data.beliefs, data.foreign))
    linear = replace(data, beliefs=numbers, foreign=foreign)
    table = compare_numbers(linear)
    assert table.streams.held_out > 0.8 and table.tokens.held_out > 0.99
    for name in ("outputs", "outputs_cubic", "untrained", "foreign", "shuffled"):
        assert getattr(table, name).held_out < 0.1, name
    held = replace(linear, streams=np.concatenate([data.streams, foreign], axis=-1))
    assert compare_numbers(held).foreign.held_out > 0.5
    # what is a function of the own numbers is taken out, its squares as well
    assert compare_numbers(replace(linear, foreign=numbers**2)).foreign.held_out < 0.01


def test_the_same_seed_makes_the_same_table(data):
    assert compare(data, seed=3) == compare(data, seed=3) != compare(data, seed=4)


def test_what_only_a_document_tells_is_not_generalised(data):
    """A planted identity of documents, with a label each: all of it in-sample, none of it held out."""
    random = np.random.default_rng(1)
    labels = np.repeat(random.dirichlet([0.3, 0.3], N)[:, None], T, axis=1)
    identity = np.repeat(np.eye(N)[:, None], T, axis=1)
    held = held_out(data.tokens, random)
    score = score_beliefs(identity, labels, held)
    assert score.in_sample > 0.8 and score.held_out < 0.05
    numbers = score_numbers(identity, labels, held)
    assert numbers.in_sample > 0.99 and numbers.held_out < 0.05


def test_only_counted_positions_are_fitted_and_scored(data):
    """Nonsense where nothing counts changes nothing."""
    held, positions = np.arange(N) < 20, np.arange(T) < np.full((N, 1), 3)
    wrong = np.where(positions[..., None], data.beliefs, [0.99, 0.01])
    known = np.where(positions[..., None], data.streams, 100.0)
    right = score_beliefs(data.streams, data.beliefs, held, fit_log_odds, positions)
    assert score_beliefs(known, wrong, held, fit_log_odds, positions) == right
    assert right != score_beliefs(data.streams, data.beliefs, held)


def test_copies_of_a_document_are_held_out_together():
    tokens = np.array([[0, 1], [1, 1], [0, 1], [1, 0], [1, 1]])
    seen = set()
    for seed in range(20):
        held = held_out(tokens, np.random.default_rng(seed), 0.4)
        assert held[0] == held[2] and held[1] == held[4] and 0 < held.sum() < 5
        seen.add(tuple(held))
    assert len(seen) == 3


def test_what_cannot_be_held_out_is_refused(data):
    with pytest.raises(Misuse, match=r"different documents is held out, got a share of 0\.3 of 1"):
        held_out(np.zeros((4, 2), int), np.random.default_rng(0))
    with pytest.raises(Misuse, match="got a share of 1 of 2"):
        held_out(np.eye(2, dtype=int), np.random.default_rng(0), 1.0)
    with pytest.raises(Misuse, match="counted positions in documents held out and in others"):
        score_beliefs(data.streams, data.beliefs, np.zeros(N, bool))
    with pytest.raises(
        Misuse, match=r"beliefs must begin with the axes of tokens.*\(60, 5\), got \(59, 5, 2\)"
    ):
        replace(data, beliefs=data.beliefs[1:])
