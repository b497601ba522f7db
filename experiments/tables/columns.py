"""Columns of a table, the kinds of its rows, and the table in memory. Numpy only.

One row is one log-probability, in nats, summed over the tokens of an answer or a document and not divided by
their number. Text is held once, as a number a row: a million rows take 50 MB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from theory.errors import Misuse

COLUMNS = (
    *("kind", "model", "method", "data", "base", "seed", "dose", "group", "context", "answer"),
    "tokens",
)
NUMBER = "logprob"
ANSWER = ("group", "context", "answer")
OF_FINETUNED = ("method", "data", "base", "seed", "dose", *ANSWER)
KINDS: dict[str, tuple[str, ...]] = {  # the columns that tell rows of a kind apart
    "base": ("data", "base", *ANSWER),
    "again": ("data", "base", "seed", *ANSWER),
    "hypothesis": ("model", "data", "base", *ANSWER),
    "context": ("model", "data", "base", "dose", "context"),
    "document": ("model", "method", "data", "base", "seed", "dose", "context"),
    "shots": ("data", "base", "seed", "dose", *ANSWER),
    "prediction": ("model", *OF_FINETUNED),
    "finetuned": OF_FINETUNED,
    "replica": OF_FINETUNED,
}
NEEDED: dict[str, tuple[str, ...]] = {  # of those, the ones that may not be empty
    "base": ANSWER,
    "again": ANSWER,
    "hypothesis": ("model", *ANSWER),
    "context": ("model", "context"),
    "document": ("model", "data", "context"),
    "shots": ("data", "dose", *ANSWER),
    "prediction": ("model", "method", "data", "dose", *ANSWER),
    "finetuned": ("method", "data", "dose", *ANSWER),
    "replica": ("method", "data", "dose", *ANSWER),
}
AFTERWARDS = ("finetuned", "replica")
"""Kinds that say what finetuning did: a forecast is made, and sealed, without them."""
BASE, FINETUNED = "base", "finetuned"  # models of documents that are no hypotheses
IN_DOMAIN, ELICITATION = "in_domain", "elicitation"  # groups with a meaning


@dataclass(frozen=True)
class Table:
    """Rows by column: `codes` (rows,) number the `words` of each, `logprob` (rows,) are nats.

    `places` has a sentence's words for a row: the file and the row's number in it, from 1 on.
    """

    codes: Mapping[str, np.ndarray]
    words: Mapping[str, tuple[str, ...]]
    logprob: np.ndarray
    files: tuple[tuple[str, int], ...] = (("the table", 0),)

    def __len__(self) -> int:
        return len(self.logprob)

    def location(self, row: int) -> str:
        """FILE, row N: the header does not count."""
        name, first = [(name, first) for name, first in self.files if first <= row][-1]
        return f"{name}, row {row - first + 1}"

    def word(self, column: str, row: int) -> str:
        """The text in a column of a row."""
        return self.words[column][self.codes[column][row]]

    def code(self, column: str, word: str) -> int:
        """The number of a word; -1 of one that stands nowhere in the column."""
        return self.words[column].index(word) if word in self.words[column] else -1

    def rows(self, kind: str) -> np.ndarray:
        """The rows of a kind, by number."""
        return np.flatnonzero(self.codes["kind"] == self.code("kind", kind))

    def used(self, column: str, rows: np.ndarray) -> list[str]:
        """The words that rows have in a column, without the empty one, in the order of the table."""
        codes, first = np.unique(self.codes[column][rows], return_index=True)
        words = [self.words[column][code] for code in codes[np.argsort(first)]]
        return [word for word in words if word]

    def where(self, rows: np.ndarray, column: str, word: str) -> np.ndarray:
        """Those of the rows that have a word in a column, or nothing: these are of every word."""
        wanted = (self.code(column, word), self.code(column, ""))
        return rows[np.isin(self.codes[column][rows], wanted)]


def joined(tables: Sequence[Table]) -> Table:
    """Several tables below each other."""
    if len(tables) == 1:
        return tables[0]
    codes: dict[str, np.ndarray] = {}
    words: dict[str, tuple[str, ...]] = {}
    for column in COLUMNS:
        known: dict[str, int] = {}
        parts = []
        for table in tables:
            numbers = [known.setdefault(word, len(known)) for word in table.words[column]]
            parts.append(np.array(numbers, np.int32)[table.codes[column]])
        codes[column], words[column] = np.concatenate(parts), tuple(known)
    starts = np.cumsum([0, *map(len, tables)])
    files = [
        (name, int(start) + first)
        for table, start in zip(tables, starts, strict=False)
        for name, first in table.files
    ]
    return Table(codes, words, np.concatenate([table.logprob for table in tables]), tuple(files))


def refuse(table: Table, row: int, column: str, wrong: str) -> Misuse:
    """The exception for what is wrong in a column of a row."""
    return Misuse(f"{table.location(row)}, column {column}: {wrong}")
