"""Cores of this machine, and the share of them that a process keeps to. No jax."""

import contextlib
import os
from pathlib import Path


def cores() -> list[int]:
    """The numbers of the cores that this process may use; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def divided(cores: list[int], shares: int) -> list[list[int]]:
    """Shares of cores, as equal as can be; a core is in several shares where there are more of these."""
    if shares > len(cores):
        return [[cores[share % len(cores)]] for share in range(shares)] if cores else [[]] * shares
    return [cores[share::shares] for share in range(shares)]


def keep_to(share: list[int]) -> None:
    """Hold all threads of this process to some cores."""
    for thread in Path("/proc/self/task").glob("[0-9]*") if share else ():
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread.name), share)
