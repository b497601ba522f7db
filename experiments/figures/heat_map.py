"""The heat map of several runs: theories × methods, at a small and a large dose. Numpy and matplotlib only.

Colour is the explained part of the shift: blue explains, orange is worse than "nothing changed" (all that is
-1 or less has one colour; its number is printed). Columns that do not fit beside each other go on in another
figure. Lengths are inches from the top left corner.
"""

import textwrap
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.figures.looks import INKS
from experiments.figures.style import FORMATS, WIDTH, save_figure, style
from experiments.scoring.labels import beats_nulls, difference, doubted, score
from experiments.scoring.leaderboard import CEILINGS, RULE, Column, theories, theory_name
from experiments.storage.records import ScoreLine

SHADES = [(0, INKS[1]), (0.5, "#fdf0d2"), (0.5, "#f2f9fe"), (1, INKS[2])]  # a step at 0: the sign is seen
COLOURS = LinearSegmentedColormap.from_list("explained", SHADES)
SCALE = Normalize(-1, 1, clip=True)
RING = {"marker": "o", "ms": 3.0, "mfc": "none", "mec": "#c00000", "mew": 0.8}
HATCH = {"fc": "0.93", "ec": "0.7", "hatch": "/////", "lw": 0}
LEFT, EDGE, GAP = 1.95, 0.08, 0.06  # before the columns, after them, between two of them
NARROW, WIDE = 0.46, 0.64  # half a column
LONG = 8  # letters of a number that is set smaller
TALL, LOW, TITLE = 0.29, 0.13, 0.12  # a row of scores, a row of the strip, a line of a title
NOTES = (
    f"{RULE} Numbers: explained part of the shift, ± half of its interval of 95 % (none of one base network "
    "or one D′); ≤ the score of the best member of the theory's class (best in class), where it is "
    "another. Best null: of theories that know of no hypothesis and no weights; grey numbers do not beat "
    "it. Last dose, scaled: the shift of these networks at the dose before, times one fitted number. "
    "Order-blind bound: the most that a theory can explain which does not know the order of D′. Blank: the "
    "theory predicts nothing for this method or dose; a law predicts nothing at doses that it was fitted on."
)


def draw(columns: list[Column], out: Path) -> list[Path]:
    """Draw heat-map, and heat-map-2 and so on where there are many columns; returns the files written."""
    most, paths = int((WIDTH - LEFT - EDGE) / (2 * NARROW + GAP)), []
    with style():
        for start in range(0, len(columns), most):
            drawn = figure(columns[start : start + most])
            name = f"heat-map-{1 + start // most}" if start else "heat-map"
            for kind in FORMATS:
                paths.append(out / f"{name}.{kind}")
                save_figure(paths[-1], drawn)
    return paths


def figure(columns: list[Column]) -> Figure:
    """One heat map: titles, what there is to explain, and a row for each theory."""
    half = min(((WIDTH - LEFT - EDGE) / len(columns) - GAP) / 2, WIDE)
    titles, notes = _titles(columns, half), textwrap.wrap(NOTES, 168)
    shown = [(column, dose) for column in columns for dose in (column.small, column.large)]
    rows = [theory for theory in theories(columns) if any(column.at(theory, dose) for column, dose in shown)]
    grades = [list(block) for _, block in groupby(rows, key=lambda theory: theory[2])]
    strip = 0.42 + TITLE * max(map(len, titles))
    body = strip + (1.6 + len(CEILINGS)) * LOW
    under = body + sum(len(block) * TALL + GAP for block in grades) + 0.1
    drawn = Figure(figsize=(WIDTH, under + 0.1 * len(notes)))
    axes = drawn.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(drawn.get_figheight(), 0))
    axes.axis("off")
    groups = " / ".join(dict.fromkeys(column.group.replace("_", "-") for column in columns))
    axes.text(0.06, 0.16, f"Explained part of the shift on {groups} contexts", fontsize=8)
    _key(drawn, axes)
    for row, words in enumerate(("shift (nats)", *CEILINGS), 1):
        axes.text(LEFT - 0.06, strip + LOW * row, words, ha="right", va="center", fontsize=6, color="0.35")
    for index, (column, title) in enumerate(zip(columns, titles, strict=True)):
        left = LEFT + index * (2 * half + GAP)
        for number_above, (words, weight) in enumerate(reversed(title)):
            height = strip - 0.1 - TITLE * number_above
            axes.text(left + half, height, words, ha="center", fontsize=6.5, fontweight=weight)
        for side, dose in enumerate((column.small, column.large)):
            for row, words in enumerate((f"dose {dose}", *column.ceilings(dose))):
                centre, colour = (left + (side + 0.5) * half, strip + LOW * row), "0.35" if row else "black"
                axes.text(*centre, _minus(words), ha="center", va="center", fontsize=6, color=colour)
            top = body
            for block in grades:
                for row, theory in enumerate(block):
                    _cell(axes, column.at(theory, dose), left + side * half, top + row * TALL, half)
                top += len(block) * TALL + GAP
    for block in grades:
        for row, theory in enumerate(block, 1):
            end = LEFT - 0.06, body + (row - 0.5) * TALL
            name = "\n".join(textwrap.wrap(theory_name(theory), 38))
            axes.text(*end, name, ha="right", va="center", fontsize=6.5)
        ends = body + 0.03, body + len(block) * TALL - 0.03
        axes.plot([0.18, 0.18], ends, color="0.6", lw=0.6)
        axes.text(0.1, sum(ends) / 2, block[0][2], rotation=90, ha="center", va="center", fontsize=6.5)
        body += len(block) * TALL + GAP
    for index, note in enumerate(notes):
        axes.text(0.06, under + 0.1 * index, note, fontsize=5.8, color="0.25", va="center")
    return drawn


def _titles(columns: list[Column], half: float) -> list[list[tuple[str, str]]]:
    """The lines above each column and their weights: its run where there are several, its method, its D'."""
    several, titles = len({column.run for column in columns}) > 1, []
    for column in columns:
        method, _, data = column.name.partition(", ")
        parts = [(column.run, "normal")] * several + [(method, "bold"), (data, "normal")]
        titles.append(
            [(line, weight) for part, weight in parts for line in textwrap.wrap(part, int(2 * half / 0.045))]
        )
    return titles


def _cell(axes: Axes, line: ScoreLine | None, left: float, top: float, wide: float) -> None:
    """Draw a score: colour, number, error, best in class; hatched where undefined, empty without a score."""
    if line is None:
        axes.add_patch(Rectangle((left, top), wide, TALL, fc="none", ec="0.85", lw=0.4))
        return
    centre = {"x": left + wide / 2, "ha": "center", "va": "center"}
    if line.explained is None:
        axes.add_patch(Rectangle((left, top), wide, TALL, **HATCH))
        box = {"fc": HATCH["fc"], "ec": "none", "pad": 0.8}
        axes.text(y=top + TALL / 2, s="–", fontsize=6.5, bbox=box, **centre)
        return
    colour = COLOURS(SCALE(line.explained))
    axes.add_patch(Rectangle((left, top), wide, TALL, fc=colour, ec="white", lw=0.6))
    ink = "0.45" if line.best_null and not beats_nulls(line) else "black"
    words = _minus(score(line.explained))
    axes.text(y=top + 0.07, s=words, fontsize=6.5 if len(words) < LONG else 5.5, color=ink, **centre)
    if line.interval is not None:
        half = line.explained - line.interval[0]
        axes.text(y=top + 0.155, s=f"± {difference(half, None)}", fontsize=5, **centre)
    if line.failed:
        axes.text(y=top + 0.155, s=f"failed {line.failed}/{line.networks}", fontsize=5, **centre)
    if line.best_in_class != line.explained:
        bound = f"≤ {_minus(score(line.best_in_class))}"
        axes.text(y=top + 0.235, s=bound, fontsize=5, color="0.3", **centre)
    if doubted(line):
        axes.plot([left + wide - 0.038], [top + TALL - 0.045], **RING)


def _key(drawn: Figure, axes: Axes) -> None:
    """Explain colours and marks, on one line with the title."""
    high, y = drawn.get_figheight(), 0.16
    bar = drawn.add_axes((3.1 / WIDTH, 1 - y / high, 1.2 / WIDTH, 0.08 / high))
    bar.imshow(np.linspace(-1, 1, 256)[None], cmap=COLOURS, aspect="auto", extent=(-1, 1, 0, 1))
    bar.set_xticks([-1, 0, 1], ["≤ −1", "0", "1"], fontsize=5.5)
    bar.set_yticks([])
    bar.tick_params(length=1.5, pad=1)
    axes.plot([4.5], [y - 0.03], **RING)
    axes.text(4.58, y, "chains not converged", fontsize=6)
    axes.add_patch(Rectangle((5.55, y - 0.075), 0.14, 0.09, **HATCH))
    axes.text(5.73, y, "undefined: shift below its noise", fontsize=6)


def _minus(words: str) -> str:
    return words if words == "-" else words.replace("1 − ", "1−").replace("-", "−")
