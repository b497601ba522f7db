"""Stacking is lossless, and the update of a stack is that of its matrices one by one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from models.muon import muon, stacked, unstacked

SHAPES = {"wide": (3, 8), "tall": (8, 4), "square": (5, 5), "short": (2, 5), "again": (3, 8)}


def tree(seed):
    keys = jax.random.split(jax.random.key(seed), len(SHAPES))
    return {name: jax.random.normal(key, SHAPES[name]) for name, key in zip(SHAPES, keys, strict=True)}


def test_stacking_is_undone():
    before = tree(0)
    stacks = stacked(before)
    assert {name: stack.shape for name, stack in stacks.items()} == {"8": (3, 4, 8), "5": (2, 5, 5)}
    after = unstacked(stacks, before)
    for name in SHAPES:
        np.testing.assert_array_equal(after[name], before[name])


def test_updates_are_those_of_the_matrices_one_by_one():
    ours, theirs = muon(lambda step: 0.1), optax.contrib.muon(0.1, consistent_rms=0.2)
    params: list[Any] = [tree(0), tree(0)]
    states: list[Any] = [ours.init(params[0]), theirs.init(params[1])]
    for step in range(3):
        for index, rule in enumerate((ours, theirs)):
            updates, states[index] = rule.update(tree(step + 1), states[index], params[index])
            params[index] = optax.apply_updates(params[index], updates)
    for name in SHAPES:
        assert jnp.max(jnp.abs(params[1][name] - tree(0)[name])) > 0.05
        np.testing.assert_allclose(params[0][name], params[1][name], atol=2e-6)
