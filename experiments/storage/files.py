"""Files that are whole or absent: atomic writing, JSON, locks, and hashes of configs. No jax.

Every file is written beside its final name and renamed. One process at a time holds a folder's lock, which
the system drops when the process dies.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from experiments.storage.records import Json
from theory.errors import Misuse

try:
    import fcntl
except ImportError:
    fcntl = None

GENERATION = 4  # raised when the same config gives other numbers, so that no run or network is made of both


def write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all; `fill(file)` gets a binary file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # temporary files are readable by their owner alone
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in UTF-8."""
    write(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: object) -> None:
    """Write a small readable file."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> Json:
    """The inverse of `write_json`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Misuse(f"{path} is missing; give a folder that `finebayes run` made.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"{path} is damaged ({error}); delete it, or its folder, and run again.") from error


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """A table as text, with every column that any of its rows has."""
    text = io.StringIO(newline="")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def digest(config: Json) -> str:
    """Twelve hexadecimal digits that name a config, as this generation of the code understands it."""
    text = json.dumps([GENERATION, config], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(folder: Path, name: str = "lock", wait: bool = False) -> Iterator[None]:
    """Hold a folder for writing; a second process waits, or is refused at once.

    The system drops the lock when its holder dies, however that happens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "a+") as file:
        if fcntl is not None:  # elsewhere renames alone keep files whole
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Misuse(
                    f"Another process is writing to {folder}; wait for it or choose another --out."
                ) from None
            except OSError as error:  # some network file systems have no locks
                why = f"{folder} cannot be locked ({error.strerror}): let no other process write to it"
                print(f"finebayes: {why} meanwhile.", file=sys.stderr)
        yield
