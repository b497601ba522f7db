"""Transfer between groups of documents: one code reaches all of it, codes apart none, baselines nothing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from theory.errors import Misuse
from theory.probes.transfer import Group, between, foreign_between, shuffled_between

N, T, K, WIDTH = 90, 4, 3, 8
RANDOM = np.random.default_rng(0)
HELD = np.broadcast_to(np.arange(N)[:, None] % 3 == 0, (N, T))


def drawn():
    """A group, and the log-odds of both its filters (n, t, k)."""
    own, other = RANDOM.normal(size=(2, N, T, K)).cumsum(axis=2)
    return Group(softmax(own, axis=-1), softmax(other, axis=-1), ~HELD, HELD), own, other


GROUPS, OWN, OTHER = zip(*(drawn() for _ in range(2)), strict=True)


def written(numbers, code=0):
    """Streams with these numbers along directions that are a code's own."""
    axes = np.eye(WIDTH)[K * code : K * (code + 1)]
    return numbers @ axes + 0.01 * np.random.default_rng(1).normal(size=(N, T, WIDTH))


def test_one_code_reaches_both_groups_and_codes_apart_do_not():
    shared = between(GROUPS, [written(part) for part in OWN])
    np.testing.assert_allclose(shared, 1, atol=0.01)
    apart = between(GROUPS, [written(part, index) for index, part in enumerate(OWN)])
    same = np.eye(2, dtype=bool)
    assert apart[:, same].min() > 0.99 and apart[:, ~same].max() < 0.05


def test_a_constant_is_taken_off_where_it_differs_between_groups():
    moved = [written(part + np.array([0, shift, 0])) for part, shift in zip(OWN, (0.0, 3.0), strict=True)]
    assert between(GROUPS, moved)[0, 0, 1] < 0.5 < 0.99 < between(GROUPS, moved)[1, 0, 1]


def test_a_foreign_filter_is_seen_in_streams_that_hold_it_alone():
    tables = [foreign_between(GROUPS, [written(part) for part in numbers]) for numbers in (OWN, OTHER)]
    assert np.abs(tables[0][0]).max() < 0.1 and tables[1][0].min() > 0.99
    assert np.isnan(tables[0][1]).all()


def test_shuffled_beliefs_are_not_read():
    table = shuffled_between(GROUPS, [written(part) for part in OWN], np.random.default_rng(0))
    assert table.max() < 0.05


def test_a_document_on_both_sides_is_refused():
    with pytest.raises(Misuse, match="either fitted on or scored"):
        replace(GROUPS[0], scored=np.ones_like(HELD))
    with pytest.raises(Misuse, match="got none of one"):
        replace(GROUPS[0], scored=np.zeros_like(HELD))
