"""Cells of the inside: a finetuning that changes nothing changes nothing inside either."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.cells.inside import inside_failure
from experiments.cells.programs import Executor
from experiments.design.options import with_options
from experiments.storage.inside_cell import READ, InsideCell
from experiments.storage.records import Cell
from experiments.studies import inside_beliefs as study
from models.finetuning.sgd import Sgd

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executor(untrained):
    changes = {"pretraining.steps": 1, "finetuning.doses": (1, 2), "network.layers": 2}
    made = study.experiment(with_options(study.PRESETS["smoke"], changes))
    made = replace(made, methods={"idle": Sgd(1e-12), "sgd": Sgd(0.1), "slow": Sgd(1e-3)})
    return Executor(made, untrained(made))


@pytest.fixture(scope="module")
def cell(executor):
    content, problem = executor.run(Cell("inside", "persona-domain", 0), executor.template)
    assert isinstance(content, InsideCell) and not problem
    return content


def test_a_cell_is_what_its_file_says(executor, cell):
    back = InsideCell.from_arrays(cell.to_arrays())
    assert back.methods.tolist() == ["idle", "sgd", "slow"] and back.depths.tolist() == [1, 2]
    again, _ = executor.run(Cell("inside", "persona-domain", 0), executor.template)
    for name, array in cell.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name])


def test_no_finetuning_is_the_identity_of_every_test(cell):
    idle = cell.translation[0]
    np.testing.assert_allclose(idle[..., 0], 1, atol=1e-5)
    np.testing.assert_allclose(idle[..., 1:], 0, atol=1e-5)
    np.testing.assert_allclose(cell.shift[0], 0, atol=1e-6)
    np.testing.assert_allclose(cell.noise[0], 0, atol=1e-6)
    np.testing.assert_allclose(cell.read[0], 0, atol=1e-6)
    np.testing.assert_allclose(cell.foretold[0], 0, atol=1e-6)
    np.testing.assert_allclose(cell.old_probes[0], cell.old_probes[0, :, :, :, :1] + np.zeros(4), atol=1e-5)
    np.testing.assert_allclose(
        cell.slopes[0], np.broadcast_to(cell.base_slopes, cell.slopes[0].shape), atol=1e-3
    )
    assert (cell.shift[1] > 1e-4).all()


def test_short_steps_move_the_belief_as_the_linearised_network_does(cell):
    moved, missed = cell.read[1:, ..., READ.index("unchanged")], cell.foretold[1:, ..., 1]
    far, near = missed / moved
    assert (near < 0.01).all() and far.max() > near.max()


def test_edits_beyond_what_was_read_are_a_share(cell):
    assert ((cell.beyond >= 0) & (cell.beyond <= 1)).all()


def test_after_the_last_block_one_position_is_as_good_as_all(cell):
    np.testing.assert_allclose(cell.response[-1, 0], cell.response[-1, 1], rtol=1e-3, atol=1e-3)


def test_a_network_that_is_not_finite_is_a_failure(cell):
    assert inside_failure(cell) == ""
    assert "Non-finite" in inside_failure(replace(cell, shift=np.full_like(cell.shift, np.nan)))
