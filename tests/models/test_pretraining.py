"""Pretraining learns, resumes to the same bytes, and keeps its seeds apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.network import build, first
from models.pretraining import DATA_STREAM, Pretraining, excess_nats, pretrain, stream
from models.transformer import Architecture
from theory.errors import Misuse
from theory.processes.persona_topics import PersonaTopics

PROCESS = PersonaTopics(personas=2, topics=3, answers=2, pairs=2)
SHAPE = Architecture(width=16, layers=1, heads=2)
RECIPE = Pretraining(learning_rate=0.05, steps=45, batch=16, chunk=20)


def chunks(recipe=RECIPE, seeds=(0, 1), restore=lambda template: None):
    process = PROCESS.distribution()
    return pretrain(process, SHAPE, recipe, seeds, PROCESS.vocabulary, PROCESS.length, restore)


@pytest.fixture(scope="module")
def history():
    return [
        (chunk.step, jax.tree.map(np.array, jax.device_get(chunk.state)), chunk.loss, chunk.excess)
        for chunk in chunks()
    ]


def test_chunks_end_where_the_steps_do(history):
    assert [step for step, *_ in history] == [20, 40, 45]


def test_the_excess_over_the_oracle_falls(history):
    first_excess, last_excess = history[0][3], history[-1][3]
    assert (last_excess < 0.5 * first_excess).all()
    assert (last_excess > 0).all()


def test_the_reported_excess_is_a_kl_from_the_oracle(history):
    """An untrained uniform network's excess is log v minus the entropy, position by position."""
    process = PROCESS.distribution()
    network = first(build(SHAPE, PROCESS.vocabulary, PROCESS.length, [0]))
    network = network.with_params(jax.tree.map(jnp.zeros_like, network.params))
    tokens = process.sample(jax.random.key(5), 400)
    exact = process.predict(tokens)
    entropy = -np.where(np.isfinite(exact), np.exp(exact) * exact, 0).sum(axis=-1).mean(axis=0)
    expected = np.log(PROCESS.vocabulary) - entropy
    np.testing.assert_allclose(excess_nats(process, network, tokens), expected, atol=1e-5)


def test_the_excess_is_measured_on_documents_that_were_not_trained_on(history):
    """It is the excess on the batch of a step that is still to come, or that never comes."""
    process, untrained = PROCESS.distribution(), build(SHAPE, PROCESS.vocabulary, PROCESS.length, [0])

    @jax.jit
    def excess(params, index):
        tokens = process.sample(stream(jnp.uint32(0), DATA_STREAM, index), RECIPE.batch)
        return excess_nats(process, first(untrained).with_params(params), tokens).mean()

    for step, state, _, reported in history:
        params = jax.tree.map(lambda leaf: leaf[0], state[0])
        gaps = [abs(excess(params, index) - reported[0]) for index in range(RECIPE.steps + RECIPE.chunk)]
        assert min(gaps) < 1e-5 and np.argmin(gaps) >= step


@pytest.mark.parametrize("steps", [200, 20, 3])
def test_the_step_size_rises_over_a_twentieth_of_the_steps_and_falls_to_nothing(steps):
    """Read off AdamW, whose update by a gradient that stays the same is the step size."""
    rule, zero = Pretraining("adamw", 0.5, steps=steps).transformation(), jnp.zeros(())

    def update(moments, _):
        moved, moments = rule.update(jnp.ones(()), moments, zero)
        return moments, -moved

    rates = jax.lax.scan(update, rule.init(zero), length=steps + 1)[1]
    warmup = max(1, steps // 20)
    np.testing.assert_allclose(rates[: warmup + 1], 0.5 * np.arange(warmup + 1) / warmup, rtol=1e-3)
    late = np.arange(steps + 1 - warmup) / (steps - warmup)
    np.testing.assert_allclose(rates[warmup:], 0.25 * (1 + np.cos(np.pi * late)), atol=1e-3)


def test_a_resumed_run_ends_with_the_same_bytes(history):
    step, state, *_ = history[0]
    resumed = list(chunks(restore=lambda template: (step, state)))
    assert [chunk.step for chunk in resumed] == [40, 45]
    for left, right in zip(jax.tree.leaves(resumed[-1].state), jax.tree.leaves(history[-1][1]), strict=True):
        np.testing.assert_array_equal(np.asarray(left), right)


def test_seeds_differ(history):
    weights = jax.tree.leaves(history[-1][1][0])
    assert all(not np.array_equal(leaf[0], leaf[1]) for leaf in weights)


def test_adamw_learns_too():
    last = list(chunks(Pretraining("adamw", 0.01, steps=30, batch=16, chunk=30), (0, 1)))[-1]
    assert (last.excess < 0.5).all()


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"steps": 0}, "steps"), ({"batch": 0}, "batch"), ({"learning_rate": 0}, "learning_rate")],
)
def test_impossible_recipes_are_refused(fields, word):
    with pytest.raises(Misuse, match=word):
        Pretraining(**fields)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(Misuse, match="sgdd"):
        Pretraining("sgdd")
