"""Every theory at every dose, one table for each run, method and D'. No jax.

ladders.md      theories × doses: the explained part of the shift on held-out contexts, under the part of
                the in-domain shift that a dose reaches; forecasts first, the best first in each grade
"""

from collections.abc import Sequence
from pathlib import Path

from experiments.scoring.labels import (
    failing,
    judged_groups,
    marks,
    nats,
    of_panel,
    panels,
    score,
    with_interval,
)
from experiments.scoring.leaderboard import (
    CEILINGS,
    UNCHANGED,
    Column,
    markdown_table,
    theories,
    theory_name,
)
from experiments.storage.files import write_text
from experiments.storage.records import ScoreLine

ABOUT = (
    "Explained part of the shift with its interval of 95 % over base networks and D′, under the score of the "
    "best null, that of the dose before, scaled by one fitted number (which the first dose lacks), and the "
    "most that a theory blind to the order of D′ can reach. *Reached*: the base network's in-domain KL as a "
    "part of its largest over doses. –: undefined, for the shift does not exceed its noise; −∞: the theory "
    "rules out an answer that a network gives, or fails for networks; empty: no prediction at this dose; *: "
    "some of the chains behind it have not converged; °: the shift is smaller than the base networks' error "
    "over the process; †: over fewer networks than were finetuned."
)
Table = list[list[str]]


def write(columns: Sequence[Column], out: Path) -> Path:
    """Write ladders.md."""
    path = out / "ladders.md"
    parts = ["# Every theory at every dose", ABOUT]
    for column in columns:
        parts += [f"## {column.run}, {column.name} ({column.group})", markdown_table(table(column))]
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def table(column: Column) -> Table:
    """Header and rows of one column's ladder."""
    doses = sorted(column.reached)
    base = [column.at(UNCHANGED, dose) for dose in doses]
    rows = [
        ["theory", "grade", *(f"dose {dose}" for dose in doses)],
        ["reached", "", *(f"{100 * column.reached[dose]:.1f} %" for dose in doses)],
        ["shift (nats)", "", *(nats(line.shift if line else None) for line in base)],
        *bounds(column, doses),
    ]
    for theory in theories([column]):
        cells = [_cell(column.at(theory, dose)) for dose in doses]
        rows.append([theory_name(theory), theory.grade, *cells])
    return rows


def dose_table(lines: Sequence[ScoreLine], group: str | None = None) -> Table:
    """Theories × doses on a group of contexts, by default the first judged one, with the best in each
    theory's class (≤), under the shift, the best null and the order-blind bound; with several methods or D'
    each row names its
    own."""
    every = panels(lines)
    doses = sorted({line.dose for line in lines})
    rows = [["method, D′"] * (len(every) > 1) + ["theory", "grade", *(f"dose {dose}" for dose in doses)]]
    for panel in every:
        inside = of_panel(lines, panel)
        chosen = group or judged_groups(inside)[0]
        here = tuple(line for line in inside if line.group == chosen)
        column = Column("", *panel, chosen, {dose: dose / max(doses) for dose in doses}, here)
        names = [column.name] * (len(every) > 1)
        base = [column.at(UNCHANGED, dose) for dose in doses]
        rows.append([*names, "shift (nats)", "", *(nats(line.shift if line else None) for line in base)])
        rows += [[*names, *row] for row in bounds(column, doses)]
        for theory in theories([column]):
            cells = [_bounded(column.at(theory, dose)) for dose in doses]
            rows.append([*names, theory_name(theory), theory.grade, *cells])
    return rows


def bounds(column: Column, doses: Sequence[int]) -> Table:
    """Rows between which theories stand: the best null, the last dose, and the bound of those blind to
    order."""
    columns = [column.ceilings(dose) for dose in doses]
    return [[name, "", *(row[1 + index] for row in columns)] for index, name in enumerate(CEILINGS[:3])]


def _bounded(line: ScoreLine | None) -> str:
    """A score with the best in the theory's class."""
    best = None if line is None or line.explained is None else line.best_in_class
    return _cell(line) + ("" if best is None else f" (≤ {score(best)})")


def _cell(line: ScoreLine | None) -> str:
    if line is None:
        return ""
    if line.explained is None:
        return "–"
    return " ".join(filter(None, [with_interval(line.explained, line.interval) + marks(line), failing(line)]))
