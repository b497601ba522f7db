"""Side by side is the same as one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.compute.devices import (
    Programs,
    ShardedMap,
    batch_per_device,
    compiler_options,
    eigh,
    padded,
    row_by_row,
    sharded,
)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_rows_come_back_whole_and_in_order(rows):
    run = ShardedMap(lambda scale, x, y: {"sum": scale * x + y, "x": x}, shared=1)
    x, y = np.arange(rows, dtype=np.float32), np.ones((rows, 3), np.float32)
    result = run(np.float32(2), x, y)
    np.testing.assert_array_equal(result["x"], x)
    np.testing.assert_array_equal(result["sum"], 2 * x[:, None] + y)


@pytest.mark.parametrize("most", [None, 1, 2, 3, 7])
@pytest.mark.parametrize("rows", [1, 2, 14])
def test_groups_of_rows_come_back_whole_and_in_order(rows, most):
    """14 rows are seven for each of two devices: groups of which some do not come out even."""
    seen = []

    def function(scale, x):
        seen.append(x.shape)
        return jnp.cumsum(scale * x)

    program, place = sharded(function, rows, shared=1, mapped=1, batch=most)
    own = np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)
    np.testing.assert_array_equal(program(np.float32(2), place(own)), np.cumsum(2 * own, axis=1))
    assert set(seen) == {(3,)}


def test_a_core_takes_as_many_rows_as_its_cache_holds(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert [batch_per_device(size) for size in (1_000, 25_632, 101_312, 10**7)] == [100, 3, 2, 2]


@pytest.mark.parametrize(
    ("stats", "rows"), [({"bytes_limit": 64 * 10**9}, [10**6, 100, 1]), ({}, [None] * 3), (None, [None] * 3)]
)
def test_an_accelerator_takes_as_many_rows_as_its_memory_holds(monkeypatch, stats, rows):
    class Device:
        def memory_stats(self):
            return stats

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert [batch_per_device(size) for size in (1_000, 10**7, 10**10)] == rows


def test_each_shape_is_compiled_once():
    run = ShardedMap(lambda x: jnp.sin(x))
    for _ in range(3):
        run(np.zeros((4, 2), np.float32))
    assert len(run.programs) == 1
    run(np.zeros((6, 2), np.float32))
    assert len(run.programs) == 2


def test_a_program_compiled_ahead_is_the_one_that_is_called():
    run = ShardedMap(lambda shared, own: shared + own, shared=1)
    run.compile(jax.ShapeDtypeStruct((2,), np.float32), jax.ShapeDtypeStruct((3, 2), np.float32))
    assert len(run.programs) == 1
    result = run(np.ones(2, np.float32), np.zeros((3, 2), np.float32))
    np.testing.assert_array_equal(result, np.ones((3, 2)))
    assert len(run.programs) == 1


QUICKEST = {"xla_cpu_use_fusion_emitters": False} if jax.__version_info__[:2] == (0, 10) else None
OURS = {"xla_backend_optimization_level": 1, "xla_cpu_prefer_vector_width": 512}


@pytest.mark.parametrize(("off", "options"), [(True, QUICKEST), (False, OURS)])
def test_the_compiler_has_a_level_of_its_own_unless_optimisation_is_off(off, options):
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    try:
        jax.config.update(name, off)
        assert compiler_options() == options
    finally:
        jax.config.update(name, before)


def test_a_program_is_compiled_again_where_optimisations_change():
    program, name = Programs(lambda left: left + 1.0), "jax_disable_most_optimizations"
    before = jax.config.read(name)
    try:
        for off in (False, True, False):
            jax.config.update(name, off)
            program.compile(np.ones(2, np.float32))
    finally:
        jax.config.update(name, before)
    assert len(program.programs) == 2


def test_the_tests_run_on_two_devices():
    assert len(jax.devices()) == 2
    assert padded(3) == [0, 1, 2, 2]
    assert padded(1) == [0]


def test_eigenvectors_side_by_side_on_two_devices():
    """Batched LAPACK calls of two CPU devices would wait for each other for ever."""
    root = np.random.default_rng(0).normal(size=(6, 32, 32)).astype(np.float32)
    matrices = root @ root.swapaxes(-1, -2)
    values, vectors = ShardedMap(eigh)(matrices)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrices.astype(float)), atol=2e-4)
    np.testing.assert_allclose(vectors * values[:, None] @ vectors.swapaxes(-1, -2), matrices, atol=2e-4)


def test_rows_one_after_the_other_end_their_loops_by_themselves():
    """Under vmap alone, a loop selects what it carries, until the longest row has ended."""

    def halvings(x, least):
        return jax.lax.while_loop(lambda c: c[0] > least, lambda c: (c[0] / 2, c[1] + 1), (x, 0))

    x = jnp.asarray([1.0, 8.0, 100.0])
    rows, together = (jax.vmap(f, in_axes=(0, None)) for f in (row_by_row(halvings), halvings))
    np.testing.assert_array_equal(jax.jit(rows)(x, 1.0), together(x, 1.0))
    selects = ["select" in jax.jit(f).lower(x, 1.0).as_text() for f in (rows, together)]
    assert selects == [False, True]
