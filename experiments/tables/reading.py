"""Tables from files: CSV, JSON lines and Parquet, read in one pass. No jax.

A million rows take seconds and tens of megabytes, as every word is kept once.
"""

import csv
import itertools
import json
import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.storage.files import fields_once, is_text
from experiments.tables.columns import COLUMNS, NUMBER, Table, joined
from theory.errors import Misuse

FORMATS = (".csv", ".jsonl", ".parquet")
CHUNK = 20_000  # rows
LONGEST_FIELD = 2**24  # characters: a context may be a whole document
# A number of any length is a word. One decoder for all rows: `json.loads` with an option makes one a row.
DECODER = json.JSONDecoder(parse_int=str, object_pairs_hook=fields_once)


class _Numbering(dict[str, int]):
    """Words by number, in the order in which they first stand."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


def read_tables(paths: Sequence[str | Path]) -> Table:
    """The rows of all files together; raises `Misuse` for what is none."""
    if not paths:
        raise Misuse("A table is needed: a file that ends in .csv, .jsonl or .parquet.")
    return joined([read_table(path) for path in paths])


def read_table(path: str | Path) -> Table:
    """The rows of one file."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise Misuse(f"{path} is no table: its name ends in {', '.join(FORMATS)}.")
    if not path.is_file():
        raise Misuse(f"There is no file {path}.")
    try:
        if path.suffix == ".csv":
            return _from_csv(path)
        if path.suffix == ".jsonl":
            return from_columns(_jsonl_chunks(path), path.name)
        return from_columns(_parquet_chunks(path), path.name)
    except UnicodeDecodeError as error:
        raise Misuse(f"{path} is no text in UTF-8 ({error}).") from error


def from_records(records: Iterable[Mapping[str, object]], name: str = "the table") -> Table:
    """A table of rows that are dicts, as adapters make them."""

    def chunks() -> Iterator[dict[str, list[str]]]:
        for rows in _chunked(iter(records)):
            yield _by_column(rows)

    return from_columns(chunks(), name)


def from_columns(chunks: Iterable[Mapping[str, Sequence[str]]], name: str) -> Table:
    """A table of chunks of rows, lists of words by column; a column that is missing is empty."""
    numberings = {column: _Numbering() for column in COLUMNS}
    codes = {column: array("i") for column in COLUMNS}
    values, before = array("d"), 0
    for chunk in chunks:
        unknown = sorted(chunk.keys() - {*COLUMNS, NUMBER})
        if unknown:
            raise Misuse(
                f"{name} has a column {unknown[0]!r:.60}; there are {', '.join((*COLUMNS, NUMBER))}."
            )
        missing = [column for column in ("kind", NUMBER) if column not in chunk]
        if missing:
            raise Misuse(f"{name} has no column {missing[0]}; every row needs one.")
        count = len(chunk[NUMBER])
        for column in COLUMNS:
            numbering, words = numberings[column], chunk.get(column)
            numbers = [numbering[""]] * count if words is None else map(numbering.__getitem__, words)
            codes[column].extend(numbers)
        values.extend(_numbers(chunk[NUMBER], name, before))
        before += count
    if not before:
        raise Misuse(f"{name} has no rows.")
    for column, numbering in numberings.items():
        for word in numbering:
            if not is_text(word):
                raise Misuse(
                    f"{name}, column {column}: {word!r:.60} has half a character (a lone surrogate), which "
                    "no file can hold; write the text anew."
                )
    return Table(
        {column: np.frombuffer(codes[column], np.int32) for column in COLUMNS},
        {column: tuple(numberings[column]) for column in COLUMNS},
        np.frombuffer(values, np.float64),
        ((name, 0),),
    )


def _numbers(words: Sequence[str], name: str, before: int) -> list[float]:
    try:
        return list(map(float, words))
    except ValueError:
        row = next(index for index, word in enumerate(words) if not _is_number(word))
        raise Misuse(
            f"{name}, row {before + row + 1}, column {NUMBER}: {words[row]!r:.60} is no number."
        ) from None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _chunked(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk


def _from_csv(path: Path) -> Table:
    csv.field_size_limit(min(LONGEST_FIELD, sys.maxsize))
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        _refuse_twice(path, header)

        def chunks() -> Iterator[dict[str, Sequence[str]]]:
            before = 0
            for rows in _chunked(reader):
                for index, row in enumerate(rows):
                    if len(row) != len(header):
                        raise Misuse(
                            f"{path.name}, row {before + index + 1}: there are {len(row)} fields, and "
                            f"{len(header)} columns."
                        )
                before += len(rows)
                yield dict(zip(header, zip(*rows, strict=True), strict=True))

        try:
            return from_columns(chunks(), path.name)
        except csv.Error as error:
            raise Misuse(f"{path.name}, line {reader.line_num}: {error}.") from error


def _refuse_twice(path: Path, header: Sequence[str]) -> None:
    twice = [name for index, name in enumerate(header) if name in header[:index]]
    if twice:
        raise Misuse(f"{path.name} has two columns {twice[0]!r:.60}; name each once.")


def _jsonl_chunks(path: Path) -> Iterator[dict[str, list[str]]]:
    """Rows of JSON, one object a line; numbers and null are words, too."""
    with path.open(encoding="utf-8-sig") as file:
        lines = (line for line in file if line.strip())
        before = 0
        for chunk in _chunked(lines):
            rows = []
            for index, line in enumerate(chunk):
                try:
                    row = DECODER.decode(line)
                except (json.JSONDecodeError, RecursionError):
                    row = None
                except Misuse as error:
                    raise Misuse(f"{path.name}, row {before + index + 1} is wrong: {error}.") from error
                if not isinstance(row, dict):
                    raise Misuse(f"{path.name}, row {before + index + 1} is no JSON object.")
                rows.append(row)
            before += len(rows)
            yield _by_column(rows)


def _parquet_chunks(path: Path) -> Iterator[dict[str, list[str]]]:
    try:
        import pyarrow  # pyright: ignore[reportMissingImports] (extra `tables`)
        import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise Misuse(
            f"{path.name} needs pyarrow, the extra `tables` of finebayes; install it, or write a .csv."
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            _refuse_twice(path, file.schema_arrow.names)
            for batch in file.iter_batches(CHUNK):
                yield {name: _words(column) for name, column in batch.to_pydict().items()}
    except (pyarrow.ArrowException, OSError) as error:
        raise Misuse(f"{path.name} is no Parquet file that can be read ({error}).") from error


def _by_column(rows: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    names = dict.fromkeys(itertools.chain.from_iterable(rows))
    return {name: _words([row.get(name) for row in rows]) for name in names}


def _words(values: list[Any]) -> list[str]:
    return values if set(map(type, values)) == {str} else list(map(_word, values))


def _word(value: object) -> str:
    """A value as the text that a CSV would have: 3.0 is 3, where it stands for a seed."""
    if value is None:
        return ""
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return value if isinstance(value, str) else str(value)
