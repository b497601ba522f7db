"""Baselines of a probe of an event: planted streams are told from what knows nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit

from experiments.cells.event_baselines import EventTable
from experiments.storage.inside_cell import FEATURES
from models.probing.labels import Labels

RANDOM = np.random.default_rng(0)
N, T, JUDGED, POSITIONS = 120, 5, 60, 3
OWN, OTHER, NOISE = RANDOM.normal(size=(3, N, T))
JUDGED_OWN, JUDGED_OTHER, JUDGED_NOISE = RANDOM.normal(size=(3, JUDGED * POSITIONS))
ROWS, POSITION = np.divmod(RANDOM.permutation(N * T), T)
TABLE = EventTable(
    Labels(ROWS, POSITION, expit(OWN[ROWS, POSITION])),
    SimpleNamespace(tokens=np.zeros((JUDGED, T), int)),
    expit(JUDGED_OWN),
)
FOREIGN = expit(OTHER), expit(JUDGED_OTHER)


def pair(*parts):
    return tuple(np.stack(sides, axis=-1) for sides in zip(*parts, strict=True))


HOLDS, BOTH = pair((OWN, JUDGED_OWN)), pair((OWN, JUDGED_OWN), (OTHER, JUDGED_OTHER))
EMPTY = pair((NOISE, JUDGED_NOISE))


def test_streams_that_hold_the_chance_have_all_of_it_and_noise_none():
    assert TABLE.score(HOLDS) > 0.995 and TABLE.score(EMPTY) < 0.02


def test_a_foreign_chance_is_seen_where_streams_hold_it_and_not_where_they_hold_the_own():
    assert TABLE.foreign(HOLDS, FOREIGN) < 0.02 and TABLE.foreign(BOTH, FOREIGN) > 0.99


def test_shuffled_chances_are_not_read():
    assert TABLE.shuffled(HOLDS, np.random.default_rng(0)) < 0.02


def test_rows_are_the_features_by_depth_and_nan_without_a_foreign_filter():
    rows = TABLE.rows([EMPTY, HOLDS], [EMPTY, EMPTY], [EMPTY, HOLDS, EMPTY], None, 0)
    assert rows.shape == (2, len(FEATURES))
    named = dict(zip(FEATURES, rows.T, strict=True))
    assert named["streams"][0] < 0.02 and named["streams"][1] == pytest.approx(named["outputs cubic"][0])
    assert np.isnan(named["foreign"]).all() and named["tokens"][0] == named["untrained"][1]
