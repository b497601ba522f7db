"""Hidden Markov processes against sums over every path of states, and known entropy rates."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Misuse
from theory.latent.hidden_markov import (
    Chain,
    check_transitions,
    draw_on_host,
    entropy_rate,
    mixed_states,
    myopic_entropies,
    stationary,
)

LENGTH = 4
COIN = np.full((2, 1, 1), 0.5)  # one state, entropy rate log 2


def some(alphabet=3, states=2, seed=0, holes=True):
    """Transitions (v, s, s) in which, where `holes`, token 0 never comes twice in a row."""
    table = np.random.default_rng(seed).random((alphabet, states, states))
    if holes:
        table[0, 1] = table[0, :, 0] = 0.0
    return table / table.sum(axis=(0, 2))[:, None]


def paths(table, start, symbols):
    """p(symbols, last state), a sum over every path."""
    told = np.zeros(len(start))
    for path in product(range(len(start)), repeat=len(symbols) + 1):
        chance = start[path[0]]
        for symbol, here, there in zip(symbols, path[:-1], path[1:], strict=True):
            chance *= table[symbol, here, there]
        told[path[-1]] += chance
    return told


@pytest.fixture(scope="module")
def enumerated():
    """A process, all its sequences, and what paths say: p(x), p(x_t | x_<t), the mixed state before x_t."""
    table = some()
    start = np.array([0.3, 0.7])
    sequences = np.array(list(product(range(3), repeat=LENGTH)))
    whole = np.array([paths(table, start, row).sum() for row in sequences])
    before = np.array([[paths(table, start, row[:t]) for t in range(LENGTH)] for row in sequences])
    emitted = np.einsum("ntj,xji->ntx", before, table)
    return table, start, sequences, whole, before, emitted


def chain(table, start, length=LENGTH):
    return Chain(jnp.asarray(table, jnp.float32), jnp.asarray(start, jnp.float32), length)


def test_probabilities_are_sums_over_paths(enumerated):
    table, start, sequences, whole, _, _ = enumerated
    got = np.exp(np.asarray(chain(table, start).log_prob(jnp.asarray(sequences))))
    assert (whole == 0).any()
    np.testing.assert_allclose(got, whole, rtol=3e-6, atol=1e-9)


def test_predictions_and_mixed_states_are_ratios_of_those(enumerated):
    table, start, sequences, _, before, emitted = enumerated
    model = chain(table, start)
    told, beliefs = model.predict(jnp.asarray(sequences)), model.beliefs(jnp.asarray(sequences))
    total = before.sum(axis=-1, keepdims=True)
    possible = total[..., 0] > 0
    emitted, before = (each[possible] / total[possible] for each in (emitted, before))
    np.testing.assert_allclose(np.exp(told)[possible], emitted, rtol=3e-6, atol=1e-8)
    np.testing.assert_allclose(np.asarray(beliefs)[possible], before, atol=3e-7)
    # what cannot have come is followed by something finite
    assert not np.isnan(told).any() and (~possible).any()


@pytest.mark.parametrize("where", ["host", "device"])
def test_samples_come_as_often_as_they_should(enumerated, where):
    table, start, sequences, whole, _, _ = enumerated
    n = 20_000
    if where == "host":
        drawn = draw_on_host(np.random.default_rng(0), table, np.tile(start, (n, 1)), LENGTH)
    else:
        drawn = np.asarray(jax.jit(chain(table, start).sample, static_argnums=1)(jax.random.key(0), n))
    counts = np.bincount(drawn @ 3 ** np.arange(LENGTH - 1, -1, -1), minlength=len(sequences))
    assert (counts[whole == 0] == 0).all()
    counts, whole = counts[whole > 5 / n], whole[whole > 5 / n]
    statistic, freedom = np.sum((counts - n * whole) ** 2 / (n * whole)), len(whole) - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_a_stationary_start_stays():
    for seed in range(3):
        table = some(seed=seed, states=4)
        start = stationary(table)
        np.testing.assert_allclose(start @ table.sum(axis=0), start, atol=1e-12)
        assert start.min() >= 0 and abs(start.sum() - 1) < 1e-12


def test_entropies_are_those_of_the_enumerated_blocks(enumerated):
    table, start, _, whole, _, _ = enumerated
    joint = whole.reshape((3,) * LENGTH)

    def block(length):
        p = joint.sum(axis=tuple(range(length, LENGTH))).reshape(-1)
        return -np.sum(p[p > 0] * np.log(p[p > 0]))

    wanted = np.diff([block(length) for length in range(LENGTH + 1)])
    np.testing.assert_allclose(myopic_entropies(table, start, LENGTH - 1), wanted, rtol=1e-10)


def test_entropy_rates_that_are_known():
    np.testing.assert_allclose(entropy_rate(COIN, 3), np.log(2), rtol=1e-12)
    # a visible Markov chain: h = Σ π_i H(row i), reached after one token
    step = np.array([[0.9, 0.1], [0.4, 0.6]])
    visible = np.stack([step * [1, 0], step * [0, 1]])
    pi = np.array([0.8, 0.2])
    wanted = -np.sum(pi[:, None] * step * np.log(step))
    np.testing.assert_allclose(entropy_rate(visible, 1), wanted, rtol=1e-10)


def test_bounds_enclose_the_rate_and_close_in_on_it():
    bounds = np.array([entropy_rate(some(holes=False), longest) for longest in range(7)])
    assert (bounds[:, 0] < bounds[:, 1]).all()
    assert (np.diff(bounds[:, 0]) > 0).all() and (np.diff(bounds[:, 1]) < 0).all()


def test_mixed_states_are_counted_once():
    assert len(mixed_states(COIN, np.ones(1), 5)) == 1
    step = np.array([[0.9, 0.1], [0.4, 0.6]])
    visible = np.stack([step * [1, 0], step * [0, 1]])
    states = mixed_states(visible, stationary(visible), 6)
    np.testing.assert_allclose(sorted(states[:, 0]), [0, 0.8, 1], atol=1e-9)


@pytest.mark.parametrize(
    ("table", "start", "sentence"),
    [
        (np.ones((2, 2, 3)), np.ones(2) / 2, r"shape \(v, s, s\), got \(2, 2, 3\)"),
        (np.full((2, 2, 2), 0.3), np.ones(2) / 2, r"add to \[1.2, 1.2\], the least entry 0.3"),
        (some() * [1.0, -1.0], np.ones(2) / 2, "must be at least 0"),
        (some(), np.ones(3) / 3, "each of 2 states, got 3"),
        (some(), np.array([0.5, 0.6]), r"A start of it must be at least 0 and add to 1, got \[0.5, 0.6\]"),
    ],
)
def test_what_is_no_probability_is_refused(table, start, sentence):
    with pytest.raises(Misuse, match=sentence):
        check_transitions(table, start, "it")


def test_two_stationary_distributions_are_refused():
    with pytest.raises(Misuse, match="more than one stationary distribution"):
        stationary(np.eye(2)[None])
