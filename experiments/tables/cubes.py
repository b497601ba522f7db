"""Cubes: the rows of one D' and one base model as arrays over axes, every cell filled once. Numpy only."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from experiments.tables.columns import BASE, NUMBER, Table, refuse
from theory.errors import Misuse

Entry: TypeAlias = tuple[str, ...]
Axis: TypeAlias = tuple[Entry, Sequence[Entry]]
"""Columns, and the words in them that make the entries of an axis."""


class Cubes:
    """The rows of a table that are of the data `arm` and of the base model `base`, or of every one."""

    def __init__(self, table: Table, arm: str, base: str):
        self.table, self.arm, self.base = table, arm, base
        self._rows = table.where(table.where(np.arange(len(table)), "data", arm), "base", base)
        self._kind = table.codes["kind"][self._rows]

    def rows(self, kind: str, **words: str) -> np.ndarray:
        """The rows of a kind, with words in some columns or nothing there."""
        rows = self._rows[self._kind == self.table.code("kind", kind)]
        for column, word in words.items():
            rows = self.table.where(rows, column, word)
        return rows

    def only(self, rows: np.ndarray, column: str, word: str) -> np.ndarray:
        """Those of the rows that have a word in a column."""
        return rows[self.table.codes[column][rows] == self.table.code(column, word)]

    def cube(self, kind: str, rows: np.ndarray, axes: Sequence[Axis]) -> np.ndarray:
        """Numbers over axes; refuses a cell that no row or two rows have, and a row without a cell."""
        table = self.table
        places, inside = np.zeros(len(rows), np.int64), np.ones(len(rows), bool)
        for columns, entries in axes:
            position = self._positions(rows, columns, entries)
            if "group" in columns:  # a kind may leave contexts of another part to another call
                inside &= position >= 0
            elif (position < 0).any():
                row = int(rows[np.flatnonzero(position < 0)[0]])
                word, column = table.word(columns[-1], row), columns[-1]
                known = f"the {kind} rows beside it have {_examples(entries)}"
                raise refuse(table, row, column, f"{word!r:.60} has no counterpart; {known}.")
            places = places * len(entries) + position
        if not inside.all():
            self._check_strangers(kind, rows[~inside])
            rows, places = rows[inside], places[inside]
        order = np.argsort(places, kind="stable")
        twice = np.flatnonzero(places[order][1:] == places[order][:-1])
        if len(twice):
            first, second = (int(rows[order[twice[0] + index]]) for index in (0, 1))
            location = table.location(first)
            raise refuse(
                table, second, NUMBER, f"{location} has the same cell of kind {kind}; keep one of them."
            )
        shape = [len(entries) for _, entries in axes]
        cube = np.full(int(np.prod(shape)), np.nan)
        cube[places] = table.logprob[rows]
        missing = np.isnan(cube)
        if missing.any():
            at = np.unravel_index(int(np.flatnonzero(missing)[0]), shape)
            more = f" ({missing.sum() - 1} others are missing)" if missing.sum() > 1 else ""
            raise Misuse(f"{self.named(kind, axes, at)}: there is no row for it{more}.")
        return cube.reshape(shape)

    def named(self, kind: str, axes: Sequence[Axis], at: Sequence[int | np.integer]) -> str:
        """A cell in words."""
        parts = [f"kind {kind}", f"data {self.arm!r}", *[f"base {self.base!r}"] * bool(self.base)]
        for (columns, entries), index in zip(axes, at, strict=True):
            pairs = zip(columns, entries[int(index)], strict=True)
            parts += [f"{column} {word!r:.60}" for column, word in pairs if word]
        return f"{self.table.files[0][0]}, {', '.join(parts)}"

    def pairs(self, rows: np.ndarray) -> np.ndarray:
        """Group and context of every row as one number."""
        groups = self.table.codes["group"][rows].astype(np.int64)
        return groups * len(self.table.words["context"]) + self.table.codes["context"][rows]

    def _check_strangers(self, kind: str, rows: np.ndarray) -> None:
        """Refuse rows in contexts that no base row has; those of other parts of the table are none."""
        known = np.isin(self.pairs(rows), self.pairs(self.rows(BASE)))
        if not known.all():
            row = int(rows[np.flatnonzero(~known)[0]])
            group = self.table.word("group", row)
            wrong = f"no base row has it in the group {group!r}, and every shift is measured from one."
            raise refuse(self.table, row, "context", wrong)

    def _positions(self, rows: np.ndarray, columns: Entry, entries: Sequence[Entry]) -> np.ndarray:
        """The entry of every row, -1 of a row that has none."""
        code, wanted = np.zeros(len(rows), np.int64), np.zeros(len(entries), np.int64)
        missing = np.zeros(len(entries), bool)
        for index, column in enumerate(columns):
            words = self.table.words[column]
            number = {word: location for location, word in enumerate(words)}
            known = np.array([number.get(entry[index], -1) for entry in entries], np.int64)
            missing |= known < 0
            code = code * len(words) + self.table.codes[column][rows]
            wanted = wanted * len(words) + known
        wanted[missing] = -1
        order = np.argsort(wanted, kind="stable")
        at = order[np.minimum(np.searchsorted(wanted[order], code), len(entries) - 1)]
        return np.where(wanted[at] == code, at, -1)


def _examples(entries: Sequence[Entry]) -> str:
    words = [entry[-1] for entry in entries[:4]]
    return ", ".join(f"{word!r:.40}" for word in words) + ", ..." * (len(entries) > len(words))
