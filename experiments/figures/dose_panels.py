"""Panels of a score against dose: their axis, the lines that they show, and what lies off their scale.

A full line is fitted, a dashed one with open markers is a forecast; bars are intervals of 95 %, the broad
pale line is the best null, the narrow pale one the dose before, scaled. Theories of a latent mixture are
drawn with the prior implied by the base network where it is known (the tables have both). The axis of scores
is linear up to BEND and logarithmic in 1 - explained from there on, so that curves which all lie near 1 are
told apart.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from experiments.figures.leading import Curve, Ends, sign
from experiments.figures.looks import rank
from experiments.figures.style import Look, inches, marker_line
from experiments.scoring.labels import LAST_DOSE, NULLS, OfPanel, defined, explained, one_prior
from experiments.storage.records import ScoreLine
from experiments.storage.run import Run

GRADES: dict[str, Look] = {
    "fitted": {"ls": "-", "mew": 0.4},
    "forecast": {"ls": "--", "mfc": "white", "mew": 0.8},
}
DASHES = {"best_in_class": (0, (1, 1.3)), "other_base": (0, (6, 1.5, 1, 1.5))}
BEND = 0.9  # of the explained shift: from here on the axis is logarithmic in what is left
BOTTOM, TOP = -0.6, 1 - 10**-4.3  # of the explained shift; what is closer to 1 is drawn at the edge
TICKS = {-0.5: "−0.5", 0.0: "0", 0.5: "0.5", 0.9: "0.9", 0.99: "0.99", 0.999: "0.999", 0.9999: "0.9999"}
BEST_NULL: Look = {"color": "#c9a227", "lw": 2.6, "alpha": 0.55, "solid_capstyle": "butt"}
YARDSTICK: Look = {"color": "#7f9fc4", "lw": 1.8, "alpha": 0.7, "solid_capstyle": "butt"}
REFERENCES: dict[str, Look] = {"best null": BEST_NULL, "last dose, scaled": YARDSTICK}
BEYOND: Look = {"color": "0.88", "lw": 5}  # above the order-blind bound
OTHER_BASE = "0.45"
BARS = 1.3  # points between the bars of two theories
Drawn = Sequence[tuple[np.ndarray, str]]  # values at the doses, and their colour


class _AtDose(Protocol):
    @property
    def dose(self) -> int: ...


Entry = TypeVar("Entry", bound=OfPanel)


def select(lines: Iterable[Entry], method: str, data: str, group: str) -> list[Entry]:
    """The rows or lines of one panel."""
    wanted = (method, data, group)
    return [line for line in lines if (line.method, line.data, line.group) == wanted]


def series(lines: list[ScoreLine]) -> list[tuple[str, str, list[ScoreLine]]]:
    """(theory, grade, its lines by dose), one prior for each theory and forecasts last."""
    curves: dict[tuple[str, str], list[ScoreLine]] = {}
    for line in sorted(one_prior(lines), key=lambda line: line.dose):
        curves.setdefault((line.theory, line.grade), []).append(line)
    order = sorted(curves, key=lambda name: (name[1] == "forecast", rank(name[0])))
    return [(*name, curves[name]) for name in order]


def mixture_theories(run: Run) -> frozenset[str]:
    """Theories whose class is any mixture of hypotheses."""
    cells = {cell.arm: cell for cell in run.cells(kind="theories")}.values()  # one an arm: bases are alike
    ladders = [ladder for cell in cells if (theories := run.theories(cell)) for ladder in theories.ladders]
    return frozenset(ladder.theory for ladder in ladders if ladder.bound == "mixture")


def at_doses(lines: Iterable[ScoreLine], field: str, doses: Sequence[int]) -> np.ndarray:
    """A field at every dose; nan where it is undefined, or where nothing is predicted at a dose."""
    values = {line.dose: getattr(line, field) for line in lines if getattr(line, field) is not None}
    return np.array([values.get(dose, np.nan) for dose in doses], float)


def dose_ticks(axes: Axes, lines: Iterable[_AtDose]) -> list[int]:
    """The doses of some lines, or of forecasts, and a logarithmic axis that names as many of them as there is
    room for."""
    doses = sorted({line.dose for line in lines})
    if doses:
        every = -(-len(doses) // int(inches(axes)[0] / 0.27))
        names = [str(dose) if (len(doses) - 1 - i) % every == 0 else "" for i, dose in enumerate(doses)]
        axes.set_xscale("log")
        axes.set_xlim(doses[0] / 1.4, doses[-1] * 1.4)
        axes.set_xticks(doses, names)
        axes.minorticks_off()
    return doses


def bend(explained: np.ndarray) -> np.ndarray:
    """A score as a length: itself up to BEND, then a logarithm of what is left, with the same slope there."""
    left = np.maximum(1 - np.asarray(explained, float), 1e-12)
    beyond = np.minimum(left, 1 - BEND)  # where a theory fails, ∞ is left
    return np.where(left >= 1 - BEND, 1 - left, BEND - (1 - BEND) * np.log(beyond / (1 - BEND)))


def unbend(length: np.ndarray) -> np.ndarray:
    """The inverse of `bend`."""
    length = np.asarray(length, float)
    left = (1 - BEND) * np.exp(np.minimum((BEND - length) / (1 - BEND), 0.0))
    return np.where(length <= BEND, length, 1 - left)


def explained_axis(axes: Axes) -> None:
    """The axis of scores, linear up to BEND and logarithmic in what is left above."""
    axes.set_yscale("function", functions=(bend, unbend))
    axes.set_ylim(BOTTOM, TOP)
    axes.set_yticks(list(TICKS), list(TICKS.values()))
    axes.axhline(0, color="0.45", lw=0.6)


def intervals(lines: Iterable[ScoreLine], doses: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the intervals of 95 % at every dose, inside the axis; the score itself where there is none."""
    ends = {
        line.dose: line.interval or (line.explained, line.explained)
        for line in lines
        if line.explained is not None
    }
    pairs = np.array([ends.get(dose, (np.nan, np.nan)) for dose in doses], float)
    low, high = np.clip(pairs, BOTTOM - 1, TOP).T
    return low, high


def draw_intervals(
    axes: Axes,
    at: Sequence[float] | np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
    colour: str,
    index: int,
) -> None:
    """Draw intervals as bars at the positions of the doses, those of the next theory a little to the right:
    bands of many theories would cover each other and the lines. Bars of `index` 0 are at the dose."""
    shift = ScaledTranslation(index * BARS / 72, 0, axes.figure.dpi_scale_trans)
    axes.vlines(at, *ends, color=colour, lw=0.8, alpha=0.7, transform=axes.transData + shift)


def draw_explained(
    axes: Axes, lines: list[ScoreLine], mixtures: frozenset[str], full: frozenset[Curve] | None = None
) -> Ends:
    """Draw the explained shift against dose, with its bounds; a value below the axis leaves a triangle.

    With `full`, these curves alone have markers and bars, others are pale, and what looks at other networks
    is left out. Returns names, colours and values of what is drawn in full.
    """
    doses = dose_ticks(axes, lines)
    explained_axis(axes)
    if not lines:
        return []
    single = [next(line for line in lines if line.dose == dose) for dose in doses]
    bounds = [
        [line.best_in_class for line in lines if line.dose == dose and line.theory in mixtures]
        for dose in doses
    ]
    best = np.array([max((c for c in at if c is not None), default=np.nan) for at in bounds])
    bound = np.minimum(at_doses(single, "order_blind", doses), TOP)
    axes.fill_between(doses, bound, TOP, color=BEYOND["color"], lw=0, zorder=0)
    references = draw_references(axes, doses, lines, ["best null"] if full is not None else [*REFERENCES])
    axes.plot(doses, np.minimum(best, TOP), color="black", ls=DASHES["best_in_class"], lw=0.9)
    ends: Ends = [("best mixture", "black", best), *references]
    if full is not None:
        ends.append(("order-blind bound", "0.5", bound))
    else:
        other = at_doses(single, "other_base", doses)
        axes.plot(doses, np.minimum(other, TOP), color=OTHER_BASE, ls=DASHES["other_base"], lw=0.9)
        ends.append(("another seed", OTHER_BASE, other))
    curves = series(lines)
    for theory, grade, curve in [entry for entry in curves if full is not None and entry[:2] not in full]:
        line = pale(marker_line(theory), grade)
        axes.plot(doses, np.minimum(at_doses(curve, "explained", doses), TOP), **line)
    shown = [entry for entry in curves if full is None or entry[:2] in full]
    for index, (theory, grade, curve) in enumerate(shown):
        line = marker_line(theory)
        values = at_doses(curve, "explained", doses)
        low, high = np.where(values < BOTTOM, np.nan, intervals(curve, doses))  # bars of what is off the
        draw_intervals(axes, doses, (low, high), line["color"], index - len(shown) // 2)  # axis cover it
        axes.plot(doses, np.minimum(values, TOP), **line, **GRADES[grade])
        ends.append((sign(theory, grade), line["color"], values))
    off_scale(axes, doses, [(values, colour) for _, colour, values in ends], BOTTOM, "v")
    _hatch_undefined(axes, doses, single)
    return ends


def pale(line: Look, grade: str) -> Look:
    """The line of a curve that is not drawn in full."""
    return {"color": line["color"], "ls": GRADES[grade]["ls"], "lw": 0.6, "alpha": 0.35, "zorder": 1}


def draw_references(
    axes: Axes,
    at: Sequence[float] | np.ndarray,
    lines: Sequence[ScoreLine],
    names: Sequence[str] = tuple(REFERENCES),
) -> Ends:
    """Draw the best null and the last dose, scaled, at the positions of the doses; returns names, colours and
    values."""
    doses = sorted({line.dose for line in lines})
    last = [line for line in lines if line.theory == LAST_DOSE and defined(line)]
    values = dict(zip(REFERENCES, (best_null(lines, doses), at_doses(last, "explained", doses)), strict=True))
    for name in names:
        axes.plot(at, np.minimum(values[name], TOP), **REFERENCES[name], zorder=1)
    return [(name, REFERENCES[name]["color"], values[name]) for name in names]


def best_null(lines: Iterable[ScoreLine], doses: Sequence[int]) -> np.ndarray:
    """The best score of any null at every dose; nan where none has one."""
    fitted = [line for line in lines if line.theory in NULLS[1:] and defined(line)]
    at = [[explained(line) for line in fitted if line.dose == dose] for dose in doses]
    return np.array([max(scores, default=np.nan) for scores in at], float)


def _hatch_undefined(axes: Axes, doses: list[int], single: list[ScoreLine]) -> None:
    """Hatch the doses at which the shift does not exceed its noise."""
    edges = np.sqrt(np.array([doses[0] / 1.96, *doses]) * np.array([*doses, doses[-1] * 1.96]))
    for index in [index for index, line in enumerate(single) if line.explained is None]:
        axes.axvspan(*edges[index : index + 2], fc="white", ec="0.75", hatch="/////", lw=0, zorder=3)
        note = {"rotation": 90, "ha": "center", "va": "center", "color": "0.3", "zorder": 4}
        axes.text(doses[index], 0.2, "undefined", bbox={"fc": "white", "ec": "none", "pad": 1}, **note)


def off_scale(axes: Axes, doses: Sequence[float], drawn: Drawn, edge: float, marker: str) -> None:
    """Triangles on an edge of the axis ("v" below, "^" above), side by side, for what lies beyond it."""
    gap = inches(axes)[0] / len(doses) if doses else 0
    for index, dose in enumerate(doses):
        values = [(values[index], colour) for values, colour in drawn]
        beyond = [colour for value, colour in values if (value < edge if marker == "v" else value > edge)]
        for column, colour in enumerate(beyond):
            shift = min(0.034, gap / (len(beyond) + 0.5)) * (column - (len(beyond) - 1) / 2)
            push = ScaledTranslation(shift, 0.03 if marker == "v" else -0.03, axes.figure.dpi_scale_trans)
            line = {"ms": 2.6, "mew": 0, "color": colour, "clip_on": False, "zorder": 5}
            axes.plot([dose], [edge], marker, transform=axes.transData + push, **line)
