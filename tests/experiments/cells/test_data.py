"""D' of an arm: alike for all base networks, or written by a teacher that is made of one of them."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments.cells.data import FinetuningData
from experiments.design import random_streams
from experiments.design.experiment import Arm
from experiments.runs.cell_by_cell import one_by_one
from experiments.storage.records import Cell
from models.network import Network
from theory.base import Dataset
from theory.compute.descent import epochs
from theory.contracts import Task

EXPERIMENT = SimpleNamespace(seed=5, seeds=2, n=4, batch=2, steps=3, base_seeds=3)


def network(weight):
    return Network({"weight": np.float32(weight)}, None)


def data(key, n, teacher=None):
    """Documents of a seed's noise, and the teacher's weight."""
    tokens = jax.random.randint(key, (n, 3), 0, 7)
    tokens = tokens.at[:, 0].set(0 if teacher is None else int(teacher.params["weight"]))
    return Dataset(tokens, np.ones((n, 3), bool))


def arm(name, **more):
    return Arm(Task(name, data, lambda key: {}), **more)


@pytest.fixture
def taught():
    """An arm, and the networks that were made into a teacher, in turn."""
    made = []

    def teacher(base):
        made.append(base)
        return base.with_params({"weight": base.params["weight"] + 10})

    return arm("taught", teacher=teacher, teacher_offset=1), made


def test_without_a_teacher_it_is_made_of_the_key_and_n():
    plain, documents = arm("plain"), FinetuningData(EXPERIMENT)
    made = documents.finetuning(plain, network(1))
    assert made.data.tokens.shape == (2, 4, 3) and made.order.shape == made.replica_order.shape == (2, 3, 2)
    assert (made.data.tokens[..., 0] == 0).all() and documents.teacher(plain, network(1)) is None
    assert (made.data.tokens[0] != made.data.tokens[1]).any()
    assert documents.finetuning(plain, network(2)) is made


def test_every_seed_has_streams_of_its_own():
    made = FinetuningData(EXPERIMENT).finetuning(arm("plain"), network(1))
    for seed in range(2):

        def stream(number, seed=seed):
            return jax.random.fold_in(jax.random.fold_in(jax.random.key(5), number), seed)

        np.testing.assert_array_equal(made.data.tokens[seed], data(stream(random_streams.DATA), 4).tokens)
        np.testing.assert_array_equal(made.order[seed], epochs(stream(random_streams.ORDER), 4, 2, 3))
        replica = epochs(stream(random_streams.REPLICA_ORDER), 4, 2, 3)
        np.testing.assert_array_equal(made.replica_order[seed], replica)


def test_an_arm_may_have_a_batch_of_its_own():
    """It meets the same D' in other steps."""
    plain, large = arm("plain"), arm("plain", batch=4)
    documents = FinetuningData(EXPERIMENT)
    ours, theirs = (documents.finetuning(each, network(1)) for each in (plain, large))
    assert ours.order.shape == (2, 3, 2) and theirs.order.shape == theirs.replica_order.shape == (2, 3, 4)
    np.testing.assert_array_equal(ours.data.tokens, theirs.data.tokens)


def test_an_arm_may_have_fewer_documents():
    """No order meets what pads its D', and nothing of it counts."""
    made = FinetuningData(EXPERIMENT).finetuning(arm("small", n=3), network(1))
    assert made.data.tokens.shape == (2, 3, 3) and max(made.order.max(), made.replica_order.max()) == 2
    padded = made.padded(EXPERIMENT.n)
    assert padded.tokens.shape == padded.mask.shape == (2, 4, 3) and not padded.mask[:, 3:].any()
    np.testing.assert_array_equal(padded.tokens[:, :3], made.data.tokens)
    assert padded.mask[:, :3].all()


def test_a_teacher_is_made_once_for_each_base_network_and_writes_for_every_seed(taught):
    student, made = taught
    documents, (one, other) = FinetuningData(EXPERIMENT), map(network, (1, 2))
    for source in (one, one, other, other):
        finetuning = documents.finetuning(student, source)
        assert (finetuning.data.tokens[..., 0] == source.params["weight"] + 10).all()
        assert documents.teacher(student, source).params["weight"] == source.params["weight"] + 10
        np.testing.assert_array_equal(finetuning.order, documents.finetuning(student, one).order)
    assert made == [one, other]


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_cells_hand_over_the_base_network_of_the_teacher(offset, tmp_path):
    seen = []
    only = arm("some", teacher_offset=offset)

    class Executor:
        experiment = SimpleNamespace(base_seeds=3, first_base=0, arm=lambda name: only)

        def run(self, cell, student, source, retrained):
            seen.append((cell.method, int(student.params["weight"]), int(source.params["weight"])))
            return None, ""

    run = SimpleNamespace(folder=tmp_path, save=lambda cell, content, once: None)
    bases = network(0).with_params({"weight": np.arange(3)})
    cells = [Cell("finetuned", "some", base, "sgd") for base in range(3)]
    assert [finished.cell for finished in one_by_one(Executor(), bases, run, cells, None)] == cells
    assert seen == [("sgd", base, (base + offset) % 3) for base in range(3)]


def test_the_questions_of_an_arm_are_its_contexts_in_one_batch(tiny):
    experiment = tiny()
    arm = experiment.arms[0]
    questions = FinetuningData(experiment).questions(arm)
    key = jax.random.fold_in(jax.random.key(experiment.seed), random_streams.CONTEXTS)
    groups = arm.task.contexts(key)
    assert list(dict.fromkeys(questions.group)) == list(groups)
    counts = {name: int(np.asarray(group.mask).sum()) for name, group in groups.items()}
    assert {name: (questions.group == name).sum() for name in groups} == counts
    tokens = np.concatenate([np.asarray(group.tokens) for group in groups.values()])
    np.testing.assert_array_equal(questions.tokens, tokens)
    names = np.asarray(experiment.process.token_names())
    np.testing.assert_array_equal(questions.questions, names[tokens[questions.rows, questions.positions - 1]])
    np.testing.assert_array_equal(questions.answers, names[experiment.process.answer_tokens])
    mask = questions.mask(len(tokens) + 3)
    assert mask.shape == (len(tokens) + 3, tokens.shape[1]) and mask.sum() == sum(counts.values())
    assert mask[questions.rows, questions.positions].all()
    values = np.arange(2 * mask.size * 4, dtype=np.float64).reshape(2, *mask.shape, 4)
    assert questions.at(values).dtype == np.float32
    np.testing.assert_array_equal(questions.at(values), values[:, mask].astype(np.float32))
