"""Differences between every theory's score and that of one theory, on the same networks. No jax.

The one theory is in its fitted form, or a forecast where it has no other; its prior is the one behind its
name, like tempered-posterior/process, or else the one that figures show.
"""

import difflib
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.scoring.intervals import Estimate
from experiments.scoring.labels import (
    NULLS,
    UNCHANGED,
    defined,
    difference,
    explained,
    judged_groups,
    one_prior,
    with_interval,
)
from experiments.scoring.paired import advantage
from experiments.storage.records import Json, ScoreLine
from experiments.storage.typed import INFINITE
from theory.errors import Misuse

KEY = ("method", "data", "dose", "group")
COLUMNS = (*KEY, "theory", "prior", "grade")
_key = operator.attrgetter(*KEY)
ABOUT = (
    "The last column but one: the score less that of {name}, on the networks that both have, with its "
    "interval of 95 % (experiments.scoring.paired); “above” and “below” where the whole interval is."
)


@dataclass(frozen=True)
class Difference:
    """A line of the scorecard, and what its theory explains beyond the one it is compared with."""

    line: ScoreLine
    gap: Estimate

    def record(self) -> Json:
        """Plain values by column."""
        low, high = self.gap.interval or (None, None)
        values = {name: getattr(self.line, name) for name in (*COLUMNS, "explained")}
        values |= {"less": self.gap.value, "less_low": low, "less_high": high}
        return {name: f"-{INFINITE}" if value == -math.inf else value for name, value in values.items()}

    def words(self) -> list[str]:
        """The cells of a table of text."""
        names = [str(getattr(self.line, name)) for name in COLUMNS]
        side = "above" if self.gap.above else "below" if self.gap.below else ""
        score = with_interval(explained(self.line), self.line.interval)
        return [*names, score, difference(self.gap.value, self.gap.interval), side]


def differences(lines: Sequence[ScoreLine], name: str) -> list[Difference]:
    """Of every theory and null with a score, by method, D', dose and group; raises `Misuse` for a name that
    no line has."""
    reference = {_key(line): line for line in _reference(lines, name)}
    nulls = [line for line in lines if line.theory in NULLS and line.theory != UNCHANGED]
    shown = [line for line in (*one_prior(lines), *nulls) if line.grade != "law" and defined(line)]
    rivals = [line for line in shown if _key(line) in reference]
    return [
        Difference(line, advantage(line, reference[_key(line)]))
        for line in sorted(rivals, key=lambda line: (_key(line), -explained(line)))
        if line is not reference[_key(line)]
    ]


def table(gaps: Sequence[Difference], name: str, everything: bool = False) -> list[list[str]]:
    """A header and a row for each difference, of the judged group alone or of all."""
    group = judged_groups([entry.line for entry in gaps])[0]
    shown = [entry for entry in gaps if everything or entry.line.group == group]
    return [[*COLUMNS, "explained", f"less {name}", ""], *(entry.words() for entry in shown)]


def _reference(lines: Sequence[ScoreLine], name: str) -> list[ScoreLine]:
    """The lines of the theory that others are compared with, one at each place."""
    theory, _, prior = name.partition("/")
    every = [line for line in lines if line.grade != "law" and defined(line)]
    named = [line for line in every if line.theory == theory and prior in ("", line.prior)]
    chosen = named if prior or theory in NULLS else one_prior(named)
    if not chosen:
        known = sorted({text for line in every for text in (line.theory, f"{line.theory}/{line.prior}")})
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        raise Misuse(
            f"No theory {name!r} has a score in this run{f'; did you mean {near[0]}?' if near else '.'} "
            f"Choose one of {', '.join(sorted({line.theory for line in every}))}."
        )
    fitted = [line for line in chosen if line.grade == "fitted"]
    return fitted or chosen
