"""The network expanded anew: with no stage it is linearised, with one a step it is finetuning itself."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from theory.base import Misuse, mean_loss
from theory.compute.descent import descend, epochs
from theory.theories.linearised import Linearised, Linearization
from theory.theories.relinearised import Relinearised, relinearised_network, with_anchor

RATE, STEPS = 0.25, 12
BATCHES = epochs(jax.random.key(9), 8, 3, STEPS)
OPTIMIZERS = {"sgd": optax.sgd(RATE), "adam": optax.adam(RATE)}


def trained(prior, optimizer, data, doses, batches=BATCHES):
    """The network itself, finetuned."""
    kept, _ = descend(
        lambda params, batch: mean_loss(prior.with_params(params), batch),
        optimizer,
        prior.params,
        data,
        batches,
        doses,
    )
    return kept


def at(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def probabilities(predictor, tokens):
    return np.exp(np.asarray(predictor.predict(tokens), float))


def gap(left, right):
    leaves = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return np.sqrt(sum(np.sum(np.square(np.asarray(a - b, float))) for a, b in leaves))


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_expanded_after_every_step_it_is_the_network(curved, data, documents, rule):
    """Weights and answers; the optimiser's state goes on from stage to stage."""
    doses = [1, 5, STEPS]
    theory = Relinearised(OPTIMIZERS[rule], RATE, BATCHES, anew=tuple(range(1, STEPS + 1)))
    stacked = theory.path(curved, data, RATE * np.asarray(doses))
    weights = trained(curved, OPTIMIZERS[rule], data, doses)
    for row in range(3):
        assert gap(at(stacked.params[0], row), at(weights, row)) < 1e-3
        network = curved.with_params(at(weights, row))
        np.testing.assert_allclose(
            probabilities(at(stacked, row), documents), probabilities(network, documents), atol=2e-4
        )
    assert np.abs(probabilities(network, documents) - probabilities(curved, documents)).max() > 0.2


def test_never_expanded_anew_it_is_linearised(curved, data, documents):
    after = Relinearised(OPTIMIZERS["adam"], RATE, BATCHES, anew=()).predict(curved, data, STEPS * RATE)
    line = Linearised(OPTIMIZERS["adam"], RATE, BATCHES).predict(curved, data, STEPS * RATE)
    np.testing.assert_allclose(probabilities(after, documents), probabilities(line, documents), atol=1e-5)


def test_stages_are_linear_finetunings_one_after_the_other(curved, data, documents):
    after = Relinearised(OPTIMIZERS["sgd"], RATE, BATCHES, anew=(3, 7)).predict(curved, data, STEPS * RATE)
    base = curved
    for start, end in ((0, 3), (3, 7), (7, STEPS)):
        line = Linearization(base, base.params)
        moved = at(trained(line, OPTIMIZERS["sgd"], data, [end - start], BATCHES[start:end]), 0)
        last, base = base, base.with_params(moved)
    assert gap(after.params[0], moved) < 1e-4 and gap(after.params[1], last.params) < 1e-4
    np.testing.assert_allclose(
        probabilities(after, documents), probabilities(Linearization(last, moved), documents), atol=1e-4
    )


def test_the_error_is_as_long_as_a_stage_less_its_first_step(curved, data):
    """That one is exact. To first order in the step size a stage of m steps then errs m - 1 times as much."""
    rate = 0.01
    weights = at(trained(curved, optax.sgd(rate), data, [STEPS]), 0)

    def error(stage):
        theory = Relinearised(optax.sgd(rate), rate, BATCHES, anew=tuple(range(stage, STEPS, stage)))
        return gap(theory.predict(curved, data, STEPS * rate).params[0], weights)

    two, three, four = (error(stage) for stage in (2, 3, 4))
    assert two > 1e-4
    assert abs(three / two - 2) < 0.5 and abs(four / two - 3) < 0.75


def test_the_anchor_has_no_gradient(curved, data):
    start = relinearised_network(curved, curved)
    moving, anchor = jax.jit(jax.grad(lambda params: mean_loss(start.with_params(params), data)))(
        start.params
    )
    wanted = jax.jit(jax.grad(lambda params: mean_loss(curved.with_params(params), data)))(curved.params)
    assert gap(moving, wanted) < 1e-6
    assert not any(leaf.any() for leaf in jax.tree.leaves(anchor))


def test_the_anchor_jumps_when_it_is_due():
    rule = with_anchor(optax.sgd(1.0), (2,))
    params = (jnp.zeros(()), jnp.zeros(()))
    state, path = rule.init(params), []
    for _ in range(3):
        change, state = rule.update((jnp.asarray(-1.0), jnp.asarray(7.0)), state, params)
        params = optax.apply_updates(params, change)
        path.append(tuple(map(float, params)))
    assert path == [(1.0, 0.0), (2.0, 2.0), (3.0, 2.0)]


def test_a_line_search_gets_the_loss_of_the_numbers_that_move():
    """A rule like `optax.lbfgs`, which asks for the loss at another place than its own."""

    def update(updates, state, params, *, value, grad, value_fn):
        return -grad + value_fn(params + 1) - value, state

    searching = optax.GradientTransformationExtraArgs(lambda params: (), update)
    rule, pair = with_anchor(searching, (1,)), (jnp.asarray(2.0), jnp.asarray(5.0))
    value, slope = jax.value_and_grad(lambda pair: pair[0] ** 2 * pair[1])(pair)
    more = {"value": value, "grad": slope, "value_fn": lambda pair: pair[0] ** 2 * pair[1]}
    change, _ = rule.update(slope, rule.init(pair), pair, **more)
    assert float(change[0]) == -20 + 45 - 20
    assert float(change[1]) == 2 + 5 - 5


def test_a_stage_before_the_first_step_is_refused():
    with pytest.raises(Misuse, match=r"anew must be numbers of steps from 1, got \(0, 2\)"):
        Relinearised(optax.sgd(0.1), 0.1, BATCHES, anew=(0, 2))
