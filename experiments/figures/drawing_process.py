"""Drawing in other processes: one that waits for a run while it computes, and one for each file format.

matplotlib draws on one core, and loads as slowly as jax; neither has to wait for the other.
"""

import contextlib
import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.storage.run_folder import RunFolder
from experiments.system import children, surroundings
from theory.errors import Misuse


@dataclass(frozen=True)
class Drawer:
    """A process that draws the figures of a run."""

    process: subprocess.Popen[str]

    def early(self, run: RunFolder, note: str) -> Path:
        """Have the early figure of a run drawn while it goes on; the path that it will have. Nothing is
        waited for, and nothing fails where the process does."""
        assert self.process.stdin is not None
        line = json.dumps([str(run.folder), note]) + "\n"
        with contextlib.suppress(OSError):  # it has died, which is said when all is to be drawn
            os.write(self.process.stdin.fileno(), line.encode())
        return early_path(run)

    def __call__(self, run: RunFolder) -> list[Path]:
        """Draw all figures; the process ends with that. Raises `Misuse` if it fails, dies or does not end."""
        process, late, words = self.process, False, json.dumps([str(run.folder), ""])
        try:
            paths, _ = process.communicate(words, children.PATIENCE)
        except subprocess.TimeoutExpired:  # also where it is stopped
            late = True
            os.killpg(process.pid, signal.SIGKILL)
            paths, _ = process.communicate()
        if process.returncode:
            ended = f"was killed by signal {-process.returncode}" if process.returncode < 0 else "failed"
            raise Misuse(
                f"The process that draws {f'did not end within {children.PATIENCE:g} s' if late else ended}; "
                f"all else is finished. Draw with: finebayes plot {shlex.quote(str(run.folder))}"
            )
        drawn = [Path(line) for line in paths.splitlines()]
        if early_path(run) not in drawn:
            early_path(run).unlink(missing_ok=True)
        return drawn


def early_path(run: RunFolder) -> Path:
    """The file of the early figure, in whose place comes the whole one of that name."""
    return run.folder / "figures" / f"{run.study}-summary.png"


@contextlib.contextmanager
def apart() -> Iterator[Drawer]:
    """Start a process that loads matplotlib now, and draws the figures of a run when it is given one.

    It ends with this one, however that ends, and writes its own complaints.
    """
    process = subprocess.Popen(
        surroundings.command_line("plot", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=surroundings.variables(PYTHONIOENCODING="utf-8"),
        start_new_session=True,
    )
    with process:
        try:
            yield Drawer(process)
        finally:
            if process.poll() is None:  # it may be stopped, and not see that its input ends
                os.killpg(process.pid, signal.SIGKILL)


def awaited_folder(early: Callable[[str, str], None]) -> str:
    """The folder that such a process is given, once matplotlib is loaded; exits if the run was stopped.

    Before it, `early` is called with every folder that comes with a note; what it raises is a line.
    """
    children.end_with(os.getppid())
    import matplotlib.backends.backend_pdf
    import matplotlib.backends.backend_svg  # noqa: F401

    for line in sys.stdin:
        folder, note = json.loads(line)
        if not note:
            return folder
        try:
            early(folder, note)
        except Exception as error:
            print(f"finebayes: no early figure was drawn ({error})", file=sys.stderr)
    raise SystemExit


def side_by_side(tasks: Sequence[Callable[[], None]]) -> None:
    """Run each of several tasks in a forked process, or one after the other where a fork is not safe, as jax
    has threads, or gains nothing: on one core."""
    alone = len(tasks) == 1 or sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1
    if alone or "jax" in sys.modules:
        for task in tasks:
            task()
        return

    parent = os.getpid()

    def silent(task: Callable[[], None]) -> None:
        children.end_with(parent)
        with contextlib.suppress(BaseException):
            task()
            os._exit(0)
        os._exit(1)

    fork = multiprocessing.get_context("fork")
    started = [(task, fork.Process(target=silent, args=(task,))) for task in tasks]
    for _, process in started:
        process.start()
    for task, process in started:
        process.join(children.PATIENCE)
        if process.is_alive():  # it was stopped
            process.kill()
            process.join()
        if process.exitcode:  # here, where its error is heard
            task()
