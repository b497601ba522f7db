"""Experiment and arms: names that files can have, batches, cells, and what a process must have."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.design.checks import PROCESS_MEMBERS
from experiments.design.experiment import Arm
from experiments.design.options import with_options
from experiments.design.study import Study
from experiments.storage.records import Cell
from experiments.studies import weird_generalisation as study
from theory.contracts import Process, Task
from theory.errors import Misuse


@pytest.fixture(scope="module")
def experiment():
    return study.experiment(with_options(study.PRESETS["smoke"], {"finetuning.doses": (1, 4)}))


def task(name):
    return Task(name, lambda key, n: None, lambda key: {})


@pytest.mark.parametrize("name", ["a--b", "-x", "a/b", "", "a-", "a b", "..", "a\\b", "é"])
def test_a_name_that_no_file_can_have_is_refused(experiment, name):
    with pytest.raises(
        Misuse, match=r"The arm '.*' cannot name a file: use letters, digits and single dashes"
    ):
        Arm(task(name))
    with pytest.raises(Misuse, match=r"The method '.*' cannot name a file"):
        replace(experiment, methods={name: experiment.methods["sgd"]})


def test_theories_are_a_list_and_batches_are_of_d_prime(experiment):
    with pytest.raises(Misuse, match="theories must be a list of names, got 'all'"):
        replace(experiment, theories="all")
    for batch in (0, experiment.n + 1):
        with pytest.raises(Misuse, match=f"must be from 1 to n = {experiment.n}, got {batch}"):
            replace(experiment, arms=(Arm(task("x"), batch),))


def test_a_name_too_long_for_a_file_is_refused():
    with pytest.raises(Misuse, match=r"The arm a{20}\.\.\. has 101 characters, and 100 are the most"):
        Arm(task("a" * 101))


def test_a_teacher_is_refused_where_the_data_take_none():
    with pytest.raises(Misuse, match="The data of the task x take no teacher; omit it"):
        Arm(task("x"), teacher=lambda base: base)


VALUES = [
    ("belief-geometry", {"finetuned_settings": ((1e-5, 0.5), (0.1, 0.5))}, ["1e-05_0.5", "0.1_0.5"]),
    ("belief-geometry", {"finetuned_settings": ((0.1, 0.5), (0.1 + 1e-9, 0.5))}, None),
    ("mixtures", {"shares": (0.704, 0.701, 1e-7)}, ["70.4_29.6", "70.1_29.9", "1e-05_100"]),
    ("mixtures", {"shares": (0.1, 0.1 + 1e-9)}, None),
    ("far-away", {"offsets": (-2, 1)}, ["inside2", "outside1"]),
    ("langevin-vs-sgd", {"batches": (2, 2)}, None),
    ("linebreak-widths", {"finetuned_widths": (4, 4)}, None),
]


@pytest.mark.parametrize(("study", "changes", "names"), VALUES)
def test_a_name_made_of_values_is_read_back_or_refused(study, changes, names):
    chosen = Study.find(study)
    config = with_options(chosen.preset("smoke"), changes)
    if names is None:
        with pytest.raises(Misuse, match=r"Arms must have different names \(to six digits\)"):
            chosen.experiment(config)
        return
    made = chosen.experiment(config)
    assert [arm.name for arm in made.arms] == names
    assert all(Cell.parse(cell.name) == cell for cell in made.cells())


@pytest.mark.parametrize("rate", [0.032, 1e-30])
def test_methods_named_by_their_step_sizes_are_read_back(rate):
    chosen = Study.find("lazy-limit")
    config = with_options(chosen.preset("smoke"), {"halvings": 20, "finetuning.sgd_rate": rate})
    cells = chosen.experiment(config).cells()
    assert len({cell.method for cell in cells}) == 22
    assert all(Cell.parse(cell.name) == cell for cell in cells)


@pytest.mark.parametrize("name", ["same-start", "blob2", "topics0_1", "a-b-c", "rate=0.1", "b16"])
def test_every_other_name_is_read_back_from_its_cells(experiment, name):
    made = replace(experiment, arms=(Arm(task(name)), Arm(task(name), batch=16)))
    assert [arm.batch for arm in made.arms] == [None, 16]  # a number in a name is no batch
    assert [arm.name for arm in made.arms] == [name, f"{name}-batch16"]
    for cell in made.cells():
        assert Cell.parse(cell.name) == cell
        assert made.arm(cell.arm).name == cell.arm


def test_cells_come_in_the_order_they_are_run(experiment):
    names = [cell.name for cell in experiment.cells()]
    assert names == [
        f"{kind}--topics0--{base}"
        for base in range(2)
        for kind in ("theories", "finetuned--sgd", "replays--sgd", "finetuned--adam", "replays--adam")
    ]


def test_an_arm_of_another_batch_has_another_training(experiment):
    arms = Arm(task("x")), Arm(task("x"), batch=2)
    made = replace(experiment, arms=arms)
    whole, small = (made.training("sgd", arm) for arm in arms)
    assert (whole.batch, small.batch) == (experiment.batch, 2)
    np.testing.assert_allclose(small.passes * experiment.batch, whole.passes * 2)
    np.testing.assert_array_equal(small.times["identity"], whole.times["identity"])


def test_arms_of_one_name_are_refused(experiment):
    with pytest.raises(Misuse, match="Arms must have different names"):
        replace(experiment, arms=experiment.arms * 2)


@pytest.mark.parametrize("batch", [0, 17])
def test_a_batch_beyond_the_documents_is_refused(experiment, batch):
    with pytest.raises(Misuse, match=f"batch must be from 1 to n = 16, got {batch}"):
        replace(experiment, batch=batch)


@pytest.mark.parametrize("doses", [(), (2, 1), (0, 1), (1, 1)])
def test_doses_that_do_not_ascend_are_refused(experiment, doses):
    with pytest.raises(Misuse):
        replace(experiment, doses=doses)


def members(process, *without):
    return SimpleNamespace(
        **{name: getattr(process, name) for name in PROCESS_MEMBERS if name not in without}
    )


@pytest.mark.parametrize("name", PROCESS_MEMBERS)
def test_a_process_without_a_member_is_refused_by_its_name(experiment, name):
    replace(experiment, process=members(experiment.process))
    with pytest.raises(Misuse, match=rf"SimpleNamespace lacks {name}, which .*docs/extending/process.md"):
        replace(experiment, process=members(experiment.process, name))


def test_the_members_are_those_of_the_contract():
    public = {name for name in vars(Process) if name[0] != "_"}
    assert set(PROCESS_MEMBERS) == public | {"task"}


def test_contexts_are_drawn_once(experiment):
    calls = []

    def contexts(key):
        calls.append(key)
        return {}

    made = replace(experiment, arms=(Arm(Task("once", lambda key, n: None, contexts)),))
    assert made.contexts(made.arms[0]) is made.contexts(made.arms[0])
    assert len(calls) == 1


def test_the_scale_has_the_longest_of_all_learning_rate_times(experiment):
    scale = experiment.scale(36.0)
    times = [method.training_time((1, 4)) for method in experiment.methods.values()]
    assert scale.answers == 36.0
    assert scale.longest == max(float(time.max()) for each in times for time in each.values())
    assert replace(experiment, methods={}).scale(1.0).longest == 0
