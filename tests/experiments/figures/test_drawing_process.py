"""Drawing beside a run: tasks in processes of their own, and the process that waits for a folder."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.commands.reading import drawing_apart
from experiments.figures import drawing_process as drawing
from experiments.system import children
from theory.errors import Misuse

FORKED = """
import os, pathlib, sys
from experiments.figures.drawing_process import side_by_side
out = pathlib.Path(sys.argv[1])
os.sched_getaffinity = lambda pid: set(range(int(sys.argv[2])))
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
    words = [sys.executable, "-c", FORKED, str(tmp_path), "2"]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    parent = told.stdout.split()[0]
    pids = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert told.stdout.strip() == f"{parent} b failed in {parent}" and pids["b"] == parent
    assert len({pids["a"], pids["c"], parent}) == 3 and not told.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="tasks are forked on Linux alone")
def test_on_one_core_tasks_are_done_here_until_one_fails(tmp_path):
    words = [sys.executable, "-c", FORKED, str(tmp_path), "1"]
    parent, *error = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    pids = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert pids == {"a": parent, "b": parent} and error[0] == "b"


def test_where_jax_is_loaded_tasks_are_done_here_in_their_order():
    done = []
    drawing.side_by_side([lambda name=name: done.append((name, os.getpid())) for name in "abc"])
    assert done == [(name, os.getpid()) for name in "abc"]


def test_a_run_that_ends_early_leaves_no_process_that_waits():
    with pytest.raises(ValueError, match="early"), drawing_apart() as draw:
        raise ValueError("early")
    assert draw.process.exitcode == -signal.SIGKILL and draw.process not in multiprocessing.active_children()


ORPHANED = """
import os, sys
from experiments.commands.reading import drawing_apart
with drawing_apart() as draw:
    print(type(draw.process).__name__, flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the process is forked on Linux alone")
def test_a_run_that_is_killed_leaves_no_process_that_waits():
    """Without jax the process is forked; it notices that its parent has gone, and writes nothing."""
    words = [sys.executable, "-c", ORPHANED]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)  # until nobody holds its output
    assert (done.stdout, done.stderr) == ("ForkProcess\n", "")


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (signal.SIGKILL, "was killed by signal 9; all else is finished. Draw with: finebayes plot 'a run'"),
        (signal.SIGSTOP, r"did not end within 0\.1 s; all else is finished"),
    ],
)
def test_a_process_that_dies_or_is_stopped_is_not_waited_for(monkeypatch, sent, sentence):
    monkeypatch.setattr(children, "PATIENCE", 0.1)
    run = SimpleNamespace(folder=Path("a run"), study="study")
    with drawing_apart() as draw:
        os.kill(draw.process.pid, sent)
        with pytest.raises(Misuse, match=sentence):
            draw(run)
    assert draw.process.exitcode == -signal.SIGKILL


def test_a_stopped_process_is_not_waited_for_where_the_run_fails():
    with pytest.raises(ValueError, match="early"), drawing_apart() as draw:
        os.kill(draw.process.pid, signal.SIGSTOP)
        raise ValueError("early")
    assert draw.process.exitcode == -signal.SIGKILL


def test_what_cannot_be_drawn_is_said_and_nothing_here_is_imported(tmp_path, capfd, monkeypatch):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "__init__.py").write_text("raise RuntimeError('foreign')")
    monkeypatch.chdir(tmp_path)
    with drawing_apart() as draw, pytest.raises(Misuse, match="The process that draws failed;"):
        run = SimpleNamespace(folder=tmp_path / "none", study="study")
        assert draw.early(run, "partial") == run.folder / "figures" / "study-summary.png"
        draw(run)
    early, whole = capfd.readouterr().err.splitlines()
    assert early.startswith("finebayes: no early figure was drawn (") and "none" in early
    assert whole.startswith("finebayes: ") and "none" in whole and "foreign" not in early + whole


def test_an_early_figure_of_which_there_is_no_whole_one_is_deleted(tmp_path):
    run = SimpleNamespace(folder=tmp_path, study="study")
    early = drawing.early_path(run)
    early.parent.mkdir()
    for path, stays in ((early, True), (Path("study.png"), False)):
        early.touch()
        orders, drawn = multiprocessing.Pipe()
        drawn.send([path])
        process = SimpleNamespace(join=lambda *_: None, is_alive=lambda: False, exitcode=0)
        assert drawing.Drawer(process, orders)(run) == [path]
        assert early.exists() == stays


def test_a_process_that_has_died_costs_an_early_figure_and_nothing_else():
    with drawing_apart() as draw:
        draw.process.kill()
        draw.process.join()
        assert draw.early(SimpleNamespace(folder=Path("a run"), study="study"), "partial").name
