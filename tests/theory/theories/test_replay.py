"""Theories that follow a finetuning step by step, against the same recipe and in other coordinates."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from theory.base import Dataset, mean_loss
from theory.compute.descent import descend, epochs
from theory.contracts import TrainingRun
from theory.theories.linearised import Linearised
from theory.theories.quadratic import Quadratic
from theory.theories.relinearised import Relinearised
from theory.theories.unchanged import Unchanged

RATE, DOSES = 0.25, (1, 5, 12)
BATCHES = epochs(jax.random.key(9), 8, 3, DOSES[-1])
RULE = optax.adam(RATE)
RECIPES = {
    "linearised": Linearised(RULE, RATE, BATCHES),
    "quadratic": Quadratic(RULE, RATE, BATCHES),
    "relinearised": Relinearised(RULE, RATE, BATCHES, anew=DOSES[:-1]),
}


@dataclass(frozen=True)
class Run:
    """Finetuning of all weights on the mean loss."""

    data: Dataset
    doses: tuple[int, ...] = DOSES

    def finetune(self, model):
        return self.train(model, RULE)

    def coordinates(self, network):
        return network

    def train(self, start, rule):
        loss = lambda params, batch: mean_loss(start.with_params(params), batch)  # noqa: E731
        return descend(loss, rule, start.params, self.data, BATCHES, self.doses)[0]

    def optimizer(self):
        return RULE


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Turned:
    """A network in coordinates of the other sign."""

    base: Any
    params: Any

    @property
    def weights(self):
        return jax.tree.map(jnp.negative, self.params)

    def predict(self, tokens):
        return self.base.with_params(self.weights).predict(tokens)

    def with_params(self, params):
        return replace(self, params=params)


@dataclass(frozen=True)
class TurnedRun(Run):
    """The same finetuning: neither Adam nor the loss sees a sign."""

    def coordinates(self, network):
        return Turned(network, jax.tree.map(jnp.negative, network.params))


def probabilities(stacked, documents):
    return np.exp(jax.vmap(lambda model: model.predict(documents))(stacked))


@pytest.mark.parametrize("name", RECIPES)
def test_a_replay_is_the_recipe_at_every_dose(name, curved, data, documents):
    """The instance's own recipe is not used: the run has its own."""
    assert isinstance(Run(data), TrainingRun)
    models, weights = type(RECIPES[name])().follow(curved, Run(data))
    path = RECIPES[name].path(curved, data, RATE * np.asarray(DOSES))
    np.testing.assert_allclose(probabilities(models, documents), probabilities(path, documents), atol=1e-5)
    moved = jax.tree.map(
        lambda after, before: np.abs(after - before).max(axis=(1, 2)), weights, curved.params
    )
    for leaf in jax.tree.leaves(moved):
        assert leaf.shape == (3,) and (np.diff(leaf) > 0).all() and leaf[0] > 0.1


def test_full_weights_are_made_of_other_coordinates(curved, data, documents):
    (models, weights), (turned, weights_there) = (
        Relinearised().follow(curved, run) for run in (Run(data), TurnedRun(data))
    )
    np.testing.assert_allclose(probabilities(turned, documents), probabilities(models, documents), atol=1e-5)
    jax.tree.map(
        lambda left, right: np.testing.assert_allclose(left, right, atol=1e-5), weights_there, weights
    )


def test_nothing_moves_where_nothing_changes(curved, data, documents):
    models, weights = Unchanged().follow(curved, Run(data))
    np.testing.assert_array_equal(
        probabilities(models, documents), np.stack([np.exp(curved.predict(documents))] * 3)
    )
    assert jax.tree.all(jax.tree.map(lambda leaf, base: bool((leaf == base).all()), weights, curved.params))
