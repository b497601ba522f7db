"""The mark of a finished run, DONE: how many bytes of rows it has, so that a table cut short is noticed."""

from dataclasses import dataclass
from pathlib import Path

from experiments.storage.files import read_json, write_json
from experiments.storage.typed import typed
from theory.errors import Misuse

DONE, ROWS = "DONE", "rows.jsonl"


@dataclass(frozen=True)
class Done:
    """The size of a finished run's table."""

    bytes_of_rows: int


def write_done(folder: Path) -> None:
    """Note that every cell is finished and scored, and the size of the table."""
    path = folder / ROWS
    write_json(folder / DONE, vars(Done(path.stat().st_size if path.exists() else 0)))


def check_size(folder: Path, size: int) -> None:
    """Refuse a table of another size than the finished run had; nothing is known of one that is not finished,
    or was finished by an earlier version, which left the mark empty."""
    path = folder / DONE
    if path.exists() and path.stat().st_size:
        noted = typed(Done, read_json(path)).bytes_of_rows
        if noted != size:
            raise Misuse(f"it has {size} of the {noted} bytes that {DONE} says")
