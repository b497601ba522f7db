"""Jobs of SLURM, by a program that stands for sbatch: what it is given, refuses, and leaves undone."""

import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.runs import crew
from experiments.runs.crew import Crew, Watch
from experiments.runs.progress import Silent
from experiments.runs.slurm import Slurm
from theory.errors import Misuse

SBATCH = """#!/bin/sh
printf '%s\\n' "$@" > "$0.words"
echo x >> "$0.calls"
{body}
"""
JOB = "echo 17\n"  # its number, which --parsable prints at once


class Lines(Silent):
    """Progress that keeps its lines."""

    def say(self, text):
        self.lines = [*getattr(self, "lines", []), str(text)]


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Put a script in place of sbatch, and one of scancel, on the PATH; returns its path."""
    monkeypatch.setattr(crew, "GLANCE", 0.01)
    monkeypatch.setattr(crew, "PATIENCE", 0.1)
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)

    def make(body):
        for name, script in (("sbatch", body), ("scancel", "")):
            (programs / name).write_text(SBATCH.format(body=script))
            (programs / name).chmod(0o755)
        return programs / "sbatch"

    return make


@pytest.fixture
def watch(tmp_path):
    """A run whose cells are the files of a folder, finished when there are three."""
    folder = tmp_path / "run"
    (folder / "cells").mkdir(parents=True)
    names = lambda: {path.name for path in (folder / "cells").iterdir()}  # noqa: E731

    class Job(SimpleNamespace):
        is_over = property(lambda _: len(names()) == 3)

    job = Job(made=SimpleNamespace(folder=folder, results=names), networks=folder / "networks")
    return Watch([job], 3, Lines())


def work(watch, options="partition=cpu,time=60,cpus-per-task=8,exclusive", count=4):
    folder = watch.jobs[0].made.folder
    Crew(count, Slurm.parse(options)).work(folder, folder / "networks", watch)


def test_an_array_of_workers_is_submitted_and_waited_for(sbatch, watch):
    folder = watch.jobs[0].made.folder
    script = sbatch(f"{JOB}cd {folder}/cells && touch a b c")
    work(watch)
    words = Path(f"{script}.words").read_text().splitlines()
    assert {"--wait", "--parsable", "--requeue", "--open-mode=append", "--array=1-4"} <= set(words)
    assert words[-5:-1] == ["--partition=cpu", "--time=60", "--cpus-per-task=8", "--exclusive"]
    (output,) = [word for word in words if word.startswith("--output=")]
    assert output.startswith(f"--output={folder}/logs/finebayes-") and output.endswith("-%a.log")
    assert words[-1].startswith("--wrap=exec ") and f"work {folder} --networks {folder}/networks" in words[-1]
    work(watch)  # nothing is missing
    assert Path(f"{script}.calls").read_text() == "x\n"


def test_jobs_are_submitted_again_while_there_is_progress(sbatch, watch):
    cells = watch.jobs[0].made.folder / "cells"
    script = sbatch(f"{JOB}touch {cells}/$(wc -l < $0.calls); exit 1")
    work(watch)
    assert Path(f"{script}.calls").read_text() == "x\n" * 3
    assert [line for line in watch.progress.lines if "new jobs" in line] == [
        "2 of 3 cells are missing: new jobs",
        "1 of 3 cells are missing: new jobs",
    ]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "printf 'sbatch: error: invalid\\nsbatch: error: Invalid partition name\\n' >&2; exit 1",
            r"sbatch refused the jobs: Invalid partition name; correct --slurm. What was finished is kept",
        ),
        (f"{JOB}exit 1", r"2 of 3 cells are missing: no worker has left a word in .*; do the nodes see"),
        (
            f"{JOB}echo 'finebayes: It has no memory.' > LOGS/a.log; exit 1",
            r"without progress, 2 of 3 cells are missing: It has no memory \(.*a.log\)\. Correct that",
        ),
        (
            f"{JOB}",
            r"All jobs ended well, but 2 of 3 cells are not in .*run as this machine sees it: let the",
        ),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_nothing_is_lost(sbatch, watch, body, sentence):
    folder = watch.jobs[0].made.folder
    (folder / "cells" / "a").touch()
    sbatch(body.replace("LOGS", str(folder / "logs")))
    with pytest.raises(Misuse, match=sentence):
        work(watch)
    assert (folder / "cells" / "a").exists()


def test_ctrl_c_cancels_the_jobs(sbatch, watch):
    script = sbatch(f"{JOB}exec sleep 60")

    def interrupt():
        while not Path(f"{script}.words").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in the background
    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            work(watch)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 30
    (name,) = [
        word.removeprefix("--job-")
        for word in Path(f"{script}.words").read_text().splitlines()
        if word.startswith("--job-name=")
    ]
    assert Path(f"{script.parent}/scancel.words").read_text() == f"--{name}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Partition=x", "long names, like partition=cpu,time=60, got 'Partition=x'"),
        ("time=", "got 'time='"),
        ("partition=cpu;rm", None),
        ("array=1-9", "cannot set array, which finebayes sets itself"),
        ("partition=cpu,output=x", "cannot set output"),
    ],
)
def test_options_that_are_none_are_refused(sbatch, text, sentence):
    sbatch("")
    if sentence is None:  # an argument of its own, which no shell reads
        assert Slurm.parse(text).options == (f"--{text}",)
        return
    with pytest.raises(Misuse, match=sentence):
        Slurm.parse(text)


def test_without_sbatch_it_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misuse, match="needs the program sbatch, which is not on the PATH"):
        Slurm.parse("partition=cpu")
