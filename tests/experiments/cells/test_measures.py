"""Measures in cells: exact where theory says so, absent where nobody asks, the same after a round trip."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.cells.measures import distinct
from experiments.cells.programs import Executor
from experiments.scoring.measures import CANDIDATES, measures
from experiments.storage.contents import MEASURES, ReplayCell, TheoryCell
from experiments.storage.memory import MemoryRun
from models.finetuning.head_only import HeadOnly
from models.finetuning.sgd import Sgd

pytestmark = pytest.mark.slow  # make test has the measures of one method (test_api.py)
NAMES = ("linearised", "noise")


@pytest.fixture(scope="module")
def made(tiny, untrained):
    """The cells of an experiment with measures, of one base network."""
    experiment = tiny({"theories": NAMES, "finetuning.methods": ("sgd", "adam"), "process.specific": 0.0})
    methods = {"sgd": Sgd(0.5), "head-only": HeadOnly(rule=Sgd(0.5)), "adam": experiment.methods["adam"]}
    experiment = replace(experiment, measures=True, methods=methods)
    executor, run = Executor(experiment, untrained(experiment)), MemoryRun("made-up", experiment.doses)
    for cell in experiment.cells():
        if cell.base == 0 and cell.kind in ("theories", "replays"):
            run = run.with_content(cell, executor.run(cell, executor.template)[0])
    return experiment, executor, run


def test_cells_hold_every_measure_and_read_them_back(made):
    _, _, run = made
    names = set()
    for content in run.contents.values():
        assert isinstance(content, TheoryCell | ReplayCell)
        again = type(content).from_arrays(content.to_arrays())
        assert again.measures.keys() == content.measures.keys()
        for name, values in content.measures.items():
            assert np.array_equal(again.measures[name], values) and np.ndim(values) == len(MEASURES[name])
        names |= content.measures.keys()
    assert names == MEASURES.keys()


def test_columns_are_known_without_a_finetuned_network(made):
    lines = measures(made[2])
    assert len(lines) == 3 * 2 and {line.dose for line in lines} == {1, 2}
    unknown = {name for line in lines for name in CANDIDATES if getattr(line, name) is None}
    assert unknown == {"learnt", "quadratic_gap"}  # of a folder; of a theory that is not scored
    assert {round(line.common_share, 6) for line in lines} == {1.0}  # specific is 0


def test_a_read_out_that_moves_alone_has_no_second_order_and_all_weights_have(made):
    """Logits are linear in it: what is left of the second order normalises all answers alike."""
    kappas = {(line.method, line.dose): line.kappa for line in measures(made[2])}
    assert kappas["head-only", 2] < 1e-3
    assert kappas["sgd", 2] > 100 * kappas["head-only", 2]
    assert kappas["sgd", 2] > 1.5 * kappas["sgd", 1]  # about in proportion to the displacement


def test_kernels_are_of_distinct_contexts_and_depend_on_the_metric(made):
    experiment, executor, run = made
    lines = {line.method: line for line in measures(run)}
    for line in lines.values():
        assert -1 <= line.transfer <= 1 and -1 <= line.kernel_alignment <= 1
    assert lines["sgd"].transfer != pytest.approx(lines["adam"].transfer, rel=1e-3)
    questions = executor.data.questions(experiment.arms[0])
    chosen = distinct(questions)
    shown = [tuple(questions.tokens[questions.rows[i], : questions.positions[i]]) for i in chosen]
    assert len(set(shown)) == len(shown) < len(questions.rows)
    assert set(questions.group[chosen]) == {"in_domain", "held_out"}


def test_what_methods_have_in_common_is_compiled_once(made):
    """Features of those that move all weights, the orders of all of their displacements."""
    _, executor, _ = made
    assert executor.measures.moves_all == {"sgd": True, "head-only": False, "adam": True}
    assert len(executor.measures.features.programs) == len(executor.replays.orders.programs) == 1


def test_the_noise_of_an_order_is_predicted_where_steps_move_all_weights(made):
    cells = {cell.method: content for cell, content in made[2].contents.items() if cell.kind == "replays"}
    assert "order_noise" not in cells["head-only"].measures
    for method in ("sgd", "adam"):
        noise = cells[method].measures["order_noise"]
        assert np.isfinite(noise).all() and (noise > 0).any()


@pytest.mark.parametrize("method", ["sgd", "adam"])
def test_what_pads_a_smaller_set_makes_no_noise(tiny, untrained, method):
    """No order meets it: an arm of fewer documents has the noise of an experiment of as many."""
    whole = tiny({"theories": ("noise",), "finetuning.methods": (method,)})
    small = replace(whole, n=whole.batch + 1)
    own = replace(whole, arms=tuple(replace(arm, n=small.n) for arm in whole.arms))
    assert small.n < own.n
    noise = []
    for experiment in (small, own):
        executor = Executor(experiment, untrained(experiment))
        cell = next(cell for cell in experiment.cells() if cell.kind == "replays")
        noise.append(executor.run(cell, executor.template)[0].measures["order_noise"])
    assert (noise[0] > 0).any()
    np.testing.assert_array_equal(*noise)


def test_a_network_that_knows_nothing_infers_nothing_and_exact_inference_gains(made):
    first = measures(made[2])[0]
    assert first.inference_exact > 0 > first.inference_network
    assert first.evidence > 0 and abs(first.effect_network) < 0.2


def test_nobody_who_does_not_ask_gets_measures(tiny, untrained):
    experiment = tiny({"theories": NAMES[:1], "finetuning.methods": ("sgd",)})
    executor = Executor(experiment, untrained(experiment))
    assert executor.measures is None
    cells = [cell for cell in experiment.cells() if cell.base == 0 and cell.kind != "finetuned"]
    contents = [executor.run(cell, executor.template)[0] for cell in cells]
    assert [content.measures for content in contents] == [{}, {}]
    assert not any("measure" in name for content in contents for name in content.to_arrays())
    assert measures(MemoryRun("none", experiment.doses, dict(zip(cells, contents, strict=True)))) == []
