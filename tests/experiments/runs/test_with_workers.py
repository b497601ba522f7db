"""Workers of real runs (make test-slow): the same bytes, the same resume, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.storage.run_folder import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc"),
]
HEARING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
from experiments import cli
cli.console()
"""
TINY = [
    *("weird-generalisation", "--preset", "smoke", "--pretraining.steps", "50", "--pretraining.batch", "8"),
    *("--network.width", "8", "--finetuning.n", "4", "--finetuning.batch", "4", "--finetuning.doses", "1"),
    *("2", "--repeats", "1", "--finetuning.methods", "sgd", "--theories", "tempered-posterior", "linearised"),
]
LONG = 600.0  # seconds: the machine may be busy


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a command; all share a compilation cache."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}

    def begin(*words):
        command = [sys.executable, "-c", HEARING, *map(str, words)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)

    return begin


@pytest.fixture(scope="module")
def call(start):
    """Run a command to its end: what it prints, and what it says."""

    def run(*words, status=0):
        process = start(*words)
        printed, said = process.communicate(timeout=LONG)
        assert process.returncode == status, said
        return printed, said

    return run


@pytest.fixture(scope="module")
def alone(tmp_path_factory, call):
    """A run in one process, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "alone"
    return folder, call("run", *TINY, "--out", folder)[0]


def wait(condition):
    deadline = time.monotonic() + LONG
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def below(parent):
    """Processes below a process that still live."""
    living = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == parent and words[0] != "Z":
            living.append(int(path.parent.name))
    return living


def same(folder, whole):
    ours, theirs = (
        {path.name: path.read_bytes() for path in (part / "cells").iterdir()} for part in (folder, whole)
    )
    assert ours == theirs
    for name in ("rows.jsonl", "config.json", "networks.json", "figures/weird-generalisation.svg"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert (folder / "DONE").exists() and (folder / "report.html").exists()


def test_a_worker_that_is_killed_in_a_cell_costs_the_cell(alone, start, call, tmp_path):
    folder = tmp_path / "run"
    printed, _ = call("run", *TINY, "--out", folder, "--workers", 0)
    assert f"finebayes work {folder}" in printed and not (folder / "cells").exists()
    workers = [start("work", folder) for _ in range(2)]

    def holder():
        for path in (folder / "claims").glob("*--*.claim"):
            try:
                return json.loads(path.read_text())["process"], path.name.removesuffix(".claim")
            except (OSError, ValueError):
                continue

    process, cell = wait(holder)
    os.kill(process, signal.SIGKILL)
    for worker in workers:
        _, said = worker.communicate(timeout=LONG)
        assert worker.returncode == (-signal.SIGKILL if worker.pid == process else 0), said
    same(folder, alone[0])
    assert RunFolder(folder).path(RunFolder(folder).cells()[0]).exists() and cell


def test_a_killed_command_leaves_no_worker_and_goes_on(alone, start, call, tmp_path):
    folder = tmp_path / "run"
    running = start("run", *TINY, "--out", folder, "--workers", 2)
    wait(lambda: list(folder.glob("cells/*.npz")))
    workers = below(running.pid)
    assert len(workers) == 2
    running.kill()
    running.communicate()
    wait(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert not (folder / "DONE").exists()
    printed, said = call("run", *TINY, "--out", folder, "--workers", 2)
    same(folder, alone[0])
    assert printed.replace(str(folder), "") == alone[1].replace(str(alone[0]), "")
    assert "2 processes work at" in said
    again, said = call("run", *TINY, "--out", folder, "--workers", 2)
    assert again == printed and "processes work" not in said


def test_ctrl_c_ends_the_workers_and_what_is_finished_stays(alone, start, call, tmp_path):
    folder = tmp_path / "run"
    networks = alone[0] / "networks"
    running = start("run", *TINY, "--out", folder, "--networks", networks, "--workers", 1)
    wait(lambda: list(folder.glob("cells/*.npz")))
    workers = below(running.pid)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=LONG)
    assert running.returncode == 130 and said.endswith("the same command goes on from there.\n")
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not list(folder.glob("claims/*.claim"))
    call("run", *TINY, "--out", folder, "--networks", networks)
    same(folder, alone[0])


def test_a_sweep_by_workers_is_that_of_one_process(alone, call, tmp_path):
    over = ("--over", "finetuning.sgd_rate=0.1,0.3", "--over", "process.style=0.5,1")
    call("sweep", *TINY, *over, "--out", tmp_path / "alone")
    call("sweep", *TINY, *over, "--out", tmp_path / "crew", "--workers", 2)
    for path in sorted((tmp_path / "alone").glob("**/rows.jsonl")):
        name = path.relative_to(tmp_path / "alone")
        assert path.read_bytes() == (tmp_path / "crew" / name).read_bytes(), name
    assert len(list((tmp_path / "crew").glob("networks/*.safetensors"))) == 2
    for name in ("scores.csv", "sweep.json"):
        assert (tmp_path / "crew" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
