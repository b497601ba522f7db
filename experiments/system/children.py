"""Child processes: they end with their parent, leave Ctrl-C to it, and are not waited for without end."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import ModuleType
from typing import TypeVar
from unittest import mock

from theory.errors import Misuse

GroupT = TypeVar("GroupT")
ResultT = TypeVar("ResultT")

PATIENCE = 600.0  # seconds: far longer than drawing takes
GLANCE = 0.2  # seconds between two looks at the parent, and at children that are stopped
LOOKS = 300  # a child may be stopped at so many looks in a row while nothing comes: a minute


def end_with(parent: int) -> None:
    """End this process when its parent, of that process number, has ended, however that happened."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(GLANCE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def in_processes(
    task: Callable[[GroupT], ResultT], groups: Iterable[GroupT], preparations: Sequence[Callable[[], None]]
) -> Iterator[ResultT]:
    """Results of a task for every group, as they come, from as many processes as there are preparations.

    Each process calls one of the preparations first. All of them are killed when the iterator ends, whatever
    ends it. Raises `Misuse` if one of them dies, or is stopped and not continued.
    """
    context, before = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    prepared: SimpleQueue[Callable[[], None]] = context.SimpleQueue()
    for preparation in preparations:
        prepared.put(preparation)
    pool = concurrent.futures.ProcessPoolExecutor(len(preparations), context, _begin, (prepared,))
    # a process would run the main script again, which may have no guard against that
    with _without_interrupts(), mock.patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
        results = [pool.submit(task, group) for group in groups]
    children = [child for child in multiprocessing.active_children() if child not in before]
    try:
        for result in _as_they_come(results, [child.pid for child in children]):
            yield result.result()
    except BrokenProcessPool:
        raise Misuse(
            f"One of the {len(preparations)} processes died, most likely killed by the system for want of "
            "memory. What was finished is kept; run the same command again, with fewer jobs."
        ) from None
    finally:
        for child in children:
            child.kill()
        pool.shutdown(cancel_futures=True)


def _as_they_come(
    results: Iterable[Future[ResultT]], children: list[int | None]
) -> Iterator[Future[ResultT]]:
    """Futures as they finish. Looks are counted, not seconds: who stops all of a run stops the looks, too."""
    pending, stopped_at = set(results), 0
    while pending:
        done, pending = concurrent.futures.wait(pending, GLANCE, concurrent.futures.FIRST_COMPLETED)
        yield from done
        stopped = [child for child in children if _is_stopped(child)]
        stopped_at = stopped_at + 1 if stopped and not done else 0
        if stopped_at > LOOKS:
            raise Misuse(
                f"Process {stopped[0]}, one of {len(children)}, is stopped (by Ctrl-Z or SIGSTOP) and does "
                "not go on. What was finished is kept; run the same command again."
            )


def _is_stopped(process: int | None) -> bool:
    """Whether a process is stopped by a signal; False where the system does not say."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


def _begin(prepared: "SimpleQueue[Callable[[], None]]") -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None
    end_with(parent.pid)
    prepared.get()()  # what it imports is imported here, when the parent is being watched


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold back an interrupt until the end of the block, and for ever in the processes that begin in it."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
