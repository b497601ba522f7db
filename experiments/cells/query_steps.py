"""Queries of heads moved from the code of a column to that of another, keys and values left as they are.

A head that compares column and line length by the angle of query and key then looks where it does at the
other column. How much it looks at newlines is the log of a newline's mean weight over that of a word's,
which does not fall as a line gets longer and has more words.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from experiments.cells.curve_reading import CurveReading, slope
from experiments.cells.page_losses import losses
from experiments.cells.pages import Pages, newline_log_odds
from models.editing.head_ablation import answers_of_writes
from models.editing.head_queries import attended
from models.inside import query_keys


@dataclass(frozen=True, eq=False)
class QuerySteps:
    """A block of a network, counted from 0: its maps of streams to queries (h, e, d), and its head whose
    cosines depend most on line length less column."""

    reading: CurveReading
    block: int
    maps: np.ndarray
    twisted: int

    @classmethod
    def of(cls, reading: CurveReading, block: int) -> "QuerySteps":
        """Of a block."""
        shares = reading.difference.share(reading.cosines[block])
        return cls(
            reading, block, np.asarray(query_keys(reading.network))[block, :, 0], int(np.argmax(shares))
        )

    def slopes(self) -> np.ndarray:
        """Slopes (H, Q), of the head alone and of all heads together: of how much they look at newlines,
        against what they do at the other column; and of the newline's log-odds, against the exact change. Of
        the step of the column's code, and of random ones as long."""
        reading, pages = self.reading, self.reading.pages
        directions, known = reading.moves(self.block)
        patterns = np.asarray(self._attended(slice(None), None).patterns)
        looks = np.stack([looks_at_newlines(part, pages, slice(None)) for part in patterns])
        halves = [pages.fitted & (np.arange(len(pages.tokens)) % 2 == half)[:, None] for half in (0, 1)]
        natural = np.stack([[pages.natural(part, half) for half in halves] for part in looks])  # (h, 2, s, n)
        natural = np.where(np.isfinite(natural).all(axis=1, keepdims=True) & known, natural, np.nan)
        exact = reading.exact_changes[known]
        rows = []
        for steps in (directions, reading.aside(self.block, directions)):
            attention, alone, together = self._changes(steps, looks)
            pairs = [(natural[[self.twisted]], attention[[self.twisted]]), (natural, attention)]
            of_newline = [slope(exact, part[known]) for part in (alone, together)]
            rows.append([[instrumented(*pair) for pair in pairs], of_newline])
        return np.array(rows).transpose(2, 1, 0).reshape(2, 4)  # (head or all, attention or newline, random)

    def unturned(self) -> np.ndarray:
        """Nats (Y, k) that pages cost more if all queries after words have the mean column's code; and after
        steps in random directions as long."""
        reading, pages = self.reading, self.reading.pages
        curve, held = reading.curves[self.block], pages.held
        column = pages.column[held]
        known = pages.word[held] & np.isin(column, curve.values)
        codes = curve.centred[np.clip(column - curve.values[0], 0, len(curve.values) - 1)]
        directions = np.where(known[..., None], -codes, 0.0)
        random = np.where(known[..., None], reading.aside(self.block, -codes), 0.0)
        rows = np.flatnonzero(held)
        every = []
        for steps in (np.zeros_like(directions), directions, random):
            writes = self._attended(rows, np.einsum("hed,ntd->hnte", self.maps, steps)).writes
            every.append(losses(pages, np.asarray(self._answers(rows, jnp.sum(writes, axis=0)))))
        return np.array(every[1:]) - every[0]

    def _changes(
        self, directions: np.ndarray, looks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """After steps (s, n, d) of queries, each at its position: changes (h, s, n) of looks; and of the
        newline's log-odds, (s, n), after those of the twisted head alone, and of all heads."""
        reading, pages = self.reading, self.reading.pages
        attention, alone, together = [], [], []
        for row, position, direction in zip(*pages.swaps[:2], directions, strict=True):
            documents = np.arange(len(row))
            steps = np.zeros(
                (len(self.maps), len(row), pages.tokens.shape[1], self.maps.shape[1]), np.float32
            )
            steps[:, documents, position] = np.einsum("hed,nd->hne", self.maps, direction)
            before, after = self._attended(row, None), self._attended(row, steps)
            seen = np.stack([looks_at_newlines(np.asarray(part), pages, row) for part in after.patterns])
            attention.append(seen[:, documents, position] - looks[:, row, position])
            whole, head = jnp.sum(before.writes, axis=0), self.twisted
            changed = whole - before.writes[head] + after.writes[head]
            for writes, changes in ((changed, alone), (jnp.sum(after.writes, axis=0), together)):
                answers = np.asarray(self._answers(row, writes), float)[documents, position]
                changes.append(newline_log_odds(answers) - reading.log_odds[row, position])
        return np.array(attention).swapaxes(0, 1), np.array(alone), np.array(together)

    def _attended(self, rows: "np.ndarray | slice", steps: np.ndarray | None):
        stream = self.reading.streams[rows, self.block]
        shape = len(self.maps), *stream.shape[:2], self.maps.shape[1]
        return attended(
            self.reading.network,
            stream,
            np.zeros(shape, np.float32) if steps is None else steps.astype(np.float32),
            block=self.block,
        )

    def _answers(self, rows: np.ndarray, writes) -> np.ndarray:
        return answers_of_writes(
            self.reading.network, self.reading.streams[rows, self.block], writes, block=self.block
        )


def looks_at_newlines(patterns: np.ndarray, pages: Pages, rows: "np.ndarray | slice") -> np.ndarray:
    """Of the patterns (n, t, s) of a head on documents, the log (n, t) of a newline's mean weight over that
    of a word's; nan where either is missing."""
    ended, word = pages.ended[rows] > 0, pages.word[rows]
    past = np.tril(np.ones(patterns.shape[1:]))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [
            np.einsum("nts,ns->nt", patterns, part.astype(float)) / (part.astype(float) @ past.T)
            for part in (ended, word)
        ]
        return np.log(means[0]) - np.log(means[1])


def instrumented(natural: np.ndarray, changes: np.ndarray) -> float:
    """Slope through the origin of changes (h, s, n) against natural ones, each measured twice, (h, 2, s, n),
    on documents of its own: what the measurements have of noise then makes no slope smaller."""
    first, second = natural.swapaxes(0, 1)
    seen = np.isfinite(first + second + changes)
    first, second, changes = first[seen], second[seen], changes[seen]
    shared = np.sum(first * second)
    return float(np.sum((first + second) * changes) / (2 * shared)) if len(first) and shared > 0 else np.nan
