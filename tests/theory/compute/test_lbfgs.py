"""Directions of L-BFGS against those of optax, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from theory.compute.lbfgs import STEPS, Memory

P = 30
CURVATURE = np.exp(np.random.default_rng(0).uniform(-2, 2, P)).astype(np.float32)
REJECTED = (3, 4, 15)  # steps that a line search would not accept


def gradient(point):
    """Of Σ h log cosh x, which is steep and flat in turn."""
    return jnp.asarray(CURVATURE) * jnp.tanh(point)


@jax.jit
def ours(memory, step, slope, accepted):
    return memory.after(step, slope, accepted)


def test_directions_are_those_of_optax_past_a_full_memory():
    point = jnp.asarray(np.random.default_rng(1).normal(size=P), jnp.float32)
    memory, step = Memory.empty(point), jnp.zeros(P)
    rule = optax.scale_by_lbfgs(memory_size=STEPS)
    state, update = rule.init(point), jax.jit(rule.update)
    for index in range(2 * STEPS + 5):
        trial = point + step
        direction, memory = ours(memory, step, gradient(trial), jnp.asarray(index not in REJECTED))
        if index in REJECTED:
            step = step / 2
            continue
        downhill, state = update(gradient(trial), state, trial)
        np.testing.assert_allclose(direction, -np.asarray(downhill), atol=2e-4 * np.abs(downhill).max())
        point, step = trial, 0.2 * direction


def test_the_first_direction_is_down_the_gradient_and_at_most_1_long():
    for size in (0.01, 100.0):
        slope = jnp.full(P, size)
        direction, _ = ours(Memory.empty(slope), jnp.zeros(P), slope, jnp.asarray(True))
        np.testing.assert_allclose(direction, -slope * min(1.0, 1 / (size * P**0.5)), rtol=1e-6)


def test_a_memory_that_forgets_starts_again():
    point = jnp.ones(P)
    _, memory = ours(Memory.empty(point), jnp.zeros(P), gradient(point), jnp.asarray(True))
    _, memory = ours(memory, 0.1 * point, gradient(1.1 * point), jnp.asarray(True))
    again, known = memory.forget(jnp.asarray(True)), memory.forget(jnp.asarray(False))
    fresh, _ = ours(Memory.empty(point), jnp.zeros(P), gradient(point), jnp.asarray(True))
    np.testing.assert_array_equal(ours(again, point, gradient(point), jnp.asarray(True))[0], fresh)
    assert not np.allclose(ours(known, point, gradient(point), jnp.asarray(True))[0], fresh)


def test_a_step_that_does_not_change_the_gradient_leaves_a_finite_direction():
    memory, slope = Memory.empty(jnp.ones(P)), jnp.ones(P)
    for _ in range(2):
        direction, memory = ours(memory, jnp.ones(P), slope, jnp.asarray(True))
    assert np.isfinite(direction).all() and float(direction @ slope) < 0
