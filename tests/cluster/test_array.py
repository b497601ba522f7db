"""Arrays of jobs on a real SLURM of one node (make cluster): the bytes of one machine, whatever is killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("one_node", Path(__file__).with_name("one_node.py"))
one_node = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(one_node)

LACKING = one_node.missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(LACKING), reason=f"no SLURM here: {LACKING}")]
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
JOBS = ("--slurm", "partition=cpu,time=60,cpus-per-task=1")
LONG = 900.0  # seconds: the machine may be busy


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A running SLURM, and a compilation cache."""
    with one_node.slurm(tmp_path_factory.mktemp("slurm")) as variables:
        yield variables | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def start(environment):
    def begin(*words, **more):
        command = [sys.executable, "-c", HEARING, *map(str, words)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment | more)

    return begin


@pytest.fixture(scope="module")
def call(start):
    """Run a command to its end: its exit status, and what it says."""

    def run(*words, **more):
        process = start(*words, **more)
        _, said = process.communicate(timeout=LONG)
        return process.returncode, said

    return run


def holder_of_a_cell(folder, process):
    """The number of a process that is at a cell, waited for."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline and process.poll() is None:
        for path in folder.glob("**/claims/*--*.claim"):
            try:
                return json.loads(path.read_text())["process"]
            except (OSError, ValueError):
                continue
        time.sleep(0.01)
    raise AssertionError("no worker was ever at a cell")


def test_a_sweep_over_an_array_whose_worker_is_killed_in_a_cell(start, call, tmp_path):
    over = (*TINY, "--over", "finetuning.sgd_rate=0.1,0.3")
    alone, crew = tmp_path / "alone", tmp_path / "crew"
    status, said = call("sweep", *over, "--out", alone, SLURM_CPUS_PER_TASK="1")
    assert status == 0, said
    running = start("sweep", *over, "--out", crew, "--workers", 2, *JOBS)
    os.kill(holder_of_a_cell(crew, running), signal.SIGKILL)
    _, said = running.communicate(timeout=LONG)
    assert running.returncode == 0, said
    rows = sorted(path.relative_to(alone) for path in alone.glob("**/rows.jsonl"))
    cells = sorted(path.relative_to(alone) for path in alone.glob("**/cells/*"))
    assert len(rows) == 2 and len(cells) == 12
    for name in (*rows, *cells, Path("scores.csv")):
        assert (crew / name).read_bytes() == (alone / name).read_bytes(), name
    assert len(list((crew / "networks").glob("*.safetensors"))) == 1
    assert list(crew.glob("logs/finebayes-*.log")) and "2 jobs of SLURM work at" in said


def test_jobs_come_again_and_what_slurm_refuses_is_a_sentence(environment, start, call, tmp_path):
    folder = tmp_path / "run"
    words = ("run", *TINY, "--out", folder, "--workers", 1)
    status, said = call(*words, "--slurm", "partition=gpu")
    assert status == 1 and "sbatch refused the jobs: " in said and "nvalid partition" in said
    running = start(*words, *JOBS)
    os.kill(holder_of_a_cell(folder, running), signal.SIGKILL)
    _, said = running.communicate(timeout=LONG)
    assert running.returncode == 0, said
    assert "cells are missing: new jobs" in said and (folder / "DONE").exists()


def test_ctrl_c_cancels_the_jobs_and_the_same_command_goes_on(environment, start, call, tmp_path):
    folder = tmp_path / "run"
    words = ("run", *TINY, "--out", folder, "--workers", 1, *JOBS)
    running = start(*words)
    holder_of_a_cell(folder, running)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=LONG)
    assert running.returncode == 130, said
    queue = ["squeue", "--noheader", "--states=PENDING,RUNNING"]
    assert subprocess.run(queue, env=environment, capture_output=True, text=True).stdout == ""
    status, said = call(*words)
    assert status == 0 and (folder / "DONE").exists(), said
