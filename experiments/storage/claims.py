"""Claims: which process works on what, as files that processes on any machine see. No jax.

A claim is a file that a single process can create (O_EXCL holds on network file systems, where `flock` may be
local to a machine). Its holder touches it every `BEAT` seconds. It is stale, and may be taken over, when its
holder was a process of this machine that has ended, or when it has not changed for `STALE` seconds by the
clock of whoever looks at it: clocks of two machines are never compared.

A holder that was stopped for longer than that may go on beside its successor. That costs time and changes no
result: what is claimed is deterministic, and written once, so that the first to finish is kept.
"""

import contextlib
import functools
import json
import os
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

BEAT, STALE = 10.0, 90.0  # seconds
SUFFIX = ".claim"
State: TypeAlias = tuple[int, int, str]  # of a file: inode, time of its last change (ns), content


@dataclass(frozen=True)
class Claim:
    """A claim that this process holds, until the end of a `with`."""

    path: Path
    text: str
    beating: "set[Path]" = field(repr=False, compare=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.beating.discard(self.path)
        with contextlib.suppress(OSError):  # it goes stale
            if self.path.read_text() == self.text:  # nobody has taken it over
                self.path.unlink()


class Claims:
    """The claims in a folder, and those in it that this process holds."""

    def __init__(self, folder: Path, beat: float = BEAT, stale: float = STALE):
        self.folder, self.beat, self.stale = folder, beat, stale
        self._beating: set[Path] = set()
        self._seen: dict[Path, tuple[State, float]] = {}
        self._thread: threading.Thread | None = None

    def take(self, name: str) -> Claim | None:
        """The claim of a name; None where another process holds it."""
        path = self.folder / f"{name}{SUFFIX}"
        text = json.dumps(_holder() | {"token": secrets.token_hex(8)})
        if not self._create(path, text):
            if not self._is_stale(path):
                return None
            self._break(path)
            if not self._create(path, text):
                return None
        self._beating.add(path)
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()
        return Claim(path, text, self._beating)

    def names(self) -> set[str]:
        """The names that are claimed, whether or not their holders live."""
        with contextlib.suppress(FileNotFoundError):
            entries = os.listdir(self.folder)
            return {name.removesuffix(SUFFIX) for name in entries if name.endswith(SUFFIX)}
        return set()

    def living(self) -> dict[str, str]:
        """Holders by name, in words, but for those that are known to have ended."""
        paths = {name: self.folder / f"{name}{SUFFIX}" for name in sorted(self.names())}
        states = {name: _read(path) for name, path in paths.items()}
        return {
            name: _words(state[2]) for name, state in states.items() if state and not _has_ended(state[2])
        }

    def tidy(self, name: str) -> None:
        """Remove the claim of a name that is of no more use, if its holder is known to have ended."""
        path = self.folder / f"{name}{SUFFIX}"
        state = _read(path)
        if state is not None and _has_ended(state[2]):
            self._break(path)

    def _create(self, path: Path, text: str) -> bool:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        except FileNotFoundError:  # the folder
            path.parent.mkdir(parents=True, exist_ok=True)
            return self._create(path, text)
        try:
            os.write(handle, text.encode())
        except OSError:  # a full disk
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(handle)
        return True

    def _is_stale(self, path: Path) -> bool:
        state, now = _read(path), time.monotonic()
        if state is None:  # it was released since
            return True
        before, since = self._seen.setdefault(path, (state, now))
        if before != state:
            self._seen[path] = state, now
            return False
        return now - since >= self.stale or _has_ended(state[2])

    def _break(self, path: Path) -> None:
        """Remove a stale claim; of several processes that try, one renames it."""
        aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, aside)
            aside.unlink()
        self._seen.pop(path, None)

    def _beat(self) -> None:
        while True:
            time.sleep(self.beat)
            for path in tuple(self._beating):
                with contextlib.suppress(OSError):  # a moment without network
                    os.utime(path)


def _read(path: Path) -> State | None:
    """The state of a file; opened, as a network file system looks again then; None where there is none."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return status.st_ino, status.st_mtime_ns, file.read(1000).decode(errors="replace")
    except FileNotFoundError:
        return None


@functools.cache
def _machine() -> str:
    """This machine, or container: process numbers mean the same wherever it is the same."""
    parts = [os.uname().nodename] if hasattr(os, "uname") else []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _holder() -> dict[str, str | int]:
    return {"machine": _machine(), "process": os.getpid(), "begun": _begun(os.getpid()) or ""}


def _begun(process: int) -> str | None:
    """The time when a process began, as the system counts it; None where it has ended, or nobody knows."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] in "ZX" else words[19]


def _has_ended(text: str) -> bool:
    """Whether a claim's holder is a process of this machine that has ended."""
    try:
        holder = json.loads(text)
        known = holder["machine"] == _machine() and bool(holder["begun"])
        return known and _begun(int(holder["process"])) != holder["begun"]
    except (ValueError, KeyError, TypeError):
        return False


def _words(text: str) -> str:
    """A holder in words."""
    try:
        holder = json.loads(text)
        return f"process {holder['process']} on {holder['machine'].partition(' ')[0]}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "a process that left no name"
