"""The rows of a heat map of theories: the informative ones, by family and grade, the best first. Numpy only.

family        over hypotheses, of theories that start from the process's prior; from the network, of others
informative   of a theory's forms and priors the one that explains most, and no law (β = a × dose^b) where
              there is a forecast or a fit; of a family and grade the MOST that explain most
"""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.scoring.leaderboard import GRADES, Column, TheoryKey, theories

FAMILIES = ("from the network", "over hypotheses")
HYPOTHESES = ("process", "implied")  # the priors of theories over hypotheses
MOST = 8


@dataclass(frozen=True)
class Block:
    """Theories of one family and grade, the best first."""

    family: str
    grade: str
    rows: tuple[TheoryKey, ...]


def blocks(columns: Sequence[Column], everything: bool = False) -> list[Block]:
    """The theories with a score at a shown dose: the informative ones, or all."""
    shown = [
        theory
        for theory in theories(columns)
        if any(column.at(theory, dose) for column in columns for dose in (column.small, column.large))
    ]
    rows: dict[tuple[str, str], list[TheoryKey]] = {}
    for theory in shown if everything else _best_forms(shown):
        rows.setdefault((family(theory), theory.grade), []).append(theory)
    most = None if everything else MOST
    return [Block(*kind, tuple(rows[kind][:most])) for kind in sorted(rows, key=_order)]


def omitted(columns: Sequence[Column], drawn: Sequence[Block]) -> list[str]:
    """The names of theories that have no row at all."""
    rows = {theory.theory for block in drawn for theory in block.rows}
    return sorted({theory.theory for theory in theories(columns)} - rows)


def family(theory: TheoryKey) -> str:
    """Whether a theory reweights hypotheses or starts from the network."""
    return FAMILIES[theory.prior in HYPOTHESES]


def _best_forms(shown: Sequence[TheoryKey]) -> list[TheoryKey]:
    """One form of each theory in each grade; they come best first."""
    known = {theory.theory for theory in shown if theory.grade != "law"}
    best: dict[tuple[str, str, str], TheoryKey] = {}
    for theory in shown:
        if theory.grade != "law" or theory.theory not in known:
            best.setdefault((theory.theory, family(theory), theory.grade), theory)
    return list(best.values())


def _order(kind: tuple[str, str]) -> tuple[int, int, str]:
    name, grade = kind
    return FAMILIES.index(name), GRADES.index(grade) if grade in GRADES else len(GRADES), grade
