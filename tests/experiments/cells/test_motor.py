"""Cells of events: exact where the read-out alone moves, and sums of what moved, was followed, and is off."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.cells.programs import Executor
from experiments.design.options import with_options
from experiments.storage.motor_cell import BASELINES, MOVES, QUALITY, REGIMES, STEERED, MotorCell
from experiments.storage.records import Cell
from experiments.studies import motor as study

pytestmark = pytest.mark.slow
CELL = Cell("inside", "linebreak", 0)


@pytest.fixture(scope="module")
def executor(untrained):
    changes = {"pretraining.steps": 1, "finetuning.doses": (1, 4), "finetuning.sgd_rate": 0.3}
    made = study.experiment(
        with_options(study.PRESETS["smoke"], changes | {"finetuning.methods": ("sgd", "head-only")})
    )
    return Executor(made, untrained(made))


@pytest.fixture(scope="module")
def cell(executor):
    content, problem = executor.run(CELL, executor.template)
    assert isinstance(content, MotorCell) and not problem
    return content


def test_a_cell_is_made_again_to_the_bit_and_of_another_number_otherwise(executor, cell):
    back = MotorCell.from_arrays(cell.to_arrays())
    again, _ = executor.run(CELL, executor.template)
    for name, array in cell.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name])
        np.testing.assert_array_equal(array, back.to_arrays()[name])
    other, _ = executor.run(replace(CELL, base=1), executor.template)
    assert not np.array_equal(cell.ladder, other.to_arrays()["ladder"])


def test_no_reading_is_better_than_the_networks_own_chances(cell):
    excess, auc = (QUALITY.index(name) for name in ("excess", "auc"))
    for name in ("ladder", "by_depth", "baselines"):
        assert getattr(cell, name)[..., excess].min() >= 0
    ceiling = cell.bounds[:, 2]
    assert (cell.by_depth[..., auc] <= ceiling[:, None, None, None] + 1e-6).all()
    assert np.isfinite(cell.by_depth).all() and len(cell.baselines[0]) == len(BASELINES)


def test_a_probe_follows_nothing_where_the_read_out_alone_moved(cell):
    head = cell.methods.tolist().index("head-only")
    moves = cell.moves[head]
    assert np.abs(moves[..., MOVES.index("moved")]).max() > 1e-3
    np.testing.assert_allclose(moves[..., MOVES.index("followed")], 0, atol=1e-5)
    shift, state, blocks = np.moveaxis(cell.shift[head], -1, 0)
    np.testing.assert_allclose(state, shift, rtol=1e-3)  # S = 0
    np.testing.assert_allclose(blocks, 0, atol=1e-6)  # H = 1


def test_what_is_off_after_is_what_was_off_and_moved_and_was_not_followed(cell):
    moved, followed, before, after, *_ = np.moveaxis(cell.moves, -1, 0)
    np.testing.assert_allclose(after, before + moved - followed, atol=1e-4)


def test_the_description_after_finetuning_is_the_probe_of_before_where_streams_stay(cell):
    """Process, text of it and streams are the same, so a probe fitted anew is the base network's."""
    head, place = cell.methods.tolist().index("head-only"), REGIMES.index("description")
    np.testing.assert_allclose(cell.old[head, ..., place, :], cell.new[head, ..., place, :], atol=1e-4)


def test_a_score_is_of_about_a_nat_alone(cell):
    change, score = (cell.steering[..., STEERED.index(name)] for name in ("change", "score"))
    about = (change > 0.5) & (change < 2)
    assert about.mean() > 0.8 and (np.isfinite(score) == about).all()
