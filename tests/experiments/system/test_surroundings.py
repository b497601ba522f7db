"""Terminals, variables and folders as people have them: nothing of them ends in a raw error."""

import errno
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from experiments.runs.progress import Progress
from experiments.storage import files
from experiments.system import surroundings

KEPT = {"capture_output": True, "text": True, "timeout": 300}
PLAN = ["run", "weird-generalisation", "--dry-run", "--preset", "smoke"]


def finebayes(*words, folder, **more):
    """A command in a folder of its own, with other variables."""
    return subprocess.run(
        surroundings.command_line(*map(str, words)),
        env=surroundings.variables(**more),
        cwd=folder,
        capture_output=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    "variables", [{"PYTHONIOENCODING": "ascii", "COLUMNS": "5"}, {"PYTHONIOENCODING": "cp1252"}]
)
def test_a_poor_terminal_gets_what_it_can_show(tmp_path, variables):
    done = finebayes("list", folder=tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert b"weird-generalisation" in done.stdout and b"D'" in done.stdout


def test_help_ends_however_narrow_the_terminal(tmp_path):
    done = finebayes("list", "--help", folder=tmp_path, COLUMNS="5")
    assert done.returncode == 0 and b"--json" in done.stdout


def test_nothing_of_the_current_folder_is_imported(tmp_path):
    for package in ("experiments", "theory", "tyro", "random"):
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


def test_a_notebook_s_backend_is_not_inherited(tmp_path):
    code = "from experiments.system import surroundings; surroundings.settle()\n"
    code += "import matplotlib; print(matplotlib.get_backend())"
    words, mine = [sys.executable, "-P", "-c", code], {"MPLBACKEND": "module://no_such.backend"}
    done = subprocess.run(words, env=surroundings.variables(**mine), **KEPT)
    assert done.stdout.strip().lower() == "agg", done.stderr


def test_a_folder_that_cannot_be_locked_is_used_with_a_warning(tmp_path, monkeypatch, capsys):
    """As on some network file systems."""

    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with files.locked(tmp_path):
        (tmp_path / "written").touch()
    warning = f"finebayes: {tmp_path} cannot be locked (No locks available): let no other process write"
    assert capsys.readouterr().err.startswith(warning)


def test_what_is_said_of_a_run_is_no_markup():
    """A folder may be called a[red]b[/x]c; of pretraining it is said how much inference is learnt."""
    lines = io.StringIO()
    progress = Progress(Console(file=lines, width=200))
    progress.say("in a[red]b[/x]c")
    with progress.cells(1, 0) as advance:
        advance("cell", "of a[/x]c")
    printed = lines.getvalue()
    with progress.training(4) as show:
        show(4, *np.array([[1.5, 1.5], [0.01, 0.03], [0.9, 0.8]]))
    assert "pretraining 4/4  loss 1.500  excess 0.0200 nats  learnt 0.85\n" in lines.getvalue()
    assert "s  in a[red]b[/x]c\n" in printed and "cell failed: of a[/x]c\n" in printed


UNGUARDED = """
import sys
print("once")
from experiments import cli
cli.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_script_without_a_guard_may_have_workers(tmp_path):
    """They do not run the script again."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    made = "run weird-generalisation --preset smoke --pretraining.steps 5 --workers 2 --out run"
    words = [sys.executable, str(script), *made.split(), "--theories", "unchanged"]
    done = subprocess.run(
        words, env=surroundings.variables(), cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 and done.stdout.count("once") == 1, done.stderr
    assert (tmp_path / "run" / "DONE").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["JAX_DEBUG_NANS", "JAX_ENABLE_X64"])
def test_a_sampling_study_runs_whatever_jax_is_set_to(tmp_path, name):
    made = "run langevin-vs-sgd --preset smoke --pretraining.steps 5 --theories langevin-posterior --out run"
    done = finebayes(*made.split(), folder=tmp_path, **{name: "1"})
    assert done.returncode == 0 and (tmp_path / "run" / "DONE").exists(), done.stderr
