"""Forecasts with their costs: theories × (cost, what they look at) × explained. No jax.

One row a theory and grade, one column a study and way of finetuning, over all runs and D' of it: of a sweep
its regimes. A number is the median of what is explained at the large dose of each run
(experiments.scoring.leaderboard), on the contexts that are judged first, with the least and the most of them.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from experiments.scoring.labels import METHODS, beats_nulls, one_prior, score
from experiments.scoring.leaderboard import (
    UNCHANGED,
    YARDSTICK,
    Column,
    TheoryKey,
    key,
    theories,
    theory_name,
)
from experiments.storage.records import ScoreLine

if TYPE_CHECKING:
    from theory.base import Cost

GRADES = {  # what a line of a grade looks at, and the numbers that are fitted to it
    "forecast": ("none", "0"),
    "fitted": ("its in-domain answers", "1 a network and dose"),
}
BOTH = ("its in-domain answers", "2 a network and dose")  # a theory with a hyperparameter
LAST = ("the dose before, and its in-domain answers", "1 a network and dose")
NULL = ("its in-domain answers", "as many as answers, or more")
TIME = 3  # the column of times
ABOUT = (
    "Explained part of the shift at the large dose: the median over runs and D′ (least to most); in how many "
    "of them the theory is shown to beat the best null, of those in which it has a score; in how many it "
    "fails for some network (-∞); † it says nothing in some. Work on the network is beside its answers in "
    "the contexts; a product is that of a curvature with a vector, about 1.4 gradients. Time is that of the "
    "whole ladder of strengths, of one D′, over one finetuning run by SGD (256 steps) of the headline study."
)
Entry = tuple[Column, ScoreLine | None]


def forecast_table(
    columns: Sequence[Column], costs: "Mapping[str, Cost]", ratios: Mapping[str, float]
) -> list[list[str]]:
    """Header and rows: forecasts before fits, the best first. `costs` are by "THEORY/PRIOR" or "THEORY",
    `ratios` (of times) by the name of a theory; without any there is no column of times."""
    groups: dict[tuple[str, str], list[Column]] = {}
    for column in columns:
        groups.setdefault((column.lines[0].study, column.method), []).append(column)
    titles = [
        f"{study}, {METHODS.get(method, method)} ({len(part)})" for (study, method), part in groups.items()
    ]
    rows = [
        ["theory", "grade", "work on the network", "time", "replay", "finetuned networks", "fitted", *titles]
    ]
    nulls = [_cell([(column, column.best_null(column.large)) for column in part]) for part in groups.values()]
    last = [_cell([(c, c.at(YARDSTICK, c.large)) for c in part]) for part in groups.values()]
    rows.append(["best null", "fitted", "none", "", "no", *NULL, *nulls])
    rows.append(["last dose, scaled", "fitted", "none", "", "no", *LAST, *last])
    for theory in _shown(columns):
        cost = _cost(theory, costs)
        cells = [_cell([(c, c.at(theory, c.large)) for c in part]) for part in groups.values()]
        time = ratios.get(theory_name(theory), ratios.get(theory.theory))
        rows.append(
            [
                theory_name(theory),
                theory.grade,
                "not stated" if cost is None else str(cost),
                "" if time is None else f"{time:.2g} ×",
                "yes" if cost is not None and cost.replays else "no",
                *(BOTH if _has_second(theory, columns) else GRADES[theory.grade]),
                *cells,
            ]
        )
    return rows if ratios else [row[:TIME] + row[TIME + 1 :] for row in rows]


def _shown(columns: Sequence[Column]) -> list[TheoryKey]:
    """Forecasts and fits, of each theory over hypotheses from one prior; forms over weights all."""
    kept: set[TheoryKey] = set()
    for column in columns:
        kept |= {key(line) for line in one_prior(column.lines)}
        kept |= {key(line) for line in column.lines if line.prior not in ("process", "implied", "network")}
    return [theory for theory in theories(columns) if theory in kept and theory.grade in GRADES]


def _has_second(theory: TheoryKey, columns: Sequence[Column]) -> bool:
    """Whether a second number was fitted, together with β."""
    return any(
        line.hyperparameter is not None for column in columns for line in column.lines if key(line) == theory
    )


def _cost(theory: TheoryKey, costs: "Mapping[str, Cost]") -> "Cost | None":
    for name in (f"{theory.theory}/{theory.prior}", theory.theory):
        if name in costs:
            return costs[name]
    return None


def _cell(entries: Sequence[Entry]) -> str:
    """The scores of one theory over the columns of a group."""
    judged = [(column, line) for column, line in entries if column.at(UNCHANGED, column.large)]
    scored = [line for _, line in judged if line is not None and line.explained is not None]
    if not scored:
        return ""
    values = sorted(line.explained for line in scored if line.explained is not None)
    silent = "†" * any(line is None for _, line in judged)
    middle, *ends = map(score, (median(values), values[0], values[-1]))
    spread = f" ({' to '.join(ends)})" * (ends[0] != ends[1])
    compared = [line for line in scored if line.over_null is not None]
    beaten = f"; {sum(map(beats_nulls, compared))} of {len(compared)}" * bool(compared)
    failed = sum(line.failed > 0 for line in scored)
    return middle + silent + spread + beaten + f"; failed in {failed}" * bool(failed)
