"""The table of a run on disk, read row by row as often as it is wanted. No jax.

A table of many cells does not fit into memory as rows, which take several times the room of their text. One
that is small is held.
"""

import functools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn, Self

from experiments.storage.done import check_size
from experiments.storage.files import parse_json
from experiments.storage.records import Row
from theory.errors import Misuse

HELD = 2**24  # bytes of text of a table that is held, some 30 000 rows
BUFFER = 2**20  # bytes that are written at a time
ENCODE = json.JSONEncoder(allow_nan=False, check_circular=False).encode  # no row holds itself


@dataclass(frozen=True)
class RowFile(Iterable[Row]):
    """A table in a file, of rows of one study. `state` (inode, time of the last change, bytes) is another
    one whenever the file is; `refuse` raises a `Misuse` about what is damaged in it."""

    path: Path
    study: str
    state: tuple[int, int, int]
    refuse: Callable[[Misuse | UnicodeDecodeError], NoReturn] = field(compare=False, repr=False)

    @classmethod
    def of(cls, path: Path, study: str, refuse: Callable[[Exception], NoReturn]) -> Self:
        """The table as it is now; refused where it is shorter than that of the finished run."""
        status = path.stat()
        try:
            check_size(path.parent, status.st_size)
        except Misuse as error:
            refuse(error)
        return cls(path, study, (status.st_ino, status.st_mtime_ns, status.st_size), refuse)

    def __iter__(self) -> Iterator[Row]:
        return iter(_held(self)) if self.state[2] <= HELD else self.read()

    def __bool__(self) -> bool:
        return self.state[2] > 0

    def read(self) -> Iterator[Row]:
        """The rows, one after the other; refused where they are damaged, or of another study."""
        try:
            with open(self.path, encoding="utf-8", newline="\n") as file:
                for line in file:
                    row = Row.from_json(parse_json(line))
                    if row.study != self.study:
                        raise Misuse(f"it has rows of {row.study}")
                    yield row
        except (Misuse, UnicodeDecodeError) as error:
            self.refuse(error)


def scratch(folder: Path) -> IO[bytes]:
    """A table that is gone when it is closed."""
    return tempfile.TemporaryFile(buffering=BUFFER, dir=folder)


def write_row(file: IO[bytes], row: Row) -> None:
    """Append a row to a table."""
    try:
        text = ENCODE(row.measured())
    except ValueError:  # ∞, for which JSON has no number
        text = ENCODE(row.to_json())
    file.write(text.encode() + b"\n")


@functools.lru_cache(maxsize=2)  # scores, figures and the report all read the same table
def _held(rows: RowFile) -> tuple[Row, ...]:
    return tuple(rows.read())
