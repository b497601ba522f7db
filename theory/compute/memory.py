"""Memory at hand, and the refusal of what would not fit, before anything is allocated. No jax."""

import math
import os
from pathlib import Path

from theory.errors import Misuse

LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"  # of a container


def at_hand() -> int:
    """Bytes of memory that are free on this machine, or that its container may have; all of it where the
    system does not say what is free."""
    return min([_free(), *_limits()])


def check_fits(what: str, bytes_each: int = 8, **counts: int) -> None:
    """Refuse numbers, as many as the product of `counts`, that would take more memory than there is."""
    needed, there = math.prod(counts.values()) * bytes_each, at_hand()
    if needed > there:
        given = ", ".join(f"{name} = {count}" for name, count in counts.items())
        raise Misuse(
            f"{what} ({given}) would take {in_words(needed)} of memory, and {in_words(there)} are at hand; "
            "make one of them smaller."
        )


def in_words(count: int) -> str:
    """Bytes, like 21 GB."""
    if count >= 10**18:
        return "more than 1000 PB"
    power = max(0, (len(str(max(count, 1))) - 1) // 3)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


def _free() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # a system that does not say
        return 2**36


def _limits() -> list[int]:
    limits = []
    for path in LIMITS:
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():  # it is "max" where there is none
            limits.append(int(text))
    return limits
