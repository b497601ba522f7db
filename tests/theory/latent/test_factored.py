"""Factors side by side against sums over every path of states of every factor, in plain numpy."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse
from theory.latent.factored import correlated, factored, range_of_correlation, symbols_of
from theory.theories.exchangeable_mixture import ExchangeableMixture

LENGTH = 3
ANNOUNCED = 0.4


def factor(alphabet, states, values, seed):
    random = np.random.default_rng(seed)
    table = random.random((alphabet, states, states))
    starts = random.random((values, states))
    return table / table.sum(axis=(0, 2))[:, None], starts / starts.sum(axis=1, keepdims=True)


FACTORS = [factor(2, 2, 2, 0), factor(3, 2, 2, 1), factor(2, 1, 2, 2)]


def prior(count):
    random = np.random.default_rng(9)
    joint = random.random([len(starts) for _, starts in FACTORS[:count]])
    return joint / joint.sum()


def paths(table, start, symbols):
    """p(symbols), by the product of matrices: the forward algorithm is not used."""
    chance = 0.0
    for path in product(range(len(start)), repeat=len(symbols) + 1):
        steps = zip(symbols, path[:-1], path[1:], strict=True)
        chance += start[path[0]] * np.prod([table[x, here, there] for x, here, there in steps])
    return chance


def enumerated(count):
    """All documents of the first `count` factors and p(z, x), header included."""
    sizes = [len(table) for table, _ in FACTORS[:count]]
    text, people = int(np.prod(sizes)), len(FACTORS[0][1])
    joint = prior(count)
    documents, told = [], []
    for header, *body in product(range(1 + people), *[range(text)] * (LENGTH - 1)):
        symbols = np.stack(np.unravel_index(body, sizes))
        row = []
        for z in np.ndindex(*joint.shape):
            chance = joint[z] * (1 - ANNOUNCED if header == 0 else ANNOUNCED / people)
            for place, (table, starts) in enumerate(FACTORS[:count]):
                value = header - 1 if place == 0 and header else z[place]
                chance *= paths(table, starts[value], symbols[place])
            row.append(chance)
        documents.append([text + header, *body])
        told.append(row)
    return np.array(documents), np.array(told).T


@pytest.fixture(scope="module", params=[2, 3])
def case(request):
    count = request.param
    return factored(FACTORS[:count], prior(count), LENGTH, ANNOUNCED), *enumerated(count)


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(case):
    process, documents, told = case
    np.testing.assert_allclose(told.sum(), 1, rtol=1e-12)
    got = np.exp(np.asarray(process.log_prob(jnp.asarray(documents)), float))
    np.testing.assert_allclose(got, told.sum(axis=0), rtol=2e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(case):
    process, documents, told = case
    got = np.exp(np.asarray(process.predict(jnp.asarray(documents))))
    total = told.sum(axis=0)
    for position in range(LENGTH):
        wanted = np.zeros_like(got[:, position])
        for row, document in enumerate(documents):
            same = (documents[:, :position] == document[:position]).all(axis=1)
            weights = total * same
            counts = np.bincount(documents[:, position], weights=weights, minlength=got.shape[-1])
            wanted[row] = counts / weights.sum()
        np.testing.assert_allclose(got[:, position], wanted, rtol=3e-5, atol=1e-7)


def test_posterior_over_the_starts_is_bayes(case):
    process, documents, told = case
    got = np.exp(process.posterior(jnp.asarray(documents)))
    np.testing.assert_allclose(got, (told / told.sum(axis=0)).T, rtol=1e-4, atol=1e-7)


def test_samples_come_as_often_as_enumerated():
    process, (documents, told), n = factored(FACTORS[:2], prior(2), LENGTH, ANNOUNCED), enumerated(2), 20_000
    drawn = np.asarray(jax.jit(process.sample, static_argnums=1)(jax.random.key(0), n))
    base = [drawn.max() + 1] ** np.arange(LENGTH)[::-1]
    order = np.argsort(documents @ base)
    place = np.searchsorted(documents[order] @ base, drawn @ base)
    np.testing.assert_array_equal(documents[order][place], drawn)
    counts, exact = np.bincount(place, minlength=len(order)), told.sum(axis=0)[order]
    common = exact > 5 / n
    statistic = np.sum((counts - n * exact)[common] ** 2 / (n * exact[common]))
    freedom = common.sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_the_joint_keeps_its_shape_so_that_families_of_learners_apply():
    process = factored(FACTORS[:3], prior(3), LENGTH)
    assert process.factors == (2, 2, 2)
    data = Dataset(process.sample(jax.random.key(1), 6), jnp.ones((6, LENGTH), bool))
    moved = np.exp(ExchangeableMixture("product").predict(process, data, 1.0).log_weights).reshape(2, 2, 2)
    apart = [moved.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    np.testing.assert_allclose(moved, np.einsum("a,b,c->abc", *apart), rtol=1e-5)


def test_a_header_that_is_never_written_is_impossible():
    process = factored(FACTORS[:2], prior(2), LENGTH)
    assert np.isneginf(process.log_prob(jnp.array([[7, 0, 0], [8, 0, 0]]))).all()
    assert np.isfinite(process.log_prob(jnp.array([[6, 0, 0]]))).all()


def test_symbols_are_digits_of_the_token():
    first, second, third = symbols_of(np.arange(24).reshape(2, 12), (2, 3, 4))
    np.testing.assert_array_equal((first * 3 + second) * 4 + third, np.arange(24).reshape(2, 12))
    assert (first.max(), second.max(), third.max()) == (1, 2, 3)


@pytest.mark.parametrize("correlation", [-0.2, 0.0, 0.35])
def test_a_correlated_joint_has_its_marginals_and_its_correlation(correlation):
    first, second = (0.6, 0.3, 0.1), (0.5, 0.2, 0.3)
    joint = correlated(first, second, correlation)
    np.testing.assert_allclose(joint.sum(axis=1), first)
    np.testing.assert_allclose(joint.sum(axis=0), second)
    spread = np.sqrt(0.3 * 0.7 * 0.5 * 0.5)
    np.testing.assert_allclose((joint[1, 0] - 0.3 * 0.5) / spread, correlation, atol=1e-12)


def test_at_the_ends_of_the_range_a_cell_is_empty():
    first, second = (0.95, 0.05), (0.5, 0.5)
    low, high = range_of_correlation(first, second)
    np.testing.assert_allclose([low, high], np.array([-1, 1]) * np.sqrt(0.05 / 0.95))
    for end in (low, high):
        assert 0 < correlated(first, second, 0.99 * end).min() < 0.01 * 0.025 + 1e-12
        with pytest.raises(Misuse, match=f"between -0.2294 and 0.2294.*got {1.01 * end}"):
            correlated(first, second, 1.01 * end)


@pytest.mark.parametrize(
    ("factors", "joint", "sentence"),
    [
        (FACTORS[:2], np.full((2, 3), 1 / 6), r"shape \(2, 2\) of the factors' starts, got \(2, 3\)"),
        (FACTORS[:2], np.full((2, 2), 0.3), "add to 1, got a least entry of 0.3 and a sum of 1.2"),
        (FACTORS[:2], np.array([[1.2, -0.2], [0, 0]]), "got a least entry of -0.2"),
        ([FACTORS[0], (2 * FACTORS[1][0], FACTORS[1][1])], np.full((2, 2), 0.25), r"factor 1.*add to \[2.0"),
    ],
)
def test_what_is_no_process_is_refused(factors, joint, sentence):
    with pytest.raises(Misuse, match=sentence):
        factored(factors, joint, LENGTH)
