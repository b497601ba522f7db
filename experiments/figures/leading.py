"""Curves that a figure of scores draws in full, and their names at its right edge.

A figure with more than MANY curves draws in full the first theory of each kind (from the network or over
hypotheses, fitted or forecast) in the order of legends, and the best of all; all others are pale: full lines,
bars and markers of ten theories cover each other. The best has the highest median score, over ways of
finetuning, D' and doses, of those that say most of them. STUDY-groups and the tables have every theory.
"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.looks import glyph, rank
from experiments.figures.style import inches
from experiments.scoring.heat_rows import HYPOTHESES
from experiments.scoring.labels import defined, explained, one_prior
from experiments.storage.records import ScoreLine

MANY = 5  # curves that a panel has room for
OPEN = dict(zip("●■▲◆▼◀▶★", "○□△◇▽◁▷☆", strict=True))
NAME = 0.115  # inches between two names
Curve: TypeAlias = tuple[str, str]  # theory, grade
Ends: TypeAlias = list[tuple[str, str, np.ndarray]]  # names, colours and values of curves, by dose


def leading(lines: Sequence[ScoreLine]) -> frozenset[Curve]:
    """The curves to draw in full, of lines of the judged group."""
    scores: dict[Curve, list[float]] = defaultdict(list)
    kinds: dict[tuple[bool, str], set[Curve]] = defaultdict(set)
    for line in filter(defined, one_prior(lines)):
        curve = line.theory, line.grade
        scores[curve].append(explained(line))
        kinds[line.prior in HYPOTHESES, line.grade].add(curve)
    if len(scores) <= MANY:
        return frozenset(scores)
    best = max(sorted(scores), key=lambda curve: (len(scores[curve]), median(scores[curve])))
    return frozenset([best, *(min(kind, key=lambda curve: rank(curve[0])) for kind in kinds.values())])


def theories(curves: frozenset[Curve]) -> frozenset[str]:
    """The theories of some curves."""
    return frozenset(theory for theory, _ in curves)


def sign(theory: str, grade: str) -> str:
    """A theory's name and grade behind its marker, which is open for a forecast."""
    mark = glyph(theory)
    return f"{OPEN.get(mark, mark) if grade == 'forecast' else mark} {theory.replace('-', ' ')}, {grade}"


def names_at_ends(axes: Axes, ends: Ends) -> None:
    """Write names right of a panel, each at the height of its last known value, or at the edge that is
    nearest; names that would cover each other are moved apart."""
    known = [(name, colour, values[np.isfinite(values)]) for name, colour, values in ends]
    placed = sorted(
        (_height(axes, values[-1]), name, colour) for name, colour, values in known if len(values)
    )
    heights = [height for height, *_ in placed]
    gap = NAME / inches(axes)[1]
    for index in range(1, len(heights)):
        heights[index] = max(heights[index], heights[index - 1] + gap)
    heights[-1:] = [min(height, 1.0) for height in heights[-1:]]
    for index in reversed(range(len(heights) - 1)):
        heights[index] = min(heights[index], heights[index + 1] - gap)
    for height, (_, name, colour) in zip(heights, placed, strict=True):
        where = {"transform": axes.transAxes, "va": "center", "fontsize": 6, "clip_on": False}
        axes.text(1.03, height, name, color=colour, **where)


def _height(axes: Axes, value: float) -> float:
    """The height of a value as a share of the panel's, 0 to 1."""
    low, high = axes.get_ylim()
    at = axes.transData.transform((1.0, float(np.clip(value, low, high))))
    return float(axes.transAxes.inverted().transform(at)[1])
