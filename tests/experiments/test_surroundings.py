"""Terminals, variables and folders as people have them: nothing of them ends in a raw error."""

import os
import subprocess
import sys

import pytest

from experiments import surroundings

PLAN = ["run", "weird-generalisation", "--dry-run", "--preset", "smoke"]


def finebayes(*words, folder, **more):
    """A command in a folder of its own, with other variables."""
    return subprocess.run(
        surroundings.command_line(*map(str, words)),
        env=surroundings.variables(**more),
        cwd=folder,
        capture_output=True,
        timeout=100,
    )


@pytest.mark.parametrize(
    "variables", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252"}, {"COLUMNS": "5"}]
)
def test_a_poor_terminal_gets_what_it_can_show(tmp_path, variables):
    done = finebayes("list", folder=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert b"weird-generalisation" in done.stdout and b"D'" in done.stdout


def test_help_ends_however_narrow_the_terminal(tmp_path):
    done = finebayes("list", "--help", folder=tmp_path, COLUMNS="5")
    assert done.returncode == 0 and b"--json" in done.stdout


@pytest.mark.parametrize("package", ["experiments", "theory", "models", "jax"])
def test_nothing_of_the_current_folder_is_imported(tmp_path, package):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise SystemExit(77)")
    assert finebayes("list", folder=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"JAX_DISABLE_JIT": "1"}, "JAX_DISABLE_JIT is set"),
        ({"JAX_PLATFORMS": "tpu"}, "JAX_PLATFORMS asks for 'tpu', which jax cannot start here"),
    ],
)
def test_settings_with_which_nothing_runs_are_refused(tmp_path, variables, sentence):
    done = finebayes(*PLAN, folder=tmp_path, **variables)
    printed = done.stderr.decode()
    assert done.returncode == 1 and sentence in printed and "Traceback" not in printed


PREPARED = """
import jax
from experiments.runs.environment import prepare_devices
prepare_devices()
print(len(jax.devices()), jax.config.jax_compilation_cache_dir)
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"JAX_NUM_CPU_DEVICES": "3"}, "3 None"),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, "3 None"),
        ({"JAX_COMPILATION_CACHE_DIR": "mine"}, f"{len(os.sched_getaffinity(0))} mine"),
        ({"XDG_CACHE_HOME": "", "HOME": "/dev/null/home"}, f"{len(os.sched_getaffinity(0))} None"),
    ],
)
def test_what_a_user_has_chosen_stays(tmp_path, variables, expected):
    done = subprocess.run(
        [sys.executable, "-P", "-c", PREPARED],
        env=surroundings.variables(**variables),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout.strip() == expected, done.stderr
