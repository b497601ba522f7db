"""Drawing in other processes: one that waits for a run while it computes, and one for each file format.

matplotlib draws on one core, and loads as slowly as jax; neither has to wait for the other.
"""

import contextlib
import multiprocessing
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from experiments.storage.run_folder import RunFolder
from experiments.system import children
from theory.errors import Misuse


@dataclass(frozen=True)
class Drawer:
    """A process that draws the figures of a run, and the connection by which it is given folders."""

    process: BaseProcess
    orders: Connection

    def early(self, run: RunFolder, note: str) -> Path:
        """Have the early figure of a run drawn while it goes on; the path that it will have. Nothing is
        waited for, and nothing fails where the process does."""
        with contextlib.suppress(OSError):  # it has died, which is said when all is to be drawn
            self.orders.send((str(run.folder), note))
        return early_path(run)

    def __call__(self, run: RunFolder) -> list[Path]:
        """Draw all figures; the process ends with that. Raises `Misuse` if it fails, dies or does not end."""
        drawn, late = None, False
        with contextlib.suppress(OSError, EOFError):  # it has died
            self.orders.send((str(run.folder), ""))
            late = not self.orders.poll(children.PATIENCE)  # also where it is stopped
            drawn = None if late else self.orders.recv()
        if not late:
            self.process.join(children.PATIENCE)
        _end(self.process)
        if drawn is None:
            status = self.process.exitcode or 0
            ended = f"was killed by signal {-status}" if status < 0 else "failed"
            raise Misuse(
                f"The process that draws {f'did not end within {children.PATIENCE:g} s' if late else ended}; "
                f"all else is finished. Draw with: finebayes plot {shlex.quote(str(run.folder))}"
            )
        if early_path(run) not in drawn:
            early_path(run).unlink(missing_ok=True)
        return drawn


def early_path(run: RunFolder) -> Path:
    """The file of the early figure, in whose place comes the whole one of that name."""
    return run.folder / "figures" / f"{run.study}-summary.png"


@contextlib.contextmanager
def apart(draw: Callable[[str], list[Path]], early: Callable[[str, str], None]) -> Iterator[Drawer]:
    """Start a process that loads matplotlib now, and draws the figures of a run when it is given a folder.

    It is forked where that is safe, before jax has threads: what is imported by then is not imported twice.
    It ends with this one, however that ends, and writes its own complaints. `draw` writes the figures of a
    folder, `early` a first one with a note; both are functions of a module.
    """
    is_safe = sys.platform == "linux" and "jax" not in sys.modules
    context = multiprocessing.get_context("fork") if is_safe else multiprocessing.get_context("spawn")
    orders, awaited = context.Pipe()
    process = context.Process(target=_wait, args=(awaited, os.getpid(), draw, early))
    process.start()
    awaited.close()  # the process's own: when it dies, nobody else holds it
    try:
        yield Drawer(process, orders)
    finally:
        _end(process)
        orders.close()


def _wait(
    orders: Connection,
    parent: int,
    draw: Callable[[str], list[Path]],
    early: Callable[[str, str], None],
) -> None:
    """Load matplotlib, draw early figures of folders that come with a note, and all of the one without."""
    os.setsid()  # Ctrl-C is the run's
    children.end_with(parent)
    import matplotlib.backends.backend_pdf
    import matplotlib.backends.backend_svg  # noqa: F401

    import experiments.figures.comparison  # noqa: F401  (of most studies)

    while True:
        folder, note = orders.recv()
        if not note:
            break
        try:
            early(folder, note)
        except Exception as error:
            print(f"finebayes: no early figure was drawn ({error})", file=sys.stderr)
    orders.send(draw(folder))


def _end(process: BaseProcess) -> None:
    """Kill a process with what it has forked, if it has not ended."""
    if process.is_alive():  # it may be stopped, and not see that nothing comes any more
        with contextlib.suppress(ProcessLookupError):  # it has just begun, and no group of its own
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.kill()
    process.join()


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
