"""Devices and the compilation cache are set before jax computes, and never after."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from experiments.runs import environment as module
from experiments.runs.environment import (
    DETERMINISTIC,
    SETTINGS,
    environment,
    fix_settings,
    fixed_settings,
    prepare_devices,
)

CORES = "len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()"


def devices(tmp_path, before):
    """The number of devices, the cache, and the number of cores, in a process that does `before` first."""
    code = (
        f"import os\n{before}\nfrom experiments.runs.environment import prepare_devices\n"
        "prepare_devices(); prepare_devices()\nimport jax\njax.numpy.ones(3).sum()\n"
        f"print(jax.device_count(), jax.config.jax_compilation_cache_dir, {CORES})"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    for name in ("JAX_NUM_CPU_DEVICES", "JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    count, cache, cores = done.stdout.split()
    return int(count), cache, int(cores)


def test_there_is_a_device_a_core_and_a_cache(tmp_path):
    count, cache, cores = devices(tmp_path, "")
    assert count == cores and cache == str(tmp_path / "finebayes" / "jax")
    assert list((tmp_path / "finebayes" / "jax").iterdir())  # also what compiles in a moment


def test_a_process_that_has_used_jax_stays_as_it_is(tmp_path):
    count, cache, _ = devices(tmp_path, "import jax; jax.numpy.ones(3).sum()")
    assert (count, cache) == (1, "None") and not list(tmp_path.iterdir())


def test_devices_that_were_set_stay(tmp_path):
    count, cache, _ = devices(tmp_path, "import jax; jax.config.update('jax_num_cpu_devices', 3)")
    assert (count, cache) == (3, "None")


def test_an_unwritable_home_costs_nothing_but_compilations(tmp_path):
    (tmp_path / "finebayes").write_text("")
    count, cache, cores = devices(tmp_path, "")
    assert (count, cache) == (cores, "None")


@pytest.fixture
def x64():
    """What a user's session may have set."""
    theirs = {"jax_enable_x64": True, "jax_threefry_partitionable": False, "jax_random_seed_offset": 3}
    before = {name: jax.config.values[name] for name in theirs}
    for name, value in theirs.items():
        jax.config.update(name, value)
    yield theirs
    for name, value in before.items():
        jax.config.update(name, value)


def draw():
    return jax.random.normal(jax.random.key(0), (3,))


def test_a_run_fixes_what_changes_numbers_and_says_so(x64):
    sentences = fix_settings()
    assert sentences[0] == "JAX_ENABLE_X64 is False in a run, not True" and len(sentences) == 3
    assert fix_settings() == []
    assert environment()["settings"] == SETTINGS


def test_a_call_of_the_api_fixes_them_and_gives_a_session_its_own_back(x64):
    plain, theirs = fixed_settings()(draw)(), draw()
    assert plain.dtype == jnp.float32 and theirs.dtype == jnp.float64
    with jax.enable_x64(True), fixed_settings():  # a block of the user's own around it
        assert (draw() == plain).all() and draw().dtype == jnp.float32
    assert {name: jax.config.values[name] for name in x64} == x64
    fix_settings()
    assert (draw() == plain).all()


PRECISION = "jax_default_matmul_precision"


def test_every_setting_is_known_to_this_jax():
    assert {name: jax.config.values.get(name, "unknown") for name in SETTINGS} == SETTINGS


def test_products_are_in_the_whole_precision_of_float32():
    square = jnp.ones((4, 4))
    with jax.default_matmul_precision(None):
        plain = jax.jit(jnp.dot).lower(square, square).as_text()
        ours = fixed_settings()(lambda: jax.jit(jnp.dot).lower(square, square).as_text())()
    assert "HIGHEST" not in plain and "precision = [HIGHEST, HIGHEST]" in ours
    jax.config.update(PRECISION, None)
    assert fix_settings() == []  # jax's own default is not worth a line in every run
    assert environment()["settings"][PRECISION] == "highest"


def test_programs_of_accelerators_are_deterministic_and_those_of_cpus_as_they_were(monkeypatch):
    for plugins, flags in (([], "--mine"), (["xla_cuda12"], f"--mine {DETERMINISTIC}")):
        monkeypatch.setattr(module, "plugins", lambda plugins=plugins: plugins)
        monkeypatch.setenv("XLA_FLAGS", "--mine")
        prepare_devices()
        prepare_devices()
        assert environment()["xla_flags"] == flags


@pytest.mark.slow
def test_this_jaxlib_knows_the_flag(tmp_path):
    """One that it does not know would end the process."""
    before = "import experiments.runs.environment as ours; ours.plugins = lambda: ['xla_cuda12']"
    count, _, cores = devices(tmp_path, before)
    assert count == cores


def test_a_run_without_optimisations_sets_no_flag_of_xla(monkeypatch):
    """XLA reads its flags once: before the first run of a sweep, but after the settings of a lone run."""
    monkeypatch.setenv("XLA_FLAGS", "--mine")
    before = jax.config.values["jax_disable_most_optimizations"]
    try:
        module.compile_fast()
        assert environment()["xla_flags"] == "--mine" and jax.config.values["jax_disable_most_optimizations"]
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
