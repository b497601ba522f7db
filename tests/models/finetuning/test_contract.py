"""Every way of finetuning, found by walking the folder, moves the network as its rule says."""

import functools
import importlib
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.discovery import Catalogue
from models.finetuning.method import ExtraData, Method, Wrapper, finetune
from models.network import build, first
from models.transformer import Architecture
from theory.base import mean_loss
from theory.compute.descent import epochs
from theory.processes.persona_topics import example as process

METHODS = [name.replace("-", "_") for name in Catalogue().names("methods")]
STILL = {"self_distillation"}  # the negative control
PROCESS = process()
METRICS = {"identity", "adam"}
NETWORK = first(build(Architecture(width=8, layers=1, heads=2), PROCESS.vocabulary, PROCESS.length, [0]))
QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run
STEPS, DOSES = 200, [1, 3, 8, 200]


def example(name):
    return importlib.import_module(f"models.finetuning.{name}").example()


@functools.cache
def setting(persona):
    """D' of 12 documents, batches of 4, and everything that a method may need."""
    data = PROCESS.narrow(jax.random.key(persona), 12, persona, [0])
    others = PROCESS.narrow(jax.random.key(5), 3 * STEPS, 0, [0, 1])
    replay = jax.tree.map(lambda leaf: leaf.reshape(STEPS, 3, -1), others)
    given = ExtraData(replay, PROCESS.distribution().condition(data, 1.0), jax.random.key(persona))
    return data, epochs(jax.random.key(1 + persona), 12, 4, STEPS), given


@functools.cache
def program(name):
    """Two runs in one program, as studies map them over data, orders and extra data; compiled once."""
    method = example(name)

    def run(params, data, batches, given):
        return finetune(NETWORK.with_params(params), data, batches, method, DOSES, given)

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), setting(1), setting(2))
    mapped = jax.jit(jax.vmap(run, in_axes=(None, 0, 0, 0)), compiler_options=QUICK)
    return lambda params: mapped(params, *stacked)


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def test_methods_are_found():
    assert {"sgd", "adam", "lora", "early_stopping", "distillation", *STILL} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_snapshots_are_those_of_a_plain_loop(name):
    """In the method's own coordinates, on its own loss; what it holds out chooses the weights."""
    method, optimizer = example(name), example(name).optimizer()
    assert isinstance(method, Method)
    kept, losses = program(name)(NETWORK.params)
    assert jax.tree.structure(kept) == jax.tree.structure(NETWORK.params)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def advance(base, params, state, batch, given, held_out):
        loss = lambda params: method.loss(base.with_params(params), base, batch, given)  # noqa: E731
        value, slope = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(slope, state, params)
        params = optax.apply_updates(params, updates)
        return params, state, value, held_out and mean_loss(base.with_params(params), held_out)

    for row, (data, batches, given) in enumerate([setting(1), setting(2)]):
        batches, held_out = method.split(data, batches)
        base = method.coordinates(NETWORK, given)
        params, state = base.params, optimizer.init(base.params)
        best, lowest = params, held_out and mean_loss(base, held_out)
        for step in range(8):
            now = replace(given, replay=at(given.replay, step))
            batch = at(data, batches[step])
            params, state, value, judged = advance(base, params, state, batch, now, held_out)
            np.testing.assert_allclose(losses[row, step], value, rtol=1e-4, atol=1e-6)
            if held_out is None or judged < lowest:
                best, lowest = params, judged
            if step + 1 in DOSES:
                full = getattr(base.with_params(best), "weights", best)
                got = at(kept, (row, DOSES.index(step + 1)))
                for left, right in zip(jax.tree.leaves(got), jax.tree.leaves(full), strict=True):
                    np.testing.assert_allclose(left, right, atol=2e-5)


@pytest.mark.parametrize("name", METHODS)
def test_finetuning_lowers_the_loss_on_its_data(name):
    kept, _ = program(name)(NETWORK.params)
    for row, (data, _, _) in enumerate([setting(1), setting(2)]):
        tuned = NETWORK.with_params(at(kept, (row, -1)))
        before, after = mean_loss(NETWORK, data), mean_loss(tuned, data)
        if name in STILL:
            np.testing.assert_allclose(after, before, rtol=1e-6)
        else:
            assert after < before - 1e-3


@pytest.mark.parametrize("name", METHODS)
def test_a_diverging_run_is_data_not_an_exception(name):
    _, losses = program(name)(jax.tree.map(lambda leaf: leaf * jnp.nan, NETWORK.params))
    assert np.isnan(losses).all()


def at_rate(method, factor):
    """The same method with its step size times `factor`."""
    if isinstance(method, Wrapper):
        return replace(method, rule=at_rate(method.rule, factor))
    return replace(method, learning_rate=factor * method.learning_rate)


@pytest.mark.parametrize("name", METHODS)
def test_the_learning_rate_time_ascends_from_0_and_is_linear_in_a_small_rate(name):
    method, doses = example(name), (0, *DOSES)
    times = method.training_time(doses)
    small, tiny = (at_rate(method, factor).training_time(doses) for factor in (1e-6, 1e-7))
    assert METRICS >= set(times) == set(small) == set(tiny)
    for metric, time in times.items():
        assert time.shape == (len(doses),)
        assert time[0] == 0 and (np.diff(time) > 0).all()
        np.testing.assert_allclose(small[metric], 10 * tiny[metric], rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_time_is_not_inherited(name):
    """What a wrapper changes makes its rule's untrue: a method derives its own or has none."""
    method = example(name)
    if "training_time" not in vars(type(method)):
        assert method.training_time(DOSES) == {}


@pytest.mark.parametrize("name", ["head_only", "lora", "muon"])
def test_what_is_no_flow_of_all_weights_has_no_time(name):
    assert example(name).training_time(DOSES) == {}
