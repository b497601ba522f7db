"""Metrics of localised posteriors against gradients written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.theory.tiny_networks import StartedBigram
from theory.base import Dataset, Misuse, mean_loss
from theory.weights.diagonal_metrics import FLOOR, adam, fisher

RNG = np.random.default_rng(3)
BASE = {"start": RNG.normal(size=3), "table": RNG.normal(size=(4, 3))}  # no token is the table's last row
BIGRAM = StartedBigram(jax.tree.map(jnp.asarray, BASE))
DATA = Dataset(jnp.asarray(RNG.integers(0, 3, (7, 4))), jnp.asarray(RNG.random((7, 4)) < 0.7))
BATCHES = RNG.integers(0, 7, (9, 3))


def slope(weights, rows):
    """The gradient of Σ log p over the counted positions of some documents, and how many they are."""
    sums, count = {name: np.zeros_like(leaf) for name, leaf in weights.items()}, 0
    for tokens, mask in zip(np.asarray(DATA.tokens)[rows], np.asarray(DATA.mask)[rows], strict=True):
        for position, token in enumerate(tokens):
            if not mask[position]:
                continue
            row = ("table", tokens[position - 1]) if position else ("start", slice(None))
            p = np.exp(weights[row[0]][row[1]])
            sums[row[0]][row[1]] += np.eye(3)[token] - p / p.sum()
            count += 1
    return sums, count


def raised(metric, floor):
    every = np.concatenate([leaf.ravel() for leaf in metric.values()])
    return {name: leaf + floor * every.mean() for name, leaf in metric.items()}


def close(got, wanted, rtol=2e-5):
    assert set(got) == set(wanted)
    for name, leaf in wanted.items():
        np.testing.assert_allclose(got[name], leaf, rtol=rtol, atol=1e-7)


def rms(floor):
    """√v̂ by Adam's recursion, all gradients at the base."""
    moments = {name: np.zeros_like(leaf) for name, leaf in BASE.items()}
    for rows in BATCHES:
        total, count = slope(BASE, rows)
        moments = {name: 0.999 * moments[name] + 0.001 * (total[name] / count) ** 2 for name in BASE}
    return raised(
        {name: np.sqrt(leaf / (1 - 0.999 ** len(BATCHES))) for name, leaf in moments.items()}, floor
    )


@pytest.mark.parametrize("floor", [0.01, 0.3, 2.0])
def test_adams_metric_at_rest_is_the_root_of_the_mean_square_gradient(floor):
    got = adam(BIGRAM, DATA, jnp.asarray(BATCHES), floor=floor)
    close(got, rms(floor))
    plain = [slope(BASE, rows) for rows in BATCHES]  # the decay forgets next to nothing in nine steps
    simple = {
        name: np.sqrt(np.mean([(total[name] / count) ** 2 for total, count in plain], axis=0))
        for name in BASE
    }
    close(got, raised(simple, floor), rtol=3e-3)


def test_adams_metric_along_the_path_is_what_adam_has_by_then():
    rate = 0.05
    optimizer = optax.adam(rate)
    params, state = BIGRAM.params, optimizer.init(BIGRAM.params)
    gradient = jax.jit(jax.grad(lambda params, batch: mean_loss(BIGRAM.with_params(params), batch)))
    for rows in BATCHES:
        batch = jax.tree.map(lambda leaf, rows=rows: leaf[rows], DATA)
        updates, state = optimizer.update(gradient(params, batch), state, params)
        params = optax.apply_updates(params, updates)
    root = {name: np.sqrt(np.asarray(leaf) / (1 - 0.999**9)) for name, leaf in state[0].nu.items()}
    got = adam(BIGRAM, DATA, jnp.asarray(BATCHES), learning_rate=rate, floor=0.1)
    close(got, raised(root, 0.1))
    still = rms(0.1)
    assert max(np.abs(got[name] / still[name] - 1).max() for name in still) > 0.03  # the path matters


def test_one_batch_is_the_size_of_its_gradient():
    total, count = slope(BASE, np.arange(7))
    wanted = raised({name: np.abs(leaf) / count for name, leaf in total.items()}, 0.2)
    close(adam(BIGRAM, DATA, jnp.arange(7)[None], floor=0.2), wanted, rtol=1e-4)


def test_fisher_is_the_mean_square_gradient_of_a_document():
    squares = [slope(BASE, [row])[0] for row in range(7)]
    wanted = {name: np.mean([each[name] ** 2 for each in squares], axis=0) for name in BASE}
    close(fisher(BIGRAM, DATA, floor=0.05), raised(wanted, 0.05))
    close(fisher(BIGRAM, DATA), raised(wanted, FLOOR))
    whole, _ = slope(BASE, np.arange(7))  # not the square of the mean
    assert np.abs(whole["start"] ** 2 / 49 / wanted["start"] - 1).min() > 0.1


@pytest.mark.parametrize("metric", ["adam", "fisher"])
def test_a_weight_without_gradients_has_the_floor(metric):
    made = {
        "adam": lambda data: adam(BIGRAM, data, jnp.asarray(BATCHES)),
        "fisher": lambda data: fisher(BIGRAM, data),
    }
    got = made[metric](DATA)
    every = np.concatenate([np.ravel(leaf) for leaf in got.values()])
    mean = every.mean() / (1 + FLOOR)
    np.testing.assert_allclose(got["table"][3], FLOOR * mean, rtol=1e-5)
    assert every.min() == got["table"][3].min()
    nothing = made[metric](Dataset(DATA.tokens, jnp.zeros_like(DATA.mask)))
    leaves = np.concatenate([np.ravel(leaf) for leaf in nothing.values()])
    assert (np.isnan(leaves) | (leaves > 0)).all()


def test_metrics_run_under_jit():
    """As in a study, where networks are mapped over seeds."""
    close(
        jax.jit(lambda network: fisher(network, DATA))(BIGRAM), jax.tree.map(np.asarray, fisher(BIGRAM, DATA))
    )


@pytest.mark.parametrize("floor", [0.0, -0.1, np.nan])
def test_a_floor_that_is_not_positive_is_refused(floor):
    with pytest.raises(Misuse, match=f"floor must be above 0, got {floor}"):
        fisher(BIGRAM, DATA, floor=floor)
    with pytest.raises(Misuse, match=f"floor must be above 0, got {floor}"):
        adam(BIGRAM, DATA, jnp.asarray(BATCHES), floor=floor)
