"""Transfer between alphabets: networks with one belief have what Bayes says of them."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring.alphabets import CARRIED, STEERING, TRANSFER, alphabet_lines, transfer, transfer_from
from experiments.storage.alphabets_cell import AXES, BASELINES, AlphabetsCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell

SIZES = {"m": 1, "s": 2, "d": 2, "l": 2, "u": 3, "a": 3, "b": 3, "g": 2, "z": 3}


def cell_of(reach=1.0, state=1.0, carried=1.0, noise=0.0, seed=0):
    """A cell of networks whose probes reach so far, whose state makes that share, and that carry so much."""
    random = np.random.default_rng(seed)
    arrays = {name: np.ones([SIZES[axis] for axis in axes]) for name, axes in AXES.items()}
    known = {"methods": ["sgd"], "doses": [1, 8], "depths": [1, 2], "home": 2}
    arrays |= {name: np.array(value) for name, value in known.items()}
    table = 0.8 * np.where(np.eye(3) > 0, 1, reach)
    for name in ("information", "shifted"):
        arrays[name] = np.broadcast_to(table, arrays[name].shape) + noise * random.normal(size=(2, 3, 3, 3))
    arrays["toward"][..., 1, :] = carried * 0.5
    arrays["toward"][..., 0, :] = 0.5
    arrays["toward"] += noise * random.normal(size=arrays["toward"].shape)
    arrays["missed"] = (1 - state) * arrays["shift"]
    return AlphabetsCell(**arrays)


def lines_of(*cells, world="together"):
    return alphabet_lines(
        MemoryRun("shared-concepts", (1, 8), {Cell("inside", world, b): cell for b, cell in enumerate(cells)})
    )


def value_of(lines, measure, dose=8):
    return next(line.value.value for line in lines if line.measure == measure and line.dose in (0, dose))


def test_one_belief_has_what_bayes_says():
    lines = lines_of(*(cell_of() for _ in range(3)))
    assert {line.test for line in lines} == {TRANSFER, STEERING, CARRIED}
    known = [line for line in lines if line.bayes is not None]
    assert {line.test for line in known} == {TRANSFER, STEERING, CARRIED}
    for line in known:
        assert line.value.value == pytest.approx(line.bayes), line
    assert {line.networks for line in lines} == {3, 6}


def test_what_is_carried_is_a_product_of_state_and_reach():
    lines = lines_of(*(cell_of(0.6, 0.5, 0.3) for _ in range(3)))
    assert value_of(lines, "τ from D′") == pytest.approx(0.6)
    assert value_of(lines, "state share S") == pytest.approx(0.5)
    assert value_of(lines, "carried") == pytest.approx(0.3)
    assert value_of(lines, "S × τ") == pytest.approx(0.3)
    assert value_of(lines, "carried − S × τ") == pytest.approx(0)


def test_a_probe_that_does_not_reach_is_refuted_together_and_not_apart():
    cells = [cell_of(reach=0.3, carried=0.3, noise=0.01, seed=seed) for seed in range(4)]
    refuted = {(line.test, line.measure) for line in lines_of(*cells) if line.refuted}
    assert {(TRANSFER, "τ: streams"), (CARRIED, "carried")} <= refuted
    apart = [line for line in lines_of(*cells, world="apart") if line.bayes is not None]
    assert {line.measure: line.bayes for line in apart} == {"carried": 0.0, "carried − S × τ": 0.0}


def test_baselines_of_new_cells_have_lines_and_old_ones_none():
    old = lines_of(cell_of(), cell_of())
    assert not [line for line in old if line.measure.endswith("shuffled")]
    assert value_of(old, "I in another alphabet: streams") == pytest.approx(0.8)
    table = np.zeros((2, len(BASELINES), 2, 3, 3))
    table[:, BASELINES.index("outputs"), 0] = np.eye(3) * 0.5
    table[:, BASELINES.index("foreign"), 1] = np.nan
    new = lines_of(*(replace(cell_of(), baselines=table) for _ in range(2)))
    assert value_of(new, "I in the same alphabet: outputs") == pytest.approx(0.5)
    assert value_of(new, "I in another alphabet: outputs") == pytest.approx(0)
    measures = {line.measure for line in new}
    assert "I in another alphabet: foreign" in measures
    assert "I in another alphabet up to a constant: foreign" not in measures


def test_transfer_is_of_different_alphabets():
    table = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.2], [0.0, 0.8, 1.0]])
    assert transfer(table) == pytest.approx(0.3)
    cell = cell_of()
    assert transfer_from(
        AlphabetsCell(**{**cell.to_arrays(), "shifted": np.broadcast_to(table, (2, 3, 3, 3))})
    ) == (pytest.approx(0.4))
