"""Baselines of a probe of the column of a line, and column and width as one code or two.

    column     R² of the column by a linear probe of the stream, beside all baselines of a probe. The foreign
               filter counts the same words at other lengths, those of the process in reverse
    additive   p(newline within m) is a function of the column c and of the belief over widths b, by a table:
               Σ_k b(k) p(within m | c, k). An additive code holds c (one number for each) and b side by side,
               and lacks what is not a sum of both; a joint code has it
                   R² of p by an additive code, exactly; and R² of what it lacks by the stream, with baselines

Positions are those after a word. Axes: n documents, t positions, l depths after the embedding, f features, h
(held out, in sample), q horizons m.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from experiments.cells.curve_reading import CurveReading
from experiments.cells.pages import HORIZON, Pages, columns, newline_within
from experiments.cells.probe_tables import Probed
from theory.probes.beliefs import beliefs
from theory.probes.codes import fit_linear, r_squared
from theory.probes.scores import compare_numbers
from theory.processes.linebreak import LineBreak


@dataclass(frozen=True, eq=False)
class Additive:
    """The column (n, t), exact chances (n, t, q) of a newline within 1, 2, ... tokens, the R² (q,) that an
    additive code of column and width has of each in the documents that are held out, and what it lacks of
    each (n, t, q)."""

    column: np.ndarray
    chances: np.ndarray
    explained: np.ndarray
    beyond: np.ndarray

    @classmethod
    def of(cls, pages: Pages, process: LineBreak) -> "Additive":
        """Of the filter of a process on pages, which may be another's."""
        column, _ = columns(pages.tokens, process)
        known = np.asarray(beliefs(process.distribution(), pages.tokens), float)
        tables = newline_within(process, int(column.max()))
        chances = np.stack([np.sum(known * table[column], axis=-1) for table in tables], axis=-1)
        apart = side_by_side(column, known)
        read = fit_linear(apart[pages.fitted], chances[pages.fitted]).predict(apart)
        scored = pages.scored
        explained = [
            r_squared(chances[scored][:, [m]], read[scored][:, [m]]) for m in range(chances.shape[-1])
        ]
        return cls(column, chances, np.array(explained), chances - read)


def side_by_side(column: Int[np.ndarray, "n t"], known: Float[np.ndarray, "n t k"]) -> np.ndarray:
    """A code (n, t, d) of the column and of a belief over widths, one beside the other: nothing of both."""
    return np.concatenate([np.eye(1 + int(column.max()))[column], known], axis=-1)


def foreign_process(process: LineBreak) -> LineBreak:
    """The same words at other lengths, of which pretraining had none."""
    return replace(process, lengths=tuple(reversed(process.lengths)))


@dataclass(frozen=True, eq=False)
class ColumnBaselines:
    """Tables of probes of the `column` (l, f, h), of what an additive code of column and width lacks of
    chances of a newline, `beyond` (q, l, f, h), and what it `explained` of these (q,)."""

    column: np.ndarray
    explained: np.ndarray
    beyond: np.ndarray

    @classmethod
    def of(
        cls, reading: CurveReading, untrained: CurveReading, native: Additive, foreign: Additive
    ) -> "ColumnBaselines":
        """Of a network that was read; the codes are of the filter of its process, and of another's."""
        pages = reading.pages
        answers = np.asarray(reading.network.predict(pages.tokens), float)
        probed = Probed(pages.tokens, reading.streams, answers, untrained.streams)

        def table(targets: np.ndarray, others: np.ndarray) -> np.ndarray:
            return probed.table(targets, others, pages.word, lambda data: compare_numbers(data, pages.seed))

        counts = [part.column[..., None].astype(float) for part in (native, foreign)]
        lacking = np.stack([native.beyond, foreign.beyond])
        return cls(
            table(*counts).astype(np.float32),
            native.explained.astype(np.float32),
            np.array([table(*lacking[..., [m]]) for m in range(HORIZON)], np.float32),
        )
