"""What is on disk: one folder a run, written so that a kill at any moment costs at most one cell
(or one chunk of pretraining).

    config.json        the resolved config, and its hash
    environment.json   versions, git commit and whether it was dirty, devices
    cells/ID.npz       the arrays of a finished cell (no pickles); ID.failed.json the reason of a failed one
    rows.jsonl         one line for each cell × dose × theory × group, with a value for each seed
    networks.json      how far the base networks are from the exact predictor
    lock               held while a process writes
    figures/, report.html, DONE

Every file is written beside its place and renamed, so it is whole or absent. A finished cell is never run
again. One process at a time holds the folder's lock, which the system drops when the process dies.
"""

import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from theory.errors import Misuse

try:
    import fcntl
except ImportError:
    fcntl = None

Arrays = dict[str, np.ndarray]
GENERATION = 3  # raised when the same config gives other numbers, so that no run or network is made of both


@dataclass(frozen=True)
class Results:
    """A run's folder, for reading and writing."""

    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config with the study's name and preset."""
        return read_json(self.folder / "config.json")

    @property
    def study(self) -> str:
        """The study that was run here."""
        return str(self.config["study"])

    def cells(self) -> list[str]:
        """Names of the finished cells, sorted."""
        return sorted(path.stem for path in (self.folder / "cells").glob("*.npz"))

    def failures(self) -> dict[str, str]:
        """Failed cells and their reasons."""
        paths = sorted((self.folder / "cells").glob("*.failed.json"))
        return {path.name.removesuffix(".failed.json"): read_json(path)["reason"] for path in paths}

    def finished(self, cell: str) -> bool:
        """Whether a cell need not be run again (a failed one fails again: the run is deterministic)."""
        place = self.folder / "cells"
        return (place / f"{cell}.npz").exists() or (place / f"{cell}.failed.json").exists()

    def save(self, cell: str, arrays: Arrays) -> None:
        """Keep a finished cell."""
        write(
            self.folder / "cells" / f"{cell}.npz",
            lambda file: np.savez_compressed(file, allow_pickle=False, **arrays),
        )

    def fail(self, cell: str, reason: str) -> None:
        """Record why a cell has no result."""
        write_json(self.folder / "cells" / f"{cell}.failed.json", {"reason": reason})

    def load(self, cell: str) -> Arrays:
        """A finished cell's arrays, which are read only."""
        path = self.folder / "cells" / f"{cell}.npz"
        try:
            found = path.stat()
            return dict(_arrays(path.absolute(), found.st_ino, found.st_mtime_ns))
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError) as error:
            raise Misuse(
                f"{path} is damaged ({error}); delete it and run again: only it is redone."
            ) from error

    def rows(self) -> list[dict[str, Any]]:
        """The table; empty before the first cell is scored."""
        path = self.folder / "rows.jsonl"
        if not path.exists():
            return []
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise Misuse(
                f"{path} is damaged ({error}); delete it and run again: no cell is redone."
            ) from error

    def save_rows(self, rows: list[dict[str, Any]]) -> None:
        """Replace the table."""
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        write(self.folder / "rows.jsonl", lambda file: file.write(text.encode()))


@functools.lru_cache(maxsize=64)  # scores, figures and the report all read the same cells
def _arrays(path: Path, *written: int) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def as_csv(table: list[dict[str, Any]]) -> str:
    """Lines of a table as text, with every column that any of them has."""
    text = io.StringIO(newline="")
    columns = list(dict.fromkeys(key for line in table for key in line))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def digest(config: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that name a config, as this generation of the code understands it."""
    told = json.dumps([GENERATION, config], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def create(folder: Path, config: dict[str, Any], environment: dict[str, Any]) -> Results:
    """A run's folder for this config: new, or the same config's unfinished one."""
    path = folder / "config.json"
    mine = {**config, "hash": digest(config)}
    if path.exists():
        theirs = read_json(path)
        if theirs != mine:
            changed = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
            changed.remove("hash")
            other = f"config (it differs in {', '.join(changed)})" if changed else "version of finebayes"
            raise Misuse(
                f"{folder} holds a run of another {other}; choose another --out, or leave --out away to get "
                "a folder for each."
            )
    elif folder.exists() and any(entry.name not in ("lock", "networks") for entry in folder.iterdir()):
        raise Misuse(f"{folder} is not empty and holds no run (no config.json); choose another --out.")
    else:
        write_json(folder / "environment.json", environment)
        write_json(path, mine)
    return Results(folder)


def find(place: str) -> Results:
    """The run in a folder, or the only one below it."""
    folder = Path(place)
    if not folder.is_dir():
        raise Misuse(f"There is no folder {place}; give the folder that `finebayes run` printed.")
    if (folder / "config.json").exists():
        return Results(folder)
    runs = sorted(path.parent for path in folder.glob("**/config.json"))
    if len(runs) == 1:
        return Results(runs[0])
    if not runs:
        raise Misuse(f"{place} holds no run (no config.json); give the folder that `finebayes run` printed.")
    raise Misuse(f"{place} holds {len(runs)} runs; give one of them: {', '.join(map(str, runs))}.")


@contextlib.contextmanager
def locked(folder: Path, name: str = "lock", wait: bool = False) -> Iterator[None]:
    """Hold a folder for writing; a second process waits, or is told so at once.

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
        yield


def write(path: Path, fill: Any) -> None:
    """Write a file whole or not at all; `fill(file)` gets a binary file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def write_json(path: Path, value: Any) -> None:
    """A small readable file."""
    text = json.dumps(value, indent=1, sort_keys=True) + "\n"
    write(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> dict[str, Any]:
    """The inverse of `write_json`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Misuse(f"{path} is missing; give a folder that `finebayes run` made.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"{path} is damaged ({error}); delete it, or its folder, and run again.") from error
