"""The heat map of a comparison: theories × methods, at a small and at a large dose. Numpy and matplotlib only.

Colour is the explained part of the shift: blue explains, white is "nothing changed", orange is worse than that
(all that is -1 or less has one colour; its number is printed). Lengths are inches from the top left corner.
"""

import functools
import textwrap
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.compare import RULE, Column, Line, Theory, doubted, theories, theory_name
from experiments.results import write
from experiments.style import FORMATS, WIDTH, style
from experiments.words import nats, number

INKS = matplotlib.color_sequences["okabe_ito"]
COLOURS = LinearSegmentedColormap.from_list("explained", [INKS[1], "white", INKS[2]])
SCALE = Normalize(-1, 1, clip=True)
RING = "#c00000"
LEFT, EDGE, GAP = 1.95, 0.08, 0.06  # before the columns, after them, between two of them
TALL, LOW = 0.29, 0.13  # a row of scores, a row of the strip
NARROW, WIDE = 0.46, 0.64  # half a column
NOTES = (
    f"{RULE} Numbers: explained part of the shift, ± one standard error; ≤ the ceiling, the score of the best member "
    "of the theory's class. Noise floor: the score of a twin that met D′ in another order."
)


def draw(columns: list[Column], out: Path, name: str = "heat-map") -> list[Path]:
    """Draw the columns; returns the files written, the PNG first."""
    with style():
        drawn = figure(columns)
        paths = []
        for kind, said in FORMATS.items():
            paths.append(out / f"{name}.{kind}")
            write(paths[-1], functools.partial(drawn.savefig, format=kind, metadata=said))
        return paths


def figure(columns: list[Column]) -> Figure:
    """The heat map; columns that do not fit beside each other continue below."""
    rows = theories(columns)
    most = int((WIDTH - LEFT - EDGE) / (2 * NARROW + GAP))
    bands = [columns[start : start + most] for start in range(0, len(columns), most)]
    half = min(((WIDTH - LEFT - EDGE) / len(bands[0]) - GAP) / 2, WIDE)
    heads = [_titles(band, half, len({one.run for one in columns}) > 1) for band in bands]
    notes = textwrap.wrap(NOTES, 168)
    grades = len({theory[2] for theory in rows})
    body = 0.62 + len(rows) * TALL + grades * GAP
    starts = np.cumsum([0.5] + [0.12 * max(map(len, head)) + body + 0.14 for head in heads])
    drawn = Figure(figsize=(WIDTH, starts[-1] + 0.1 * len(notes) + 0.02))
    axes = drawn.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(drawn.get_figheight(), 0))
    axes.axis("off")
    groups = " / ".join(dict.fromkeys(one.group.replace("_", "-") for one in columns))
    axes.text(0.06, 0.16, f"Explained part of the shift on {groups} contexts", fontsize=8)
    _key(drawn, axes)
    for band, head, start in zip(bands, heads, starts[:-1], strict=True):
        _band(axes, band, rows, head, float(start), half)
    for index, note in enumerate(notes):
        axes.text(0.06, starts[-1] + 0.1 * index, note, fontsize=5.8, color="0.25", va="center")
    return drawn


def _titles(band: list[Column], half: float, several: bool) -> list[list[str]]:
    """The lines above each column: its run where there are several, method, D'."""
    parts = [[*[one.run] * several, *one.name.split(", ", 1)] for one in band]
    return [
        [line for part in title for line in textwrap.wrap(part, int(2 * half / 0.048))] for title in parts
    ]


def _band(
    axes: Axes, band: list[Column], rows: list[Theory], head: list[list[str]], top: float, half: float
) -> None:
    """Columns beside each other: titles, doses, what there is to explain, and a row for each theory."""
    strip = top + 0.12 * max(map(len, head)) + 0.06
    for index, (one, title) in enumerate(zip(band, head, strict=True)):
        left = LEFT + index * (2 * half + GAP)
        for place, words in enumerate(reversed(title)):
            bold = {"fontweight": "bold"} if place == len(title) - 1 else {}
            axes.text(left + half, strip - 0.1 - 0.12 * place, words, ha="center", fontsize=7, **bold)
        for side, dose in enumerate((one.small, one.large)):
            base, middle = one.base(dose), left + (side + 0.5) * half
            told = nats(base["shift"]), number(base["floor"]), number(base["seed_floor"])
            for row, words in enumerate((f"dose {dose}", *told)):
                look = {"fontsize": 6, "color": "black" if row == 0 else "0.35"}
                axes.text(middle, strip + LOW * row, _minus(words), ha="center", va="center", **look)
    for row, words in enumerate(("", "shift (nats)", "noise floor", "another pretraining seed")):
        axes.text(LEFT - 0.06, strip + LOW * row, words, ha="right", va="center", fontsize=6, color="0.35")
    top = strip + 3.5 * LOW + 0.02
    for grade, same in groupby(rows, key=lambda theory: theory[2]):
        first = top
        for theory in same:
            axes.text(LEFT - 0.06, top + TALL / 2, theory_name(theory), ha="right", va="center", fontsize=6.5)
            for index, one in enumerate(band):
                left = LEFT + index * (2 * half + GAP)
                for side, dose in enumerate((one.small, one.large)):
                    _cell(axes, one.at(theory, dose), left + side * half, top, half)
            top += TALL
        axes.plot([0.17, 0.17], [first + 0.03, top - 0.03], color="0.6", lw=0.6)
        axes.text(0.1, (first + top) / 2, grade, rotation=90, ha="center", va="center", fontsize=6.5)
        top += GAP


def _cell(axes: Axes, line: Line | None, left: float, top: float, wide: float) -> None:
    """One score: its colour, number, error and ceiling; hatched where undefined, empty where nothing is said."""
    if line is None:
        axes.add_patch(Rectangle((left, top), wide, TALL, fc="none", ec="0.85", lw=0.4))
        return
    middle = {"x": left + wide / 2, "ha": "center", "va": "center"}
    if line["explained"] is None:
        axes.add_patch(Rectangle((left, top), wide, TALL, fc="0.93", ec="0.7", hatch="/////", lw=0))
        box = {"fc": "0.93", "ec": "none", "pad": 0.8}
        axes.text(y=top + TALL / 2, s="–", fontsize=6.5, bbox=box, **middle)
        return
    colour = COLOURS(SCALE(line["explained"]))
    axes.add_patch(Rectangle((left, top), wide, TALL, fc=colour, ec="white", lw=0.6))
    axes.text(y=top + 0.07, s=_minus(number(line["explained"])), fontsize=6.5, **middle)
    if line["standard_error"] is not None:
        axes.text(y=top + 0.155, s=f"± {_error(line['standard_error'])}", fontsize=5, **middle)
    if line["ceiling"] != line["explained"]:
        said = f"≤ {_minus(number(line['ceiling']))}"
        axes.text(y=top + 0.235, s=said, fontsize=5, color="0.35", **middle)
    if doubted(line):
        _ring(axes, left + wide - 0.055, top + 0.055)


def _key(drawn: Figure, axes: Axes) -> None:
    """What colours and marks mean, on one line above the columns."""
    high, y = drawn.get_figheight(), 0.16
    bar = drawn.add_axes((3.1 / WIDTH, 1 - (y + 0.0) / high, 1.2 / WIDTH, 0.08 / high))
    bar.imshow(np.linspace(-1, 1, 256)[None], cmap=COLOURS, aspect="auto", extent=(-1, 1, 0, 1))
    bar.set_xticks([-1, 0, 1], ["≤ −1", "0", "1"], fontsize=5.5)
    bar.set_yticks([])
    bar.tick_params(length=1.5, pad=1)
    _ring(axes, 4.5, y - 0.03)
    axes.text(4.58, y, "chains miss the gate", fontsize=6)
    axes.add_patch(Rectangle((5.55, y - 0.075), 0.14, 0.09, fc="0.93", ec="0.7", hatch="/////", lw=0))
    axes.text(5.73, y, "undefined: shift below its noise", fontsize=6)


def _ring(axes: Axes, x: float, y: float) -> None:
    axes.plot([x], [y], "o", ms=3.4, mfc="none", mec=RING, mew=0.8)


def _error(value: Any) -> str:
    return "<0.0001" if 0 < value < 5e-5 else number(value)


def _minus(words: str) -> str:
    return words.replace("-", "−") if any(map(str.isdigit, words)) else words
