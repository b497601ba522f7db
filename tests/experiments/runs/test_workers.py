"""Cells side by side in processes: the same bytes, the same resume, and nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.runs.workers import divided
from experiments.storage.run_folder import RunFolder

TINY = [
    *("--preset", "smoke", "--pretraining.steps", "50", "--pretraining.batch", "8", "--network.width", "8"),
    *("--finetuning.n", "4", "--finetuning.batch", "4", "--finetuning.doses", "1", "2", "--repeats", "1"),
    *("--finetuning.methods", "sgd"),
]


@pytest.mark.parametrize(
    ("cores", "jobs", "wanted"),
    [
        ([0, 1, 2, 3], 2, [[0, 2], [1, 3]]),
        ([0, 1, 2], 2, [[0, 2], [1]]),
        ([4, 7], 3, [[4], [7], [4]]),
        ([], 2, [[], []]),
    ],
)
def test_cores_are_divided(cores, jobs, wanted):
    assert divided(cores, jobs) == wanted


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A compilation cache shared by the runs of this file."""
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


def command(folder, jobs, networks):
    """`finebayes run` on a tiny config; the base networks are shared."""
    words = ("run", "weird-generalisation", *TINY, "--out", folder, "--networks", networks, "--jobs", jobs)
    return [sys.executable, "-m", "experiments.cli", *map(str, words)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, environment):
    """A run without jobs."""
    folder = tmp_path_factory.mktemp("runs") / "alone"
    done = subprocess.run(
        command(folder, 1, folder.parent / "networks"),
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def cells(folder):
    return {path.name: path.read_bytes() for path in (folder / "cells").iterdir()}


def workers(parent):
    """Processes below a process that still live (Linux)."""
    below = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == parent and words[0] != "Z":
            below.append(int(path.parent.name))
    return below


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.slow
def test_killed_with_jobs_it_leaves_no_process_and_ends_with_the_same_bytes(alone, environment, tmp_path):
    whole, printed = alone
    folder, networks = tmp_path / "jobs", whole.parent / "networks"
    running = subprocess.Popen(
        command(folder, 2, networks), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    deadline = time.monotonic() + 500
    while not list(folder.glob("cells/*.npz")):
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    below = workers(running.pid)
    assert len(below) >= 2
    running.send_signal(signal.SIGKILL)
    running.wait()
    while any(Path(f"/proc/{process}").exists() for process in below):
        assert time.monotonic() < deadline, "a process outlives its run"
        time.sleep(0.05)
    assert not (folder / "DONE").exists()
    kept = set(cells(folder))
    done = subprocess.run(
        command(folder, 2, networks), capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert kept and f"{len(kept)} of 6 cells were finished before" in done.stderr
    assert cells(folder) == cells(whole)
    assert (folder / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()
    assert done.stdout.replace(str(folder), "") == printed.replace(str(whole), "")


@pytest.mark.slow
def test_a_failure_in_another_process_is_a_result(alone, environment, tmp_path):
    whole, _ = alone
    folder = tmp_path / "diverging"
    words = [*command(folder, 2, whole.parent / "networks"), "--finetuning.sgd-rate", "1e30"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    failed = {cell.name for cell in RunFolder(folder).failures()}
    assert failed == {"finetuned--sgd--topics0--0", "finetuned--sgd--topics0--1"}
    shutil.rmtree(folder)


def test_no_jobs_are_refused(tmp_path):
    done = subprocess.run(command(tmp_path / "x", 0, tmp_path), capture_output=True, text=True)
    assert done.returncode == 1 and "jobs must be at least 1, got 0" in done.stderr
