"""Two looks a stage: finetuning itself in as many steps, exact on quadratic losses, third order elsewhere."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.theory.theories.test_quadratic import Bilinear
from theory.base import Dataset, Misuse, mean_loss
from theory.compute.descent import descend, epochs
from theory.theories import two_looks
from theory.theories.linearised import Linearised
from theory.theories.two_looks import DocumentRun, Survey, TwoLooks, stage_ends
from theory.weights.curvature import gauss_newton

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run
RULES = {"sgd": optax.sgd(0.2), "adam": optax.adam(0.02)}


@dataclass(frozen=True)
class Run:
    """Finetuning of all weights."""

    data: Any
    batches: Any
    rule: Any
    doses: tuple[int, ...]
    of: Callable[..., Any] = lambda model, base, documents: mean_loss(model, documents)

    def loss(self, model, base, documents):
        return self.of(model, base, documents)

    def coordinates(self, network):
        return network

    def optimizer(self):
        return self.rule

    def train(self, start, rule):
        raise AssertionError("no step is replayed")

    finetune = train


def whole(steps):
    """All eight documents in every step."""
    return jnp.broadcast_to(jnp.arange(8), (steps, 8))


def finetuned(network, run):
    loss = lambda params, batch: run.loss(network.with_params(params), network, batch)  # noqa: E731
    return descend(loss, run.rule, network.params, run.data, run.batches, run.doses)[0]


def followed(network, run):
    """Networks after every dose (stacked), and their weights."""
    follow = jax.jit(lambda network: TwoLooks().follow(network, run), compiler_options=QUICK)
    return follow(network)


def distance(left, right):
    return float(optax.tree.norm(jax.tree.map(jnp.subtract, left, right)))


def gap(left, right, documents, row=-1):
    both = (model.with_params(jax.tree.map(lambda leaf: leaf[row], model.params)) for model in (left, right))
    left, right = (model.predict(documents) for model in both)
    return float(jnp.linalg.norm(left - right))


@pytest.mark.parametrize("rule", [pytest.param("sgd", marks=pytest.mark.slow), "adam"])
def test_as_many_stages_as_steps_are_finetuning(curved, data, rule):
    """Batches of any order, documents that do not count, and others that count more than once."""
    counted = Dataset(jnp.asarray(data.tokens), jnp.asarray(data.mask).at[0, 2:].set(False))
    run = Run(counted, epochs(jax.random.key(9), 8, 3, 7), RULES[rule], (1, 2, 7))
    assert isinstance(run, DocumentRun)
    wanted = finetuned(curved, run)
    padded = jax.tree.map(lambda leaf: jnp.pad(jnp.asarray(leaf), ((0, 2), (0, 0))), counted)
    models, weights = followed(curved, replace(run, data=padded))
    assert distance(weights, wanted) < 1e-5 and distance(models.params, wanted) < 1e-5
    assert distance(jax.tree.map(lambda leaf: leaf[2], weights), curved.params) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_quadratic_loss_is_followed_exactly(bigram, data, rule, monkeypatch):
    """The loss's own curvature at every look, and a Krylov space that holds all of it."""
    monkeypatch.setattr(two_looks, "gauss_newton", lambda network, data: gauss_newton(bigram, data))
    monkeypatch.setattr(two_looks, "PRODUCTS", 40)

    def quadratic(model, base, documents):
        """The mean loss to second order in the logits, which are the weights, about the base's."""
        before, now = (network.logits(documents.tokens) for network in (base, model))
        p, change = jax.nn.softmax(before), now - before
        mean = jnp.sum(p * change, axis=-1)
        chosen = jnp.sum(jax.nn.one_hot(documents.tokens, p.shape[-1]) * change, axis=-1)
        terms = mean - chosen + (jnp.sum(p * change**2, axis=-1) - mean**2) / 2
        return jnp.sum(jnp.where(documents.mask, terms, 0.0)) / jnp.sum(documents.mask)

    run = Run(data, whole(40), RULES[rule], (5, 40), quadratic)
    wanted = finetuned(bigram, run)
    assert distance(followed(bigram, run)[1], wanted) < 1e-4
    assert distance(jax.tree.map(lambda leaf: leaf[1], wanted), bigram.params) > 0.5


@pytest.mark.slow
def test_the_error_is_of_third_order(curved, data):
    """Half the step size, an eighth of the error."""

    def error(rate):
        run = Run(data, whole(28), optax.sgd(rate), (28,))
        return distance(followed(curved, run)[1], finetuned(curved, run))

    large, small = error(0.02), error(0.01)
    assert small > 1e-5  # far above rounding
    assert 6 < large / small < 10


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_it_is_nearer_than_the_tangent(curved, data, documents, rule):
    run = Run(data, epochs(jax.random.key(9), 8, 3, 60), RULES[rule], (20, 60))
    network = curved.with_params(finetuned(curved, run))
    models, _ = followed(curved, run)
    tangent = Linearised(RULES[rule], 0.1, run.batches).path(curved, data, np.asarray([2.0, 6.0]))
    tangent = np.asarray(jax.vmap(lambda model: model.predict(documents))(tangent))
    for row in (0, 1):
        ours = gap(models, network, documents, row)
        line = network.with_params(jax.tree.map(lambda leaf, row=row: leaf[row], network.params))
        assert ours < 0.4 * float(jnp.linalg.norm(line.predict(documents) - tangent[row]))


@pytest.mark.slow
def test_factors_without_a_gradient_at_the_start_move(curved, data):
    """As LoRA's A does, whose gradient is 0 where B is: by Adam, which would divide 0 by 0."""
    start = Bilinear({**curved.params, "unembed": jnp.zeros_like(curved.params["unembed"])})
    run = Run(data, whole(40), optax.adam(0.01), (40,))
    wanted, weights = finetuned(start, run), followed(start, run)[1]
    moved = distance(wanted["embed"], start.params["embed"])
    assert moved > 0.5 and distance(weights["embed"], wanted["embed"]) < 0.15 * moved


@pytest.mark.slow
def test_eight_gradients_and_four_lanczos_runs(bigram, data, monkeypatch):
    """However many steps and doses, counted while the program runs."""
    seen = {"gradients": 0, "with_curvature": 0}

    def count(name):
        seen[name] += 1

    def counted(name):
        method = getattr(Survey, name)

        def counting(self, *given):
            jax.debug.callback(functools.partial(count, name))
            return method(self, *given)

        monkeypatch.setattr(Survey, name, counting)

    for name in seen:
        counted(name)
    followed(bigram, Run(data, whole(40), optax.sgd(0.1), (4, 40)))
    jax.effects_barrier()
    assert seen == {"gradients": 8, "with_curvature": 4}
    assert (TwoLooks.cost.gradients, TwoLooks.cost.products) == (8, 32) and not TwoLooks.cost.replays


def test_stages_end_at_whole_steps():
    np.testing.assert_array_equal(stage_ends(128), [0, 12, 28, 46, 65, 85, 106, 128])
    np.testing.assert_array_equal(stage_ends(7), np.arange(8))
    np.testing.assert_array_equal(stage_ends(1), [0, 1])


def test_a_run_without_documents_is_refused(curved, data):
    class Steps:
        """A finetuning that does not show its documents."""

        doses = (1,)
        coordinates = finetune = train = optimizer = Run.coordinates

    with pytest.raises(Misuse, match="got Steps without data, batches or loss; give it those"):
        TwoLooks().follow(curved, Steps())
