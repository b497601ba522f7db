"""Stacking is lossless, and the update of all matrices at once is optax's of one after the other."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from models.optimizers.muon import muon, orthogonalise, stack, unstack

SHAPES = {"wide": (3, 8), "tall": (8, 4), "square": (5, 5), "short": (2, 5), "again": (3, 8)}


def tree(seed):
    keys = jax.random.split(jax.random.key(seed), len(SHAPES))
    return {name: jax.random.normal(key, SHAPES[name]) for name, key in zip(SHAPES, keys, strict=True)}


def test_stacking_is_undone():
    before = tree(0)
    stacks = stack(before)
    assert {name: stack.shape for name, stack in stacks.items()} == {"8": (3, 8, 4), "5": (2, 5, 5)}
    after = unstack(stacks, before)
    for name in SHAPES:
        np.testing.assert_array_equal(after[name], before[name])


def test_updates_are_those_of_optax_for_the_same_momentum():
    """Its own momentum, which corrects the bias of its start, is left out with beta = 0."""
    ours, momentum = muon(lambda step: 0.1), optax.trace(0.95, nesterov=True)
    theirs = optax.contrib.muon(0.1, beta=0.0, consistent_rms=0.2)
    params = tree(0)
    states: list[Any] = [rule.init(params) for rule in (ours, momentum, theirs)]
    update = [jax.jit(rule.update) for rule in (ours, momentum, theirs)]
    for step in range(3):
        got, states[0] = update[0](tree(step + 1), states[0], params)
        pushed, states[1] = update[1](tree(step + 1), states[1], params)
        wanted, states[2] = update[2](pushed, states[2], params)
        for name in SHAPES:
            assert jnp.max(jnp.abs(wanted[name])) > 0.02
            np.testing.assert_allclose(got[name], wanted[name], atol=2e-6)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_singular_values_are_brought_near_one_whatever_the_size(size):
    for name, matrix in orthogonalise(jax.tree.map(lambda leaf: size * leaf, tree(0))).items():
        values = np.linalg.svd(matrix, compute_uv=False) / (0.2 * max(SHAPES[name]) ** 0.5)
        assert ((values > 0.65) & (values < 1.25)).all(), (name, values)


def test_a_matrix_without_a_gradient_stays():
    moved = orthogonalise({"none": jnp.zeros((3, 2)), "some": jnp.ones((3, 2))})
    np.testing.assert_array_equal(moved["none"], 0)
    assert jnp.isfinite(moved["some"]).all()
