"""Work beside the main thread: programs that are compiled ahead of their first call."""

import threading
from collections.abc import Callable

_threads: list[threading.Thread] = []


def background(function: Callable[[], object]) -> threading.Thread:
    """A thread, not yet started, of which `settle` knows; it ends with the process."""
    _threads[:] = [thread for thread in _threads if thread.is_alive() or thread.ident is None]
    _threads.append(threading.Thread(target=function, daemon=True))
    return _threads[-1]


def settle() -> None:
    """Wait for all that has been started."""
    for thread in _threads:
        if thread.ident is not None:
            thread.join()
    _threads.clear()
