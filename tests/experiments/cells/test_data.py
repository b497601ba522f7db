"""D' of an arm: alike for all base networks, or written by a teacher that is made of one of them."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments.cells.data import FinetuningData
from experiments.design.experiment import arm
from experiments.runs.workers import one_by_one
from models.network import Network
from theory.base import Dataset

COMPARISON = SimpleNamespace(seed=5, seeds=2, n=4, batch=2, steps=3, base_seeds=3)


def network(weight):
    return Network({"weight": np.float32(weight)}, None)


def narrow(key, n, teacher=None):
    """Documents of a seed's noise, and what the teacher weighs."""
    tokens = jax.random.randint(key, (n, 3), 0, 7)
    tokens = tokens.at[:, 0].set(0 if teacher is None else int(teacher.params["weight"]))
    return Dataset(tokens, np.ones((n, 3), bool))


@pytest.fixture
def taught():
    """An arm, and the networks that were made into a teacher, in turn."""
    made = []

    def teacher(base):
        made.append(base)
        return base.with_params({"weight": base.params["weight"] + 10})

    return arm("taught", narrow, lambda key: {}, 0, teacher=teacher, apart=1), made


def test_without_a_teacher_it_is_made_of_the_key_and_n():
    plain = arm("plain", narrow, lambda key: {}, 0)
    written = FinetuningData(COMPARISON)
    data, order, replica = written.data(plain, network(1))
    assert data.tokens.shape == (2, 4, 3) and order.shape == replica.shape == (2, 3, 2)
    assert (data.tokens[..., 0] == 0).all() and written.teacher(plain, network(1)) is None
    assert (data.tokens[0] != data.tokens[1]).any()
    assert written.data(plain, network(2))[0] is data


def test_a_teacher_is_made_once_for_each_base_network_and_writes_for_every_seed(taught):
    told, made = taught
    written, (one, other) = FinetuningData(COMPARISON), map(network, (1, 2))
    for source in (one, one, other, other):
        data, order, _ = written.data(told, source)
        assert (data.tokens[..., 0] == source.params["weight"] + 10).all()
        assert written.teacher(told, source).params["weight"] == source.params["weight"] + 10
        np.testing.assert_array_equal(order, written.data(told, one)[1])
    assert made == [one, other]


@pytest.mark.parametrize("apart", [0, 1, 2])
def test_cells_hand_over_the_base_network_of_the_teacher(apart):
    seen = []

    class Executor:
        comparison = SimpleNamespace(base_seeds=3, arms=[arm("some", narrow, lambda key: {}, 0, apart=apart)])

        def run(self, name, arm, student, source):
            seen.append((name, int(student.params["weight"]), int(source.params["weight"])))
            return {}, ""

    results = SimpleNamespace(save=lambda cell, arrays: None)
    bases = network(0).with_params({"weight": np.arange(3)})
    cells = [f"sgd-some-{base}" for base in range(3)]
    assert [cell for cell, _, _ in one_by_one(Executor(), bases, results, cells)] == cells
    assert seen == [("sgd", base, (base + apart) % 3) for base in range(3)]
