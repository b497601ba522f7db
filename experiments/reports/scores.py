"""Scores of a run for a notebook: as records, as a table, and as figures. No jax.

A run is a folder or in memory (`experiments.storage.run`); both are read alike.
"""

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from experiments.reports.markup import html_table, soft
from experiments.reports.sentences import aligned
from experiments.reports.tables import dose_table
from experiments.scoring.labels import judged_groups
from experiments.scoring.measures import records
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import IMPORTED, Json, Row, ScoreLine
from experiments.storage.run import Run
from theory.errors import Misuse

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table as rows of text, the first of them its header, and a note: aligned text, or HTML in a
    notebook."""

    rows: list[list[str]]
    note: str

    def __str__(self) -> str:
        return f"{aligned(self.rows)}\n\n{self.note}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.rows, "tight") + soft(self.note)


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """The scores of theories on finetuned networks.

    `rows` have a value (nats) for each finetuning seed of one base network; `lines` are over all networks,
    one for each method, D', dose, theory, prior, grade and group of contexts.
    """

    source: Run

    @cached_property
    def rows(self) -> list[Row]:
        """One row for each base network and line."""
        return list(table(self.source))

    @cached_property
    def lines(self) -> list[ScoreLine]:
        """The scorecard."""
        return scorecard(table(self.source))

    def records(self) -> list[Json]:
        """The lines as plain dicts."""
        return [line.record() for line in self.lines]

    def frame(self) -> Any:
        """The lines as a pandas DataFrame, or as a list of dicts where pandas is not installed."""
        return as_frame(self.records())

    def measures(self) -> Any:
        """Measures known before finetuning, which might explain scores (experiments.scoring.measures), by
        method, D', base network and dose: a pandas DataFrame, or dicts where pandas is not installed."""
        return as_frame(records(self.source))

    def table(self, group: str = "") -> Table:
        """Theories × doses on a group of contexts, by default the one that is judged first: explained with
        its interval and the best in the theory's class, under the best null and the order-blind bound."""
        lines = self._scored()
        groups = {line.group for line in lines}
        if group and group not in groups:
            raise Misuse(f"There is no group of contexts {group!r}; choose from {', '.join(sorted(groups))}.")
        chosen = group or judged_groups(lines)[0]
        return Table(dose_table(lines, chosen), f"On {chosen} contexts. {ABOUT} {self._errors()}")

    def plot(self) -> "Figure":
        """The explained part of the shift against dose, as a matplotlib figure."""
        from experiments.figures.comparison import explained_figure

        return explained_figure(self.source, self._scored())

    def figure(self) -> "Figure":
        """The whole comparison: answers, the explained part of the shift, and strengths."""
        from experiments.figures.comparison import main_figure

        self._scored()
        return main_figure(self.source)

    def __repr__(self) -> str:
        theories = ", ".join(dict.fromkeys(line.theory for line in self.lines))
        doses = ", ".join(str(dose) for dose in self.source.doses)
        kind, study = type(self).__name__, self.source.study
        return f"{kind}({study}; doses {doses}; {theories or self._unscored})"

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    @property
    def _unscored(self) -> str:
        """The reason for a scorecard without lines."""
        return "nothing is scored yet"

    def _scored(self) -> list[ScoreLine]:
        if not self.lines:
            raise Misuse(f"Nothing is scored yet in {self.source.study}: no finetuned cell is finished.")
        return self.lines

    def _errors(self) -> str:
        """A sentence on the base networks and D' behind the intervals."""
        bases, seeds = len({row.base for row in self.rows}), len(self.rows[0].nats)
        if bases > 1 and seeds > 1:
            return f"Intervals are over {bases} base networks and {seeds} D′."
        imported = self.source.study == IMPORTED
        if imported and seeds > 1:
            return f"Intervals are over {seeds} D′ of this base model, and say nothing of another one."
        what, more = ("D′", "finetune") if bases > 1 else ("base network", "pretrain")
        remedy = f"{more} with more seeds"
        if imported:
            what, remedy = "D′", "a table of more finetuning seeds has some"
        return f"There are no intervals, as one {what} does not say how far others are from it; {remedy}."


ABOUT = (
    "Explained: 1 − KL(finetuned ‖ theory) / KL(finetuned ‖ base), with its interval of 95 %; ≤: the best "
    "in the theory's class; best null: the best theory that knows of no hypothesis and no weights; "
    "order-blind bound: the most that a theory can explain which does not know the order of D′; –: the "
    "shift does not exceed its noise; −∞: the theory rules out an answer that a network gives, or fails for "
    "networks; empty: no prediction at this dose; *: chains have not converged; °: the shift is smaller than "
    "the base networks' error over the process; †: over fewer networks than were finetuned."
)


def as_frame(records: list[Json]) -> Any:
    """Records as a pandas DataFrame, or as they are where pandas is not installed."""
    try:
        pandas: Any = importlib.import_module("pandas")  # optional
    except ImportError:
        return records
    return pandas.DataFrame(records)
