"""What a step draws is what jax and NumPyro draw, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from jax.extend.random import threefry_2x32
from jax.flatten_util import ravel_pytree

from theory.compute.random import categorical, invert_cdf, normal, normals, rows, sample_on_host, threefry


@pytest.mark.parametrize(
    "key", [jax.random.key(3), jax.random.PRNGKey(2**31 + 5), jax.random.key(3, impl="rbg")]
)
@pytest.mark.parametrize("size", [1, 7, 5000])
def test_normal_numbers_are_those_of_jax(key, size):
    like = jnp.zeros(size)
    np.testing.assert_array_equal(normal(key, like), jax.random.normal(key, (size,)))


def test_other_types_are_drawn_by_jax():
    like = jnp.zeros(9, jnp.bfloat16)
    drawn = normal(jax.random.key(1), like)
    assert drawn.dtype == like.dtype
    np.testing.assert_array_equal(drawn, jax.random.normal(jax.random.key(1), (9,), like.dtype))


@pytest.mark.parametrize("key", [jax.random.key(3), jax.random.key(3, impl="rbg")])
def test_every_leaf_has_the_numbers_of_its_part_of_the_key(key):
    tree = {"a": jnp.zeros((3, 4)), "b": [jnp.zeros(1), jnp.zeros((2, 5, 3))]}
    drawn = ravel_pytree(tree)[1](normals(key, tree))
    for one, leaf, numbers in zip(
        jax.random.split(key, 3), jax.tree.leaves(tree), jax.tree.leaves(drawn), strict=True
    ):
        np.testing.assert_array_equal(numbers, jax.random.normal(one, leaf.shape))


def test_chains_draw_side_by_side_what_they_draw_alone():
    keys, like = jax.random.split(jax.random.key(4), 3), jnp.zeros(33)
    together = jax.vmap(lambda key: normal(key, like))(keys)
    for key, drawn in zip(keys, together, strict=True):
        np.testing.assert_array_equal(drawn, jax.random.normal(key, (33,)))


def test_the_generator_is_threefry():
    """Its bits against jax's, and against a known answer of Salmon et al.'s Random123 (threefry2x32, 20)."""
    key = jax.random.key_data(jax.random.key(123456789))
    left, right = jnp.arange(5, dtype=jnp.uint32), jnp.arange(5, 10, dtype=jnp.uint32)
    both = jnp.concatenate(threefry(key, left, right))
    np.testing.assert_array_equal(both, threefry_2x32(key, jnp.concatenate([left, right])))
    zero = jnp.zeros(1, jnp.uint32)
    known = threefry(jnp.zeros(2, jnp.uint32), zero, zero)
    assert [int(word[0]) for word in known] == [0x6B200159, 0x99BA4EFE]


@pytest.mark.parametrize(("size", "count"), [(30, 7), (512, 16)])
def test_rows_are_those_of_a_plate_of_numpyro(size, count):
    def drawn(key):
        with numpyro.handlers.seed(rng_seed=key), numpyro.plate("rows", size, count) as theirs:
            return theirs, rows(size, count, jax.random.split(key)[1])

    theirs, ours = jax.jit(jax.vmap(drawn))(jax.random.split(jax.random.key(0), 20))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", [1, 5])
def test_all_rows_are_drawn_once_each(size):
    assert sorted(rows(size, size, jax.random.key(2)).tolist()) == list(range(size))


SHARES, COUNT = np.asarray([[0, 0.5, 0, 0.2, 0.3, 0], [0.001, 0.009, 0.09, 0.9, 0, 0]]), 200_000


def check_frequencies(drawn):
    """Within five standard errors; what has no weight never comes."""
    seen = np.stack([np.bincount(column, minlength=6) / COUNT for column in np.asarray(drawn).T])
    assert drawn.shape == (COUNT, 2) and (seen[SHARES == 0] == 0).all()
    assert (np.abs(seen - SHARES) <= 5 * np.sqrt(SHARES * (1 - SHARES) / COUNT)).all()


@pytest.mark.parametrize("key", [jax.random.key(3), jax.random.key(3, impl="rbg")])
@pytest.mark.parametrize("shift", [0.0, -300.0])
def test_categories_come_as_often_as_they_should(key, shift):
    check_frequencies(categorical(key, jnp.log(SHARES) + shift, shape=(COUNT, 2)))


@pytest.mark.parametrize("total", [1.0, 1e-30])
def test_the_host_draws_categories_as_often(total):
    weights = np.broadcast_to(total * SHARES, (COUNT, *SHARES.shape))
    check_frequencies(sample_on_host(np.random.default_rng(4), weights))


def test_the_ends_of_the_unit_interval_fall_into_categories_that_have_weight():
    below = jnp.cumsum(jnp.asarray([0.0, 0.3, 0.0, 0.7, 0.0]))
    chances = jnp.asarray([[1e-7], [0.3], [0.31], [1.0]])
    np.testing.assert_array_equal(invert_cdf(chances, below), [1, 1, 3, 3])


def test_categories_are_drawn_for_every_row_and_independently():
    rows = jnp.log(jnp.asarray([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    np.testing.assert_array_equal(categorical(jax.random.key(0), rows), [0, 2, 1])
    even = categorical(jax.random.key(1), jnp.zeros(4), shape=(40_000, 2))
    both = np.bincount(np.asarray(even[:, 0] * 4 + even[:, 1]), minlength=16)
    np.testing.assert_allclose(both / 40_000, 1 / 16, atol=5 * np.sqrt(1 / 16 / 40_000))
