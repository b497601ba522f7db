"""Descent with snapshots against loops in plain numpy, with gradients written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from theory.base import Dataset, Misuse
from theory.compute.descent import advance, begin, check_doses, descend, epochs

RNG = np.random.default_rng(0)
TOKENS = RNG.integers(-3, 4, size=(6, 3))
DATA = Dataset(jnp.asarray(TOKENS), jnp.ones((6, 3), bool))
BATCHES = np.array([[0, 1], [2, 3], [4, 5], [1, 0], [5, 2], [3, 3], [0, 4]])
START = np.array([0.3, -0.2])
RATE = 0.02


def loss(params, batch):
    """½ mean (w·x - y)²: the first two tokens are x, the last is y."""
    miss = batch.tokens[:, :2] @ params["w"] - batch.tokens[:, 2]
    return 0.5 * jnp.mean(miss**2)


def plain(update, steps):
    """Weights after every step and losses before it."""
    w, state, weights, losses = START.copy(), None, [], []
    for rows in BATCHES[:steps]:
        x, y = TOKENS[rows, :2], TOKENS[rows, 2]
        miss = x @ w - y
        losses.append(0.5 * np.mean(miss**2))
        change, state = update(x.T @ miss / len(rows), state)
        w = w + change
        weights.append(w)
    return np.array(weights), np.array(losses)


def sgd(gradient, state):
    return -RATE * gradient, None


def adam(gradient, state):
    first, second, count = state or (0.0, 0.0, 0)
    count += 1
    first = 0.9 * first + 0.1 * gradient
    second = 0.999 * second + 0.001 * gradient**2
    size = (first / (1 - 0.9**count)) / (np.sqrt(second / (1 - 0.999**count)) + 1e-8)
    return -RATE * size, (first, second, count)


RULES = {"sgd": (sgd, optax.sgd(RATE)), "adam": (adam, optax.adam(RATE))}


@pytest.mark.parametrize("doses", [[1, 2, 3, 4, 5, 6, 7], [2, 3, 7], [1], [4]])
@pytest.mark.parametrize("rule", RULES)
def test_snapshots_equal_a_plain_loop(rule, doses):
    update, optimizer = RULES[rule]
    weights, losses = plain(update, doses[-1])
    start = {"w": jnp.asarray(START)}
    kept, values = descend(loss, optimizer, start, DATA, jnp.asarray(BATCHES), doses)
    wanted = weights[np.array(doses) - 1]
    np.testing.assert_allclose(kept["w"], wanted, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(values, losses, rtol=2e-5)
    assert np.abs(np.diff(weights, axis=0)).max(axis=1).min(initial=1) > 1e-3  # steps can be told apart


def test_losses_that_are_not_finite_are_returned():
    start = {"w": jnp.asarray(START)}
    kept, values = descend(loss, optax.sgd(1e30), start, DATA, jnp.asarray(BATCHES), [1, 7])
    assert np.isfinite(values[0])
    assert not np.isfinite(values[-1])
    assert not np.isfinite(kept["w"][1]).all()


@pytest.mark.parametrize(("n", "batch", "steps"), [(7, 3, 14), (6, 2, 9), (5, 5, 4), (4, 1, 12)])
def test_every_epoch_is_a_permutation(n, batch, steps):
    rows = np.asarray(epochs(jax.random.key(0), n, batch, steps))
    assert rows.shape == (steps, batch)
    flat = rows.reshape(-1)
    whole = flat[: len(flat) // n * n].reshape(-1, n)
    assert len(whole) >= 3
    np.testing.assert_array_equal(np.sort(whole, axis=1), np.tile(np.arange(n), (len(whole), 1)))
    rest = flat[len(whole) * n :]
    assert len(set(rest.tolist())) == len(rest)
    assert len({tuple(order) for order in whole.tolist()}) > 1


def test_epochs_follow_their_key_and_do_not_depend_on_the_number_of_steps():
    rows = np.asarray(epochs(jax.random.key(3), 8, 2, 12))
    np.testing.assert_array_equal(rows, epochs(jax.random.key(3), 8, 2, 12))
    np.testing.assert_array_equal(rows[:5], epochs(jax.random.key(3), 8, 2, 5))
    assert (rows != np.asarray(epochs(jax.random.key(4), 8, 2, 12))).any()


def test_the_first_document_of_an_epoch_is_uniform():
    first = [int(epochs(jax.random.key(seed), 4, 1, 1)[0, 0]) for seed in range(800)]
    counts = np.bincount(first, minlength=4)
    assert np.sum((counts - 200.0) ** 2 / 200) < 16.27  # chi-square, 3 d.f., 0.999


@pytest.mark.parametrize("batch", [0, -1, 6])
def test_a_batch_of_no_documents_or_of_more_than_there_are_is_refused(batch):
    with pytest.raises(Misuse, match=rf"n = 5 .*got {batch}\."):
        epochs(jax.random.key(0), 5, batch, 3)


@pytest.mark.parametrize("doses", [[], [0], [0, 1], [-1, 2], [2, 2], [1, 3, 2]])
def test_doses_that_do_not_ascend_from_one_are_refused(doses):
    with pytest.raises(Misuse, match=r"got \[" + ", ".join(map(str, doses)) + r"\]"):
        check_doses(doses)


@pytest.mark.parametrize("doses", [[1.5, 2], ["a"], "12", [True, 2], [float("nan")], [[1, 2]]])
def test_doses_that_are_no_whole_numbers_are_refused(doses):
    with pytest.raises(Misuse, match="ascending numbers of steps from 1"):
        check_doses(doses)


@pytest.mark.parametrize("doses", [[1], [5], [1, 2, 10]])
def test_the_last_dose_is_the_number_of_steps(doses):
    assert check_doses(doses) == doses[-1]


def test_doses_beyond_the_batches_are_refused():
    start = {"w": jnp.asarray(START)}
    with pytest.raises(Misuse, match="8 steps"):
        descend(loss, optax.sgd(RATE), start, DATA, jnp.asarray(BATCHES), [8])


@pytest.mark.parametrize("judge", [None, lambda params: jnp.square(params["w"]).sum()])
def test_a_descent_by_parts_is_the_whole_one(judge):
    rule, start, batches = optax.adam(0.1), {"w": jnp.asarray(START)}, jnp.asarray(BATCHES)
    kept, losses = descend(loss, rule, start, DATA, batches, (2, 7), judge)
    state, parts = begin(rule, start, judge), []
    for index, span in enumerate([(0, 2), (2, 7)]):
        state, part = advance(loss, rule, state, DATA, batches, span, judge)
        parts.append(part)
        np.testing.assert_allclose(state.weights["w"], kept["w"][index], rtol=1e-6)
    np.testing.assert_allclose(sum(parts), losses, rtol=1e-6)
    assert not np.any(parts[0][2:]) and not np.any(parts[1][:2])
