"""A run as a recipe is the same finetuning, also from a start that replaces the network."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models.finetuning.adam import Adam
from models.finetuning.early_stopping import EarlyStopping
from models.finetuning.lora import Lora
from models.finetuning.method import ExtraData, FinetuningRun, Method, finetune, run_plan, training_plan
from models.finetuning.replay import Replay
from models.finetuning.sgd import Sgd
from theory.base import Misuse
from theory.theories.linearised import Linearization
from theory.theories.relinearised import relinearised_network, with_anchor
from theory.theories.two_looks import TwoLooks

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run
DOSES = (1, 3, 8)
METHODS = {
    "all": Sgd(0.1),
    "factors": Lora(rank=2, rule=Sgd(0.1)),
    "replay": Replay(0.3, Sgd(0.1)),
    "held out": EarlyStopping(rule=Lora(rank=2, rule=Sgd(0.1))),
}


def same(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(params=METHODS)
def recipe(request, data, batches, others):
    return FinetuningRun(
        data, batches, METHODS[request.param], DOSES, ExtraData(others, key=jax.random.key(3))
    )


def compiled(function, network):
    return jax.jit(function, compiler_options=QUICK)(network)


@pytest.mark.parametrize("expansion", [None, Linearization])
def test_it_finetunes_the_network_and_its_expansion(recipe, network, expansion):
    def both(network):
        model = network if expansion is None else expansion(network, network.params)
        weights, _ = finetune(model, recipe.data, recipe.batches, recipe.method, DOSES, recipe.extra)
        return recipe.finetune(model), weights

    same(*compiled(both, network))


def test_it_trains_a_start_in_the_coordinates_of_the_method(recipe, network):
    """By the method's own rule that is finetuning."""

    def both(network):
        start = recipe.coordinates(network)
        params = recipe.train(start, recipe.optimizer())
        weights = jax.vmap(lambda moved: full(start.with_params(moved)))(params)
        return weights, recipe.finetune(network)

    same(*compiled(both, network))


def full(model):
    return getattr(model, "weights", model.params)


def test_it_trains_a_function_of_the_coordinates_by_another_rule(recipe, network):
    """An expansion with its anchor, whose plan is made from the network: what `relinearised` does."""

    def both(network):
        line = relinearised_network(network, recipe.coordinates(network))
        rule = with_anchor(recipe.optimizer(), DOSES[:-1])
        plan = training_plan(network, recipe.data, recipe.batches, recipe.method, recipe.extra)
        return recipe.train(line, rule), run_plan(replace(plan, start=line), rule, DOSES)[0]

    left, right = compiled(both, network)
    same(left, right)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(left))


def test_methods_that_descend_documents_alone():
    """Not those that replay others, or choose among weights, whatever is wrapped around them."""
    assert {name for name, method in METHODS.items() if method.by_document} == {"all", "factors"}
    assert not Lora(rank=2, rule=Replay(0.3, Sgd(0.1))).by_document


@pytest.mark.slow
def test_its_documents_and_loss_are_all_that_it_descends(recipe, network):
    """Up to seven steps two-looks, which sees no more, is finetuning."""
    run = replace(recipe, doses=(1, 5))
    if run.method.by_document:
        follow = lambda network: (TwoLooks().follow(network, run)[1], run.finetune(network))  # noqa: E731
        for ours, wanted in zip(*map(jax.tree.leaves, compiled(follow, network)), strict=True):
            np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_extra_data_that_are_missing_are_refused(network, data, batches):
    run = FinetuningRun(data, batches, Replay(), DOSES)
    for attempt in (run.finetune, lambda start: run.train(start, run.optimizer())):
        with pytest.raises(Misuse, match="Replay needs a replay, got none"):
            attempt(network)


@dataclass(frozen=True)
class LineSearch(Method):
    """A quasi-Newton method, which asks for the loss besides its gradient."""

    learning_rate: float = 1.0

    def optimizer(self):
        return optax.lbfgs()


def test_a_rule_with_a_line_search_is_given_the_loss(table, data, batches):
    """The same documents in every step: each step lowers the loss, and more than gradient descent."""
    whole = jnp.broadcast_to(jnp.arange(12), (5, 12))
    _, losses = finetune(table, data, whole, LineSearch(), [5])
    _, plain = finetune(table, data, whole, Sgd(1.0), [5])
    assert (jnp.diff(losses) < 0).all() and losses[-1] < plain[-1]


@pytest.mark.parametrize("rule", [Sgd(), Adam()])
def test_weights_of_half_precision_are_refused(table, data, batches, rule):
    half = table.with_params(table.params.astype(jnp.float16))
    with pytest.raises(Misuse, match="finetuned in float32, got weights of float16"):
        finetune(half, data, batches, rule, [1])
