"""Drawing beside a run: tasks in processes of their own, and the process that waits for a folder."""

import json
import os
import subprocess
import sys

import pytest

from experiments.figures import drawing_process as drawing

WAITING = [sys.executable, "-m", "experiments.cli", "plot", "-"]
FORKED = """
import os, pathlib, sys
from experiments.figures.drawing_process import side_by_side
out = pathlib.Path(sys.argv[1])
def note(name):
    (out / name).write_text(str(os.getpid()))
    if name == "b":
        raise ValueError(f"b failed in {os.getpid()}")
try:
    side_by_side([lambda name=name: note(name) for name in "abc"])
except ValueError as error:
    print(os.getpid(), error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tasks are forked on Linux alone")
def test_a_task_that_fails_beside_is_done_again_where_its_error_is_heard(tmp_path):
    words = [sys.executable, "-c", FORKED, str(tmp_path)]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    parent = told.stdout.split()[0]
    pids = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert told.stdout.strip() == f"{parent} b failed in {parent}" and pids["b"] == parent
    assert len({pids["a"], pids["c"], parent}) == 3 and not told.stderr


def test_where_jax_is_loaded_tasks_are_done_here_in_their_order():
    done = []
    drawing.side_by_side([lambda name=name: done.append((name, os.getpid())) for name in "abc"])
    assert done == [(name, os.getpid()) for name in "abc"]


def test_a_run_that_ends_early_leaves_no_process_that_waits():
    with pytest.raises(ValueError, match="early"), drawing.apart():
        raise ValueError("early")
    told = subprocess.run(WAITING, input="", capture_output=True, text=True)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_what_cannot_be_drawn_is_said_in_a_sentence(tmp_path):
    told = subprocess.run(WAITING, input=json.dumps(str(tmp_path / "none")), capture_output=True, text=True)
    assert told.returncode == 1 and told.stderr.startswith("finebayes: ") and not told.stdout
