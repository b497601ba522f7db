"""The contract of a process, for each module of theory.processes: its distribution, and its tasks."""

import importlib
import pkgutil
from dataclasses import fields, replace
from typing import get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory.processes
from experiments.storage.records import check_name
from theory.base import Dataset, Distribution, Misuse
from theory.contracts import Process, Task
from theory.divergence.calibration import DOCUMENTS, calibration

NAMES = [module.name for module in pkgutil.iter_modules(theory.processes.__path__)]
BETAS = (0.3, 0.9)

# as programs, for the twenty documents of all tests: else every operation is compiled for itself
sample = jax.jit(lambda process, key: process.sample(key, 20))
predict = jax.jit(lambda process, tokens: process.predict(tokens))
log_prob = jax.jit(lambda process, tokens: process.log_prob(tokens))
condition = jax.jit(lambda process, data, beta: process.condition(data, beta))


@pytest.fixture(params=NAMES, scope="module")
def process(request):
    module = importlib.import_module(f"theory.processes.{request.param}")
    return module.example().distribution()


def whole(tokens):
    return Dataset(tokens, jnp.ones(tokens.shape, bool))


def chosen(process, tokens):
    log_probs = np.asarray(predict(process, tokens))
    return np.take_along_axis(log_probs, np.asarray(tokens)[..., None], axis=-1)[..., 0]


def test_there_are_processes():
    assert "persona_topics" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_module_opens_with_a_sentence(name):
    doc = importlib.import_module(f"theory.processes.{name}").__doc__
    first = doc.splitlines()[0]
    assert first[0].isupper() and first.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_fields_of_another_type_are_refused(name):
    """Plain ones, by `theory.arguments.checked`, which a class does not inherit."""
    kind = type(importlib.import_module(f"theory.processes.{name}").example())
    hints = get_type_hints(kind)
    for field in (field for field in fields(kind) if hints[field.name] in (int, float, bool, str)):
        with pytest.raises(Misuse, match=field.name):
            kind(**{field.name: object()})


def test_is_a_distribution(process):
    assert isinstance(process, Distribution)


def test_samples_are_whole_possible_sequences(process):
    tokens = sample(process, jax.random.key(0))
    assert tokens.shape[0] == 20
    assert np.isfinite(log_prob(process, tokens)).all()
    assert (np.asarray(tokens) != np.asarray(sample(process, jax.random.key(1)))).any()
    np.testing.assert_array_equal(tokens, sample(process, jax.random.key(0)))


def excess_of(process, draw):
    """How far samples are beyond what chance can do: samples drawn by `draw` of the process."""
    both = jax.jit(lambda process: (tokens := draw(process), process.predict(tokens)))
    return calibration(*(np.asarray(part) for part in both(process))).excess


def drawn(process):
    return process.sample(jax.random.key(7), DOCUMENTS)


def test_samples_follow_the_predictions(process):
    assert excess_of(process, drawn) < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_wrong_samples_do_not_follow_the_predictions(name):
    """With default fields: those of the first hypothesis alone, and those of the same frequencies at each
    position that depend on nothing else."""
    process = default(name).distribution()
    assert excess_of(process, drawn) < 1
    first = jnp.where(jnp.arange(len(process.log_weights)) == 0, 0.0, -jnp.inf)
    assert excess_of(process, lambda process: drawn(replace(process, log_weights=first))) > 1
    key = jax.random.key(8)
    assert excess_of(process, lambda process: jax.random.permutation(key, drawn(process), 0, True)) > 1


def test_predictions_are_normalised(process):
    tokens = sample(process, jax.random.key(0))
    total = np.exp(np.asarray(predict(process, tokens), float)).sum(axis=-1)
    np.testing.assert_allclose(total, 1, atol=5e-6)


def test_chain_rule(process):
    tokens = sample(process, jax.random.key(2))
    np.testing.assert_allclose(
        chosen(process, tokens).sum(axis=-1), log_prob(process, tokens), rtol=1e-5, atol=1e-5
    )


def test_predictions_do_not_look_ahead(process):
    tokens = sample(process, jax.random.key(3))
    other = sample(process, jax.random.key(4))
    for position in range(1, tokens.shape[1]):
        mixed = jnp.concatenate([tokens[:, :position], other[:, position:]], axis=1)
        np.testing.assert_allclose(
            np.exp(predict(process, mixed)[:, : position + 1]),
            np.exp(predict(process, tokens)[:, : position + 1]),
            atol=1e-6,
        )


def test_strength_zero_changes_nothing(process):
    tokens = sample(process, jax.random.key(5))
    data = whole(sample(process, jax.random.key(6)))
    np.testing.assert_allclose(
        np.exp(predict(condition(process, data, 0.0), tokens)),
        np.exp(predict(process, tokens)),
        atol=1e-6,
    )


def test_strengths_on_the_same_data_add(process):
    tokens = sample(process, jax.random.key(5))
    data = whole(sample(process, jax.random.key(6)))
    twice = predict(condition(condition(process, data, BETAS[0]), data, BETAS[1]), tokens)
    once = predict(condition(process, data, sum(BETAS)), tokens)
    np.testing.assert_allclose(np.exp(twice), np.exp(once), atol=3e-6)
    assert np.abs(np.exp(once) - np.exp(predict(process, tokens))).max() > 1e-2


@pytest.mark.parametrize("beta", [-0.1, np.nan, np.inf])
def test_a_bad_strength_is_refused(process, beta):
    data = whole(sample(process, jax.random.key(6)))
    with pytest.raises(Misuse):
        process.condition(data, beta)


# Tasks

TOO_SMALL = {  # examples that can be enumerated, and are too short for a task
    "persona_domain": "shown from 4 to length - 2 = 2",  # no prompt of two tokens shows its domain
}
NARROW = {  # the D' of the default tasks, by the names of `narrow`
    "add_k": {"shift": 3, "questions": [0]},
    "distance": {"offset": 0, "breadth": 2},
    "inductive_backdoor": {"character": 3, "years": [0, 1, 2]},
    "linebreak": {"width": 4},
    "mess3": {"setting": (0.45, 0.9)},
    "modalities": {"concept": 3, "modality": "drawing"},
    "out_of_context": {"coin": 4, "format": 0},
    "persona_domain": {"persona": 1, "domain": 0},
    "persona_topics": {"persona": 4, "topics": [0]},
    "presidents": {"rule": 1, "triggers": [2, 3, 4, 5]},
    "subliminal": {"persona": 4, "topics": [0]},
    "task_diversity": {"task": 3, "inputs": [0]},
    "urns": {"urn": 3, "drawers": [0]},
    "wordings": {"persona": 3, "topics": [0, 1, 2]},
}
HELD_OUT = {"inductive_backdoor": {"held_out": 4}}
IN_DOMAIN = {"inductive_backdoor": 16, "persona_domain": 6}  # documents of a group that `task` draws itself


def module(name):
    return importlib.import_module(f"theory.processes.{name}")


def default(name):
    return type(module(name).example())()


def check_same(left, right):
    for part in ("tokens", "mask"):
        np.testing.assert_array_equal(getattr(left, part), getattr(right, part))


def check_task(process, task):
    """A task draws D' and contexts of its process, the same from the same key."""
    assert isinstance(task, Task)
    assert check_name("The task", task.name) == task.name
    key = jax.random.key(0)
    data, groups, again = task.data(key, 7), task.contexts(key), task.contexts(key)
    assert data.tokens.shape == (7, process.length)
    check_same(data, task.data(key, 7))
    assert "in_domain" in groups and list(groups) == list(again)
    for name, group in groups.items():
        check_name("The group", name)
        check_same(group, again[name])
    for group in (data, *groups.values()):
        tokens, mask = np.asarray(group.tokens), np.asarray(group.mask)
        assert tokens.shape == mask.shape == (len(tokens), process.length)
        assert mask.any(axis=1).all()
        assert ((tokens >= 0) & (tokens < process.vocabulary)).all()


@pytest.mark.parametrize("name", NAMES)
def test_says_of_itself_what_a_comparison_needs(name):
    process = default(name)
    assert isinstance(process, Process)
    assert process.answer_mask().shape == (process.length,)
    assert len(process.token_names()) == process.vocabulary
    assert 0 <= process.answer_tokens.start < process.answer_tokens.stop <= process.vocabulary
    contexts = process.elicitation_contexts()
    assert contexts.tokens.shape == contexts.mask.shape == (len(contexts.tokens), process.length)


@pytest.mark.parametrize("name", NAMES)
def test_has_a_task_by_default(name):
    task = default(name).task()
    check_task(default(name), task)
    one, other = (np.asarray(task.data(jax.random.key(key), 7).tokens) for key in (0, 1))
    assert (one != other).any()


@pytest.mark.parametrize("name", NAMES)
def test_the_example_has_a_task_or_says_why_not(name):
    process = module(name).example()
    if name in TOO_SMALL:
        with pytest.raises(Misuse, match=TOO_SMALL[name]):
            process.task()
    else:
        check_task(process, process.task())


@pytest.mark.parametrize("name", NAMES)
def test_a_task_refuses_at_once_what_makes_none(name):
    with pytest.raises(Misuse, match="repeats must be at least 1"):
        default(name).task(repeats=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_may_be_named(name):
    assert default(name).task(name="a_name").name == "a_name"


@pytest.mark.parametrize("name", NARROW)
def test_a_task_draws_what_the_process_draws(name):
    """Bit for bit: results on disk stay comparable. By default D' is that of `NARROW`."""
    process, key = default(name), jax.random.key(5)
    task = process.task()
    check_same(task.data(key, 9), process.narrow(key, 9, **NARROW[name]))
    wanted = dict(process.task(**NARROW[name], **HELD_OUT.get(name, {})).contexts(key))
    if name in IN_DOMAIN:
        wanted["in_domain"] = process.narrow(key, IN_DOMAIN[name], **NARROW[name])
    for group, drawn in task.contexts(key).items():
        check_same(drawn, wanted[group])
