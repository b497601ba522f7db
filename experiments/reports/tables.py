"""Every theory at every dose, one table for each run, method and D'. No jax.

ladders.md      theories × doses: the explained part of the shift on held-out contexts, under the part of
                the in-domain shift that a dose reaches; forecasts first, the best first in each grade
"""

from pathlib import Path

from experiments.scoring.labels import nats, plus_minus
from experiments.scoring.leaderboard import (
    UNCHANGED,
    Column,
    Line,
    doubted,
    markdown_table,
    theories,
    theory_name,
)
from experiments.storage import run_folder as disk

ABOUT = (
    "Explained part of the shift ± one standard error over base networks. *Reached*: the base network's "
    "in-domain KL as a part of its largest over doses. –: undefined, for the shift does not exceed its "
    "noise; empty: nothing is said at this dose; *: some of the chains behind it miss the gate."
)


def write(columns: list[Column], out: Path) -> Path:
    """Write ladders.md."""
    path = out / "ladders.md"
    parts = ["# Every theory at every dose", ABOUT]
    for one in columns:
        parts += [f"## {one.run}, {one.name} ({one.group})", markdown_table(table(one))]
    text = "\n\n".join(parts) + "\n"
    disk.write(path, lambda file: file.write(text.encode()))
    return path


def table(column: Column) -> list[list[str]]:
    """Header and rows of one column's ladder."""
    doses = sorted(column.reached)
    base = [column.at(UNCHANGED, dose) for dose in doses]
    rows = [
        ["theory", "grade", *(f"dose {dose}" for dose in doses)],
        ["reached", "", *(f"{100 * column.reached[dose]:.1f} %" for dose in doses)],
        ["shift (nats)", "", *(nats(line["shift"] if line else None) for line in base)],
    ]
    for theory in theories([column]):
        cells = [_cell(column.at(theory, dose)) for dose in doses]
        rows.append([theory_name(theory), theory[2], *cells])
    return rows


def _cell(line: Line | None) -> str:
    if line is None:
        return ""
    if line["explained"] is None:
        return "–"
    return plus_minus(line["explained"], line["standard_error"]) + "*" * doubted(line)
