"""Arguments of processes and tasks: another type, or another name, is one sentence, wherever it is."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.arguments import fits
from theory.base import Dataset, check_beta
from theory.contracts import Task
from theory.errors import Misuse
from theory.processes.mess3 import BeliefGeometry
from theory.processes.persona_topics import PersonaTopics

WORLD = PersonaTopics(personas=3, topics=4, pairs=3)
KEY = jax.random.key(0)
D = WORLD.distribution()


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, int, True),
        (np.int64(3), int, True),
        (jnp.asarray(3), int, True),
        (True, int, False),
        (3.0, int, False),
        ("3", int, False),
        (3, float, True),
        (np.float32(3), float, True),
        (False, float, False),
        (np.bool_(True), bool, True),
        (1, bool, False),
        (None, int | None, True),
        ("a", int | None, False),
        ((0, 1), Sequence[int], True),
        (np.array([0, 1]), Sequence[int], True),
        (range(2), Sequence[int], True),
        ("01", Sequence[int], False),
        (3, Sequence[int], False),
        ((0, 1.5), Sequence[int], False),
        (((0.5, 1), (2,)), tuple[tuple[float, ...], ...], True),
        (((0.5, "a"),), tuple[tuple[float, ...], ...], False),
        ({0: 1.0}, Mapping[int, float], True),
        ({"a": 1.0}, Mapping[int, float], False),
        (object(), Task, True),  # not judged here
    ],
)
def test_a_value_fits_its_annotation(value, kind, expected):
    assert fits(value, kind) is expected


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: PersonaTopics(seed=-1), "seed must be at least 0, got -1"),
        (lambda: PersonaTopics(rarity="a"), "rarity must be a number, got 'a'"),
        (lambda: PersonaTopics(5, True), "topics must be an integer, got True"),
        (lambda: PersonaTopics(topic=3), "PersonaTopics has no argument topic; did you mean topics?"),
        (lambda: BeliefGeometry(settings=(0.1,)), "settings must be a list of lists, got"),
        (lambda: WORLD.task(persona=1.5), "persona must be an integer or a mapping of integers to numbers"),
        (lambda: WORLD.task(topics=0), "topics must be a list of integers, got 0"),
        (lambda: WORLD.task(name=3), "name must be text or None, got 3"),
        (lambda: WORLD.task().data(KEY, 2.5), "at least one document, got n = 2.5"),
        (lambda: WORLD.task().data(KEY, n=0), "at least one document, got n = 0"),
        (lambda: WORLD.task().data(0, 2), r"A key is needed, like jax.random.key\(0\), got 0"),
        (lambda: WORLD.task().contexts(None), "A key is needed"),
        (lambda: D.predict([[0, 4]]), r"Mixture.predict needs arrays, got a list, \[\[0, 4\]\]"),
        (lambda: D.sample(KEY, "3"), "Mixture.sample needs arrays, got a str"),
        (lambda: Dataset([[0]], [[True]]), "A Dataset has arrays, got a list"),
        (lambda: Dataset(np.zeros((2, 3), int), np.ones(3, bool)), r"one shape \(n, t\), got \(2, 3\) and"),
        (lambda: Dataset(np.zeros((2, 3)), np.ones((2, 3), bool)), "must be integers .*, got float64"),
        (lambda: check_beta("a"), "strength beta must be finite and at least 0, got 'a'"),
        (lambda: check_beta(np.ones(3)), "strength beta must be finite"),
    ],
)
def test_a_mistake_is_one_sentence(call, sentence):
    with pytest.raises(Misuse, match=sentence):
        call()


def test_a_dataset_is_rebuilt_around_anything_else():
    """As jax does: shapes, traced arrays, axes, and sums in place of arrays."""
    data = WORLD.task().data(KEY, 2)
    assert jax.eval_shape(lambda data: data, data).tokens.shape == (2, 6)
    assert jax.tree.map(lambda _: 0, data) == Dataset(0, 0)
    summed = jax.jit(jax.vmap(lambda data: data.tokens.sum(), in_axes=(Dataset(0, 0),)))(data)
    np.testing.assert_array_equal(summed, data.tokens.sum(axis=1))
