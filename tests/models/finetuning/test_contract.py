"""Every way of finetuning, found by walking the folder, moves the network as its rule says."""

import importlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import models.finetuning
from models.finetune import finetune
from models.network import build, first
from models.transformer import Architecture
from theory.base import mean_loss
from theory.descent import epochs
from theory.distributions.persona_topics import example as process

METHODS = [module.name for module in pkgutil.iter_modules(models.finetuning.__path__)]
PROCESS = process()


@pytest.fixture(scope="module")
def setting():
    shape = Architecture(width=8, layers=1, heads=2)
    network = first(build(shape, PROCESS.vocabulary, PROCESS.length, [0]))
    data = PROCESS.narrow(jax.random.key(0), 12, 2, [0])
    return network, data, epochs(jax.random.key(1), 12, 4, 8)


def test_methods_are_found():
    assert {"sgd", "adam"} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_snapshots_are_those_of_a_plain_loop(name, setting):
    network, data, batches = setting
    method = importlib.import_module(f"models.finetuning.{name}").example()
    kept, losses = finetune(network, data, batches, method, [1, 3, 8])
    optimizer = method.optimizer()
    params, state = network.params, optimizer.init(network.params)
    expected, seen = {}, []
    for step in range(8):
        batch = jax.tree.map(lambda leaf: leaf[batches[step]], data)  # noqa: B023
        value, slope = jax.value_and_grad(lambda p: mean_loss(network.with_params(p), batch))(params)  # noqa: B023
        updates, state = optimizer.update(slope, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(float(value))
        expected[step + 1] = params
    np.testing.assert_allclose(losses, seen, rtol=1e-5)
    for row, dose in enumerate([1, 3, 8]):
        for left, right in zip(jax.tree.leaves(kept), jax.tree.leaves(expected[dose]), strict=True):
            np.testing.assert_allclose(left[row], right, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_finetuning_lowers_the_loss_on_its_data(name, setting):
    network, data, _ = setting
    method = importlib.import_module(f"models.finetuning.{name}").example()
    batches = epochs(jax.random.key(1), 12, 12, 200)
    kept, _ = finetune(network, data, batches, method, [200])
    tuned = network.with_params(jax.tree.map(lambda leaf: leaf[0], kept))
    assert mean_loss(tuned, data) < mean_loss(network, data) - 1e-3


@pytest.mark.parametrize("name", METHODS)
def test_a_diverging_run_is_data_not_an_exception(name, setting):
    network, data, batches = setting
    broken = network.with_params(jax.tree.map(lambda leaf: leaf * jnp.nan, network.params))
    method = importlib.import_module(f"models.finetuning.{name}").example()
    _, losses = finetune(broken, data, batches, method, [8])
    assert np.isnan(losses).all()
