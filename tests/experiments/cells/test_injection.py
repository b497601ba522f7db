"""Injection of beliefs: the exact change, the control direction, and a filter that is of no use."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.cells.injection import InjectionPrograms
from experiments.cells.programs import Executor
from experiments.design.options import with_options
from experiments.design.shared_plans import InjectionPlan
from experiments.storage.injection_cell import InjectionCell
from experiments.storage.records import Cell
from experiments.studies import injected_beliefs as study
from theory.processes.out_of_context import OutOfContext


@pytest.fixture(scope="module")
def programs():
    process = OutOfContext(biases=(0.2, 0.5, 0.9), tosses=(1, 2), pairs=3)
    experiment = SimpleNamespace(inside=InjectionPlan(), process=process, seed=0)
    return InjectionPrograms(experiment, None, None, None, None)


def test_injected_nats_move_the_exact_bias_as_evidence_does(programs):
    before, after = (np.exp(programs.process.log_belief(heads, 0)) for heads in (0, 1))
    nats = np.log(np.asarray(programs.process.biases))  # of a head for every coin
    moved = before
    for coin, x in enumerate(nats):
        moved = moved * np.exp(x * (np.arange(3) == coin))
    assert moved / moved.sum() == pytest.approx(after)
    change = programs.tilted(before[None], 2, 1.5)[0]
    tilted = before * np.array([1, 1, np.exp(1.5)])
    assert change == pytest.approx((tilted / tilted.sum() - before) @ programs.process.biases) and change > 0
    assert programs.tilted(before[None], 0, 0.0)[0] == pytest.approx(0)


def test_the_control_is_as_long_and_orthogonal_to_every_pattern(programs):
    patterns = np.random.default_rng(1).normal(size=(8, 3))
    control = programs._control(patterns)
    np.testing.assert_allclose(patterns.T @ control, 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(control, axis=0), np.linalg.norm(patterns, axis=0))


def test_the_turned_filter_reads_heads_for_tails_in_one_format(programs):
    first, second = (programs.process.tokens_of(cue) for cue in (0, 1))
    programs.tokens = np.array([[0, first.start, 1, second.start, 0, first.start + 1]])
    assert programs.turned().tolist() == [[0, first.start + 1, 1, second.start, 0, first.start]]


@pytest.mark.slow
def test_a_cell_is_what_its_file_says(untrained):
    made = study.experiment(with_options(study.PRESETS["smoke"], {"pretraining.steps": 1}))
    executor = Executor(made, untrained(made))
    content, problem = executor.run(Cell("inside", made.arms[0].name, 0), executor.template)
    assert isinstance(content, InjectionCell) and not problem
    back = InjectionCell.from_arrays(content.to_arrays())
    np.testing.assert_array_equal(back.slopes, content.slopes)
    assert (content.sizes > 0).all() and ((content.wrong >= 0) & (content.wrong <= 1)).all()
