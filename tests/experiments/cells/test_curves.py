"""Cells of curves: a finetuning that changes nothing moves nothing, and substitutions are as by hand."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.cells.curve_reading import CurveReading, log_odds
from experiments.cells.head_losses import head_losses
from experiments.cells.programs import Executor
from experiments.design.options import with_options
from experiments.storage.curve_cell import CODE, CurveCell
from experiments.storage.records import Cell
from experiments.studies import linebreak_manifold as study
from models.finetuning.sgd import Sgd
from theory.errors import Misuse

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def executor(untrained):
    changes = {"pretraining.steps": 1, "finetuning.doses": (1, 2), "network.layers": 2}
    made = study.experiment(with_options(study.PRESETS["smoke"], changes))
    made = replace(made, methods={"idle": Sgd(1e-12), "sgd": Sgd(0.3)})
    return Executor(made, untrained(made))


@pytest.fixture(scope="module")
def cell(executor):
    content, problem = executor.run(Cell("inside", "narrowest", 0), executor.template)
    assert isinstance(content, CurveCell) and not problem
    return content


def test_a_cell_is_what_its_file_says(executor, cell):
    back = CurveCell.from_arrays(cell.to_arrays())
    assert back.methods.tolist() == ["idle", "sgd"] and back.depths.tolist() == [1, 2]
    again, _ = executor.run(Cell("inside", "narrowest", 0), executor.template)
    for name, array in cell.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name])
    with pytest.raises(Misuse, match="are missing"):
        CurveCell.from_arrays({"methods": back.methods})


def test_a_head_of_which_nothing_depends_is_worth_nothing(executor, cell):
    assert cell.head_losses.shape == (2, 2, 2) and np.abs(cell.head_losses).max() > 1e-4
    silent = executor.template.params
    blocks = [silent["blocks"][block]["out_proj"]["kernel"] for block in range(2)]
    muted = jax.tree.map(lambda leaf: leaf, silent)
    for block, kernel in enumerate(blocks):
        muted["blocks"][block]["out_proj"]["kernel"] = kernel.replace(0 * kernel[...])
    reading = CurveReading.of(executor.template.with_params(muted), executor.inside.pages, 4)
    np.testing.assert_allclose(head_losses(reading), 0, atol=1e-6)


def test_no_finetuning_moves_nothing(cell):
    for name in ("code", "twist", "used"):
        changed, base = getattr(cell, name)[0], getattr(cell, f"base_{name}")
        np.testing.assert_allclose(changed, np.broadcast_to(base, changed.shape), atol=1e-3)
    old, _, bend, twin = np.moveaxis(cell.moved[0], -1, 0)
    np.testing.assert_allclose(
        old, np.broadcast_to(cell.base_code[:, CODE.index("column")], old.shape), atol=1e-4
    )
    assert max(bend.max(), twin.max(), cell.turned[0].max()) < 1e-4
    assert cell.moved[1, ..., 2].min() > 1e-3 and cell.turned[1, :, :, 1].min() > 1e-4


def test_after_the_last_block_a_substitution_is_what_the_read_out_makes_of_it(executor):
    """By hand: normalise, move, read out."""
    pages = executor.inside.pages
    reading = CurveReading.of(executor.template, pages, 4)
    rows, positions, moves = pages.swaps
    depth, curve = 2, reading.curves[2]
    direction = np.zeros((*rows.shape, reading.streams.shape[-1]))
    direction[...] = curve.points[5] - curve.points[2]
    changes = reading._changes(depth, direction)
    raw = reading.streams[rows, depth, positions]
    normalised = raw / np.sqrt(np.mean(raw**2, axis=-1, keepdims=True) + 1e-6)
    unembed = np.asarray(executor.template.params["unembed"]["kernel"][...])
    matrix = unembed if unembed.shape[1] == raw.shape[-1] else unembed.T

    def odds(stream):
        stream = stream / np.sqrt(np.mean(stream**2, axis=-1, keepdims=True) + 1e-6)
        logits = stream @ matrix.T
        return logits[..., -1] - np.log(np.exp(logits[..., :-1]).sum(-1))

    np.testing.assert_allclose(changes, odds(normalised + direction) - odds(normalised), atol=1e-3)
    assert np.abs(changes).max() > 0.01 and moves.shape == changes.shape


def test_log_odds_are_of_the_mean_chance():
    assert log_odds(np.array([0.5, 0.5]), np.array([0.2, 0.6])) == pytest.approx(np.log(0.4 / 0.6))


def test_a_network_that_is_not_finite_is_a_failure(executor):
    made = replace(executor.experiment, methods={"far": Sgd(1e30)})
    _, problem = Executor(made, executor.template).run(Cell("inside", "narrowest", 0), executor.template)
    assert "Non-finite" in problem
