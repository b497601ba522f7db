"""Child processes: what is left of them when they or their parent end, and what is said."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.system import children
from experiments.system.children import in_processes
from theory.errors import Misuse

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
PARENT = """
import functools, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
from experiments.system.children import in_processes
if __name__ == "__main__":
    try:
        for done in in_processes(time.sleep, [0.001, 60, 60], [functools.partial(int)] * 2):
            print("begun", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def below(parent):
    """Processes below a process that still live, those that track its resources aside."""
    living = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
            tracks = b"resource_tracker" in (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(words[1]) == parent and words[0] != "Z" and not tracks:
            living.append(int(path.parent.name))
    return living


def gone(processes, seconds=5.0):
    """Whether all of some processes have ended within that time."""
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{process}").exists() for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_every_result_comes_from_a_prepared_process(tmp_path):
    results = in_processes(os.path.abspath, "abc", [functools.partial(os.chdir, tmp_path)] * 2)
    assert sorted(results) == [str(tmp_path / name) for name in "abc"]
    assert Path.cwd() != tmp_path


@linux
def test_a_process_that_the_system_kills_is_told_in_a_sentence():
    dying = in_processes(signal.raise_signal, [signal.SIGKILL], [functools.partial(int)] * 2)
    with pytest.raises(Misuse, match=r"One of the 2 processes died, .* What was finished is kept"):
        list(dying)
    assert gone(below(os.getpid()))


@linux
def test_a_process_that_is_stopped_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setattr(children, "LOOKS", 2)
    stopping = in_processes(signal.raise_signal, [signal.SIGSTOP], [functools.partial(int)])
    with pytest.raises(Misuse, match=r"Process \d+, one of 1, is stopped .* What was finished is kept"):
        list(stopping)
    assert gone(below(os.getpid()))


@linux
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_or_killed_it_leaves_no_process_and_no_traceback(tmp_path, sent):
    """Ctrl-C goes to the whole group; a kill to the parent alone."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    pipe = subprocess.PIPE
    words = [sys.executable, str(script)]
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, process_group=0) as parent:
        assert parent.stdout.readline() == "begun\n"
        living = below(parent.pid)
        assert len(living) == 2
        (os.killpg if sent == signal.SIGINT else os.kill)(parent.pid, sent)
        assert gone(living)
        said, complaints = parent.communicate(timeout=20)
    assert said == "interrupted\n" * (sent == signal.SIGINT) and "Traceback" not in complaints
    assert parent.returncode == (0 if sent == signal.SIGINT else -signal.SIGKILL)
