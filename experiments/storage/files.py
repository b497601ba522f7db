"""Files that are whole or absent: atomic writing, JSON, locks, and hashes of configs. No jax.

Every file is written beside its final name and renamed; what a killed write leaves is swept at the next
start. One process at a time holds a folder's lock, which the system drops when the process dies.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from experiments.storage.records import Json
from theory.errors import Misuse

try:
    import fcntl
except ImportError:
    fcntl = None

GENERATION = 9  # raised when the same config gives other numbers, so that no run or network is made of both
TEMPORARY = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.part")
DEEPEST, LONGEST_INTEGER = 20, 19  # of JSON that is read: levels, and digits (of 64 bits)


def write(path: Path, fill: Callable[[IO[bytes]], object], once: bool = False) -> None:
    """Write a file whole or not at all; `fill(file)` gets a binary file. With `once` a file that there is
    stays: of several processes the first to finish is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # temporary files are readable by their owner alone
        if once:
            _put_once(name, path)
        else:
            os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _put_once(name: str, path: Path) -> None:
    """Rename a file unless its new name is in use."""
    try:
        os.link(name, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links, where a look before has to do
        if not path.exists():
            os.replace(name, path)
            return
    os.unlink(name)


def sweep(folder: Path, name: str = "") -> None:
    """Delete what killed writes left in a folder: all, or of files whose name begins with `name`.

    To be called under the lock of whoever writes these files.
    """
    for path in folder.glob(f".{name}*.part"):
        if TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in UTF-8."""
    write(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: object, once: bool = False) -> None:
    """Write a small readable file; with `once`, unless there is one."""
    text = json.dumps(value, indent=1, sort_keys=True) + "\n"
    write(path, lambda file: file.write(text.encode()), once)


def check_regular(path: Path) -> None:
    """Refuse a file that is missing, or is a folder, pipe or device, which might never end."""
    if not path.is_file():
        if path.exists():
            raise Misuse(f"{path} is no regular file; move it away, and run again.")
        raise Misuse(f"{path} is missing; give a folder that `finebayes run` made.")


def read_text(path: Path, remedy: str) -> str:
    """The text of a file; one that is damaged is refused with what to do about it."""
    check_regular(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Misuse(f"{path} is damaged ({error}); {remedy}.") from error


def parse_json(text: str, decoder: json.JSONDecoder | None = None) -> Json:
    """Fields by name, no deeper and with no longer integers than are ever written."""
    text = text.strip(" \t\n\r")
    try:
        values, end = (decoder or DECODER).raw_decode(text)
        if end < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except json.JSONDecodeError as error:
        raise Misuse(f"it is no JSON: {error}") from error
    except RecursionError:
        raise Misuse("it is nested too deep") from None
    if not isinstance(values, dict):
        raise Misuse(f"it holds {values!r:.40}, not fields by name")
    if "\\" in text and not is_text(json.dumps(values, ensure_ascii=False)):
        raise Misuse("it holds half a character (a lone surrogate), which no file can hold")
    level: list[object] = [values] if text.count("[") + text.count("{") > DEEPEST else []
    depth = 0
    while level and depth < DEEPEST:
        depth += 1
        level = [
            part
            for value in level
            if isinstance(value, (dict, list))
            for part in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise Misuse("it is nested too deep")
    return values


def is_text(words: str) -> bool:
    """Whether text can be written; escapes of JSON may leave half a character (a lone surrogate)."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > LONGEST_INTEGER:
        raise Misuse(f"it holds an integer of {len(digits)} digits")
    return int(digits)


def fields_once(pairs: list[tuple[str, object]]) -> Json:
    """The fields of an object of JSON; refuses two of one name, of which Python keeps the last."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Misuse(f"it has two values of {twice!r:.60}; give one")
    return values


DECODER = json.JSONDecoder(parse_int=_integer)
BY_HAND = json.JSONDecoder(parse_int=_integer, object_pairs_hook=fields_once)  # of files that people edit


def read_json(path: Path, remedy: str = "delete it and run again") -> Json:
    """The inverse of `write_json`, of fields by name; damage is refused with what to do about it."""
    text = read_text(path, remedy).removeprefix("\ufeff")  # the mark that editors on Windows put first
    try:
        return parse_json(text, BY_HAND)
    except Misuse as error:
        raise Misuse(f"{path} is damaged ({error}); {remedy}.") from error


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """A table as text, with every column that any of its rows has."""
    text = io.StringIO(newline="")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def digest(config: Json, generation: int | None = None) -> str:
    """Twelve hexadecimal digits that name a config, as a generation of the code (this one) understands it."""
    text = json.dumps([GENERATION if generation is None else generation, config], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[None]:
    """Hold a folder for writing, alone or `shared` with others that say so; all others are refused.

    The system drops the lock when its holder dies, however that happens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+") as file:
        if fcntl is not None:  # elsewhere renames alone keep files whole
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Misuse(
                    f"Another process is writing to {folder}; wait for it or choose another --out."
                ) from None
            except OSError as error:  # some network file systems have no locks
                why = f"{folder} cannot be locked ({error.strerror}): let no other process write to it"
                print(f"finebayes: {why} meanwhile.", file=sys.stderr)
        yield
