"""Early stopping chooses, at every dose, the best weights so far on documents it never trained on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models.finetuning.early_stopping import EarlyStopping
from models.finetuning.sgd import Sgd
from models.network import first
from theory.base import Dataset, Misuse, mean_loss
from theory.compute.descent import descend, epochs

DOSES = [1, 2, 4, 8, 16, 32, 64]


def test_held_out_documents_are_never_drawn_and_the_order_of_the_others_is_kept(data):
    batches = epochs(jax.random.key(0), 12, 3, 9)
    got, held_out = EarlyStopping(0.25).split(data, batches)
    np.testing.assert_array_equal(held_out.tokens, data.tokens[9:])
    np.testing.assert_array_equal(held_out.mask, data.mask[9:])
    assert got.shape == (9, 3)
    order = np.asarray(batches).reshape(-1)
    kept = order[order < 9]
    np.testing.assert_array_equal(got.reshape(-1), np.resize(kept, 27))  # from the start again at its end
    np.testing.assert_array_equal(np.sort(got.reshape(-1)[:9]), np.arange(9))  # an epoch of what is left


class Ascent(Sgd):
    """Gradient ascent."""

    def optimizer(self):
        return optax.sgd(-self.learning_rate)


def test_the_first_step_is_plain_descent_on_what_is_left(network, data, batches, run, descent):
    """Not taken where it makes what is held out worse, as a step uphill does."""
    for rate, accepted, rule in ((0.1, 1, Sgd(0.1)), (-0.1, 0, Ascent(0.1))):
        method = EarlyStopping(0.25, rule)
        got, losses = run(network, data, batches, method, [1])
        rows, _ = method.split(data, batches)
        value, slope = descent(network.params, rows[0])
        np.testing.assert_allclose(losses[0], value, rtol=1e-5)
        for new, old, g in zip(*map(jax.tree.leaves, (first(got), network.params, slope)), strict=True):
            np.testing.assert_allclose(new, old - accepted * rate * g, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.3, 1.0])  # much larger ones are chaos: two programs part ways
def test_weights_of_a_dose_are_the_best_so_far(network, run, rate):
    """Labels without rule are memorised: what is held out gets worse, and the choice is an earlier step's."""
    random = np.random.default_rng(0)
    data = Dataset(jnp.asarray(random.integers(0, 5, (12, 4))), jnp.ones((12, 4), bool))
    method, batches = EarlyStopping(0.5, Sgd(rate)), epochs(jax.random.key(2), 12, 6, 64)
    rows, held_out = method.split(data, batches)
    loss = lambda params: mean_loss(network.with_params(params), held_out)  # noqa: E731
    chosen, _ = run(network, data, batches, method, DOSES)
    every, _ = run(network, data, rows, Sgd(rate), list(range(1, 65)))
    path = np.concatenate([[loss(network.params)], jax.vmap(loss)(every)])
    got = np.asarray(jax.vmap(loss)(chosen))
    np.testing.assert_allclose(got, [path[: dose + 1].min() for dose in DOSES], rtol=1e-4)
    assert (np.diff(got) <= 1e-6).all() and (got <= path[0] + 1e-6).all()
    assert path[-1] > got[-1] + 0.05


def test_a_judge_keeps_the_lowest_of_a_path_by_hand():
    """w = 1, 2, 3, ... by steps of one; the judge likes 3, and 0 before there is a step."""
    data = Dataset(jnp.zeros((1, 1), int), jnp.ones((1, 1), bool))
    batches, doses = jnp.zeros((6, 1), int), [1, 2, 3, 6]
    slope = lambda params, batch: -params  # noqa: E731
    judges = {3.0: [1, 2, 3, 3], 0.0: [0, 0, 0, 0], 9.0: [1, 2, 3, 6]}
    for liked, wanted in judges.items():
        judge = lambda params, liked=liked: jnp.abs(params - liked)  # noqa: E731
        kept, _ = descend(slope, optax.sgd(1.0), jnp.zeros(()), data, batches, doses, judge)
        np.testing.assert_array_equal(kept, wanted)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, np.nan])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(Misuse, match=f"share must be above 0 and below 1, got {share}"):
        EarlyStopping(share)


@pytest.mark.parametrize(("count", "steps", "share"), [(1, 4, 0.5), (4, 4, 0.9), (4, 1, 0.5)])
def test_nothing_left_to_train_on_is_refused(data, count, steps, share):
    few = jax.tree.map(lambda leaf: leaf[:count], data)
    with pytest.raises(Misuse, match=f"of {count} documents leaves none of {steps} samples"):
        EarlyStopping(share).split(few, jnp.zeros((steps, 1), int))
