"""Which experiments share compiled programs, and that sharing them changes no byte."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.cells.program_store import alike, equal, of_method
from experiments.cells.programs import Executor, Executors
from experiments.design.options import with_options
from experiments.storage.records import Cell
from experiments.studies import when_bayesian
from models.finetuning.replay import Replay
from models.finetuning.sgd import Sgd
from theory.theories.linear_mixture import LinearMixture

CONFIG = when_bayesian.PRESETS["smoke"]


def experiment(**changes):
    options = {name.replace("__", "."): value for name, value in changes.items()}
    return when_bayesian.experiment(with_options(CONFIG, options))


@pytest.fixture(scope="module")
def centre():
    return experiment()


@pytest.mark.parametrize(
    "changes",
    [
        {"process__seed": 3, "process__style": 0.5, "process__rarity": 1.0},
        {"pretraining__until_learnt": 0.5, "finetuned_topics": (0,)},
        {"finetuning__batch": 4, "finetuning__n": 12},
        {"finetuning__methods": ("sgd", "adam"), "rate": 2.0, "finetuning__doses": (1, 8, 16)},
    ],
)
def test_numbers_that_are_arguments_share_programs(centre, changes):
    assert alike(centre, experiment(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"process__pairs": 4},
        {"process__personas": 3},
        {"network__output_scale": 2.0},
        {"finetuning__seeds": 3},
        {"seed": 1},
        {"theories": ("linearised",)},
    ],
)
def test_all_else_does_not(centre, changes):
    assert not alike(centre, experiment(**changes))


def test_a_program_of_a_method_is_that_of_its_step_size_and_doses():
    name = of_method("finetune", Sgd(0.1), (1, 8))
    assert name == of_method("finetune", Sgd(0.1), (1, 8))
    others = ("replay", Sgd(0.1), (1, 8)), ("finetune", Sgd(0.2), (1, 8)), ("finetune", Sgd(0.1), (1, 4))
    assert name not in [of_method(*other) for other in others]


def test_a_theory_that_holds_the_process_shares_nothing_with_another_process():
    theories = ("linearised", "linear-mixture")
    assert alike(experiment(theories=theories), experiment(theories=theories))
    assert not alike(experiment(theories=theories), experiment(theories=theories, process__seed=1))


def test_a_method_that_meets_documents_of_the_process_shares_nothing(centre):
    replayed = replace(centre, methods={"replay": Replay()})
    assert not alike(replayed, replayed)


def test_what_is_no_plain_value_is_equal_to_itself_alone(centre):
    process = centre.process.distribution()
    assert equal(LinearMixture(process), LinearMixture(centre.process.distribution()))
    assert not equal(
        LinearMixture(process), LinearMixture(replace(process, log_weights=process.log_weights[::-1]))
    )
    assert equal([1, "a", (2.0, None)], [1, "a", (2.0, None)]) and not equal([1], (1,)) and not equal(1, 1.0)
    assert equal(len, len) and not equal(lambda: 1, lambda: 1)


@pytest.mark.slow
def test_shared_programs_give_the_bytes_of_own_ones(untrained):
    small = {"network__width": 4, "finetuning__doses": (1, 2), "process__pairs": 4}
    first, second = experiment(**small), experiment(**small, process__seed=1, process__style=1.0)
    network, executors = untrained(first), Executors()
    cells = [Cell("theories", first.arms[0].name, 0)]
    cells += [Cell(kind, first.arms[0].name, 0, "sgd") for kind in ("replays", "finetuned")]
    for cell in cells:
        executors.of(first, network).run(cell, network)
    shared, alone = executors.of(second, network), Executor(second, network)
    assert shared.finetuned.finetune["sgd"] is executors.of(first, network).finetuned.finetune["sgd"]
    for cell in cells:
        contents = [executor.run(cell, network)[0] for executor in (shared, alone)]
        for ours, theirs in zip(*map(arrays, contents), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def arrays(content):
    """Every array in a cell, ladders included."""
    ladders = [ladder.log_probs for ladder in getattr(content, "ladders", ())]
    plain = [part for part in vars(content).values() if isinstance(part, np.ndarray | dict)]
    return [*ladders, *jax.tree.leaves(plain)]
