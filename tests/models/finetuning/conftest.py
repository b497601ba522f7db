"""A tiny network, a table with an answer for every previous token, and D', for the tests of methods."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from models.finetuning.method import finetune
from models.network import build, first
from models.transformer import Architecture
from theory.base import mean_loss
from theory.compute.descent import epochs
from theory.processes.persona_topics import example

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Table:
    """Logits are the weights: a row for each previous token, the last one starts."""

    params: Any

    def predict(self, tokens):
        before = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=self.params.shape[-1])
        return jax.nn.log_softmax(self.params[before])

    def with_params(self, params):
        return replace(self, params=params)


@pytest.fixture(scope="session")
def table():
    return Table(0.7 * jax.random.normal(jax.random.key(1), (6, 5)))


@pytest.fixture(scope="session")
def network():
    process = example()
    return first(build(Architecture(width=8, layers=1, heads=2), process.vocabulary, process.length, [0]))


@pytest.fixture(scope="session")
def data():
    """Twelve documents of the rarest persona."""
    return example().narrow(jax.random.key(3), 12, 2, [0, 1])


@pytest.fixture(scope="session")
def batches():
    """Eight steps, four documents each."""
    return epochs(jax.random.key(4), 12, 4, 8)


@pytest.fixture(scope="session")
def others():
    """Three documents of another persona for each of eight steps."""
    drawn = example().narrow(jax.random.key(5), 24, 0, [0, 1])
    return jax.tree.map(lambda leaf: leaf.reshape(8, 3, -1), drawn)


@pytest.fixture(scope="session")
def run():
    """Finetuning, compiled: weights after every dose and each step's loss."""

    def compiled(network, data, batches, method, doses, extra=None):
        program = lambda *given: finetune(*given[:3], method, doses, given[3])  # noqa: E731
        return jax.jit(program, compiler_options=QUICK)(network, data, batches, extra)

    return compiled


@pytest.fixture(scope="session")
def descent(network, data):
    """Loss of a batch of D' (rows of it) or of other documents, and its gradient in all weights."""
    loss = jax.value_and_grad(lambda params, batch: mean_loss(network.with_params(params), batch))
    program = jax.jit(loss, compiler_options=QUICK)

    def at(params, batch):
        rows = batch if hasattr(batch, "tokens") else jax.tree.map(lambda leaf: leaf[batch], data)
        return program(params, rows)

    return at


@pytest.fixture(scope="session")
def travelled():
    """-w after every dose, from 0, of a weight whose gradient is 1 + pull × w."""

    def distances(method, doses, pull=0.0):
        optimizer, w = method.optimizer(), jnp.zeros(())
        state, kept = optimizer.init(w), []
        for step in range(1, doses[-1] + 1):
            updates, state = optimizer.update(1 + pull * w, state, w)
            w = optax.apply_updates(w, updates)
            if step in doses:
                kept.append(-float(w))
        return kept

    return distances
