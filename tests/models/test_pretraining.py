"""Pretraining learns, resumes to the same bytes, and keeps its seeds apart."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.network import build, first
from models.optimizers import stalls
from models.optimizers.stalls import SHRINK
from models.pretraining import (
    AVERAGING,
    DATA_STREAM,
    HELD,
    HELD_STREAM,
    Pretraining,
    cross_entropy,
    default_rate,
    excess_nats,
    pretrain,
    stream,
)
from models.transformer import Architecture
from theory.base import Dataset, log_likelihood
from theory.errors import Misuse
from theory.latent.mixture import Uninformed
from theory.processes.persona_topics import PersonaTopics

PROCESS = PersonaTopics(personas=2, topics=3, answers=2, pairs=2)
SHAPE = Architecture(width=16, layers=1, heads=2)
RECIPE = Pretraining(learning_rate=0.05, steps=45, batch=16, chunk=20)


def chunks(recipe=RECIPE, seeds=(0, 1), restore=lambda template: None):
    process = PROCESS.distribution()
    return pretrain(process, SHAPE, recipe, seeds, PROCESS.vocabulary, PROCESS.length, restore)


@pytest.fixture(scope="module")
def history():
    """Chunks, with their state on the host: the next one takes the devices' memory."""
    return [(chunk, jax.tree.map(np.array, jax.device_get(chunk.state)), chunk.params) for chunk in chunks()]


@pytest.fixture(scope="module")
def untrained():
    return first(build(SHAPE, PROCESS.vocabulary, PROCESS.length, [0]))


def test_chunks_end_where_the_steps_do(history):
    assert [chunk.step for chunk, *_ in history] == [20, 40, 45]


def test_the_excess_over_the_oracle_falls(history):
    early, late = history[0][0], history[-1][0]
    assert (late.excess < 0.5 * early.excess).all() and (late.excess > 0).all()
    np.testing.assert_allclose(late.learnt, 1 - late.excess / late.uninformed)
    assert (early.learnt < late.learnt).all() and (late.learnt < 1).all()


def test_the_reported_excess_is_a_kl_from_the_oracle(untrained):
    """An untrained uniform network's excess is log v minus the entropy, position by position."""
    process = PROCESS.distribution()
    network = untrained.with_params(jax.tree.map(jnp.zeros_like, untrained.params))
    tokens = process.sample(jax.random.key(5), 400)
    exact = process.predict(tokens)
    entropy = -np.where(np.isfinite(exact), np.exp(exact) * exact, 0).sum(axis=-1).mean(axis=0)
    expected = np.log(PROCESS.vocabulary) - entropy
    np.testing.assert_allclose(excess_nats(process, network, tokens), expected, atol=1e-5)


def test_the_excess_is_that_of_the_averaged_weights_on_documents_of_another_stream(history, untrained):
    """They are new after every chunk, and none is ever trained on."""
    process = PROCESS.distribution()

    @jax.jit
    def excess(predictor, index):
        tokens = process.sample(stream(jnp.uint32(0), HELD_STREAM, index), HELD)
        return excess_nats(process, predictor, tokens).mean()

    assert HELD_STREAM != DATA_STREAM
    for start, (chunk, state, params) in zip((0, 20, 40), history, strict=True):
        average = jax.tree.map(lambda leaf: leaf[0], params)
        np.testing.assert_allclose(excess(untrained.with_params(average), start), chunk.excess[0], rtol=1e-4)
        np.testing.assert_allclose(excess(Uninformed(process), start), chunk.uninformed[0], rtol=1e-4)
        leaves = zip(jax.tree.leaves(average), jax.tree.leaves(state.params), strict=True)
        assert any(np.abs(mean - last[0]).max() > 1e-4 for mean, last in leaves)


def test_the_result_averages_the_last_weights_more():
    """Of AdamW's steps, a chunk each; the first weights have no share."""
    recipe = Pretraining("adamw", 0.1, steps=4, batch=4, chunk=1)
    weights = [
        (np.array(jax.tree.leaves(chunk.state.params)[0]), jax.tree.leaves(chunk.params)[0])
        for chunk in chunks(recipe)
    ]
    mean = np.zeros_like(weights[0][0])
    for count, (now, average) in enumerate(weights, 1):
        mean += (AVERAGING + 1) / (count + AVERAGING) * (now - mean)
        np.testing.assert_allclose(average, mean, atol=1e-6)


def test_exact_targets_have_the_mean_gradient_of_all_next_tokens(untrained):
    """At every position, of the documents that end there in each of the tokens that may come next."""
    process = PROCESS.distribution()
    tokens = np.asarray(process.sample(jax.random.key(0), 3))
    rows, positions, ends = (axis.ravel() for axis in np.indices((*tokens.shape, PROCESS.vocabulary)))
    changed, mask = tokens[rows], np.arange(tokens.shape[1]) == positions[:, None]
    changed[mask] = ends
    weights = np.exp(process.predict(tokens))[rows, positions, ends] / tokens.size

    def mean(params):
        return -jnp.sum(weights * log_likelihood(untrained.with_params(params), Dataset(changed, mask)))

    def ours(params):
        return cross_entropy(process, untrained.with_params(params), tokens)

    assert (weights > 0).sum() > 2 * tokens.size
    gradients = (jax.tree.leaves(jax.jit(jax.grad(loss))(untrained.params)) for loss in (mean, ours))
    for left, right in zip(*gradients, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


@pytest.mark.parametrize(("steps", "warmup"), [(2000, 50), (200, 10), (20, 1), (3, 1)])
def test_the_step_size_rises_and_stays(steps, warmup):
    sizes = Pretraining("adamw", 0.5, steps=steps).step_sizes(np.arange(steps))
    np.testing.assert_allclose(sizes[:warmup], 0.5 * np.arange(1, warmup + 1) / warmup, rtol=1e-6)
    np.testing.assert_allclose(sizes[warmup:], 0.5)


def test_a_step_of_adamw_has_its_size():
    """An update by a gradient that stays is the step size."""
    rule, one = Pretraining("adamw").direction(), jnp.ones(())
    update, _ = rule.update(one, rule.init(one), one)
    np.testing.assert_allclose(update, -1, rtol=1e-5)


def test_a_resumed_run_ends_with_the_same_bytes(history):
    chunk, state, _ = history[0]
    resumed = list(chunks(restore=lambda template: (chunk.step, state)))
    assert [chunk.step for chunk in resumed] == [40, 45]
    for left, right in zip(jax.tree.leaves(resumed[-1].state), jax.tree.leaves(history[-1][1]), strict=True):
        np.testing.assert_array_equal(np.asarray(left), right)


@pytest.mark.slow
def test_what_stalls_is_shrunk_only_where_a_share_is_wanted(monkeypatch):
    """Looks after every chunk: the second finds less than everything learnt, and a resumed run does, too."""
    monkeypatch.setattr(stalls, "PATIENCE", 5)
    monkeypatch.setattr(stalls, "FALL", 0.0)
    wanted = replace(RECIPE, until_learnt=0.999)
    plain = [jax.tree.map(np.array, chunk.state) for chunk in chunks()]
    watched = [jax.tree.map(np.array, chunk.state) for chunk in chunks(wanted)]
    assert [state.watch.start.tolist() for state in plain] == [[0, 0]] * 3
    assert [state.watch.start.tolist() for state in watched] == [[0, 0], [40, 40], [40, 40]]
    for whole, small in zip(
        jax.tree.leaves(plain[1].params), jax.tree.leaves(watched[1].average), strict=True
    ):  # another program, and so another rounding
        assert np.linalg.norm(small) == pytest.approx(SHRINK * np.linalg.norm(whole), rel=0.02)
    resumed = [chunk.state for chunk in chunks(wanted, restore=lambda template: (20, watched[0]))]
    for left, right in zip(jax.tree.leaves(resumed[-1]), jax.tree.leaves(watched[-1]), strict=True):
        np.testing.assert_array_equal(np.asarray(left), right)


def test_seeds_differ(history):
    assert all(not np.array_equal(leaf[0], leaf[1]) for leaf in jax.tree.leaves(history[-1][2]))


@pytest.mark.slow
def test_adamw_learns_from_tokens_too():
    recipe = Pretraining("adamw", 0.01, steps=30, batch=16, chunk=30, targets="tokens")
    last = list(chunks(recipe, (0, 1)))[-1]
    assert (last.excess < 0.5).all()


def test_training_ends_where_every_network_has_learnt_enough():
    assert not Pretraining().is_learnt([0.99])
    wanted = Pretraining(until_learnt=0.95)
    assert wanted.is_learnt([0.95, 0.96]) and not wanted.is_learnt(np.array([0.94, 0.99]))
    assert not wanted.is_learnt([np.nan])


def test_wider_networks_take_smaller_steps():
    np.testing.assert_allclose([default_rate("muon", 36), default_rate("muon", 144)], [0.005, 0.0025])
    np.testing.assert_allclose([default_rate("adamw", 20), default_rate("adamw", 80)], [0.01, 0.0025])


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"steps": 0}, "steps"),
        ({"batch": 0}, "batch"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"until_learnt": 1.0}, "until_learnt must be above 0 and below 1, got 1.0"),
        ({"targets": "words"}, "targets must be 'exact' or 'tokens', got 'words'"),
        ({"optimizer": "sgdd"}, "sgdd"),
    ],
)
def test_impossible_recipes_are_refused(fields, word):
    with pytest.raises(Misuse, match=word):
        Pretraining(**fields)
