"""The heat map of several runs: theories × methods, at a small and a large dose. Numpy and matplotlib only.

Colour is the explained part of the shift: orange is worse than "nothing changed" (all that is -1 or less has
one colour; its number is printed), grey explains no more than the best null, blue explains more. Columns that
do not fit beside each other go on in another figure. Lengths are inches from the top left corner.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.figures.looks import INKS
from experiments.figures.style import FORMATS, WIDTH, save_figure, style
from experiments.scoring.heat_rows import MOST, Block, blocks, omitted
from experiments.scoring.labels import beats_nulls, difference, doubted, score
from experiments.scoring.leaderboard import CEILINGS, RULE, Column, theory_name
from experiments.storage.records import ScoreLine

RGBA = tuple[float, float, float, float]
WORSE, BEATS = ("#fce5c4", INKS[6]), ("#d3e8f5", INKS[5])  # the palest colour, at 0, and the strongest
BELOW_NULL = LinearSegmentedColormap.from_list("below the null", ["#f0f0f0", "#c2c2c2"])
SHADES = [(0, WORSE[1]), (0.5, WORSE[0]), (0.5, BEATS[0]), (1, BEATS[1])]  # a step at 0: the sign is seen
COLOURS = LinearSegmentedColormap.from_list("explained", SHADES)
SCALE = Normalize(-1, 1, clip=True)
RING = {"marker": "o", "ms": 3.0, "mfc": "white", "mec": "#c00000", "mew": 0.8}
HATCH = {"fc": "0.93", "ec": "0.7", "hatch": "/////", "lw": 0}
LEFT, EDGE, GAP = 1.95, 0.08, 0.06  # before the columns, after them, between two of them
NARROW, WIDE = 0.46, 0.64  # half a column
LONG = 8  # letters of a number that is set smaller
TALL, LOW, TITLE, HEADING = 0.22, 0.13, 0.12, 0.17  # a row of scores, of the strip, of a title, of a block
GRADE_WORDS = {"forecast": "no fitted number", "law": "β by a law of dose", "fitted": "one fitted β"}
NOTES = (
    f"{RULE} Numbers: explained part of the shift, ± half of its interval of 95 % (where it has "
    "one); bold: above the best null by the whole interval of the difference. Best null: of theories "
    "that know of no hypothesis and no weights. Last dose, scaled: the shift of these networks at the dose "
    "before, times one fitted number. Order-blind bound: the most that a theory can explain which does not "
    "know the order of D′. Blank: the theory predicts nothing for this method or dose; a law predicts "
    "nothing at doses that it was fitted on."
)
FORMS = "A theory's other forms, priors and laws are in scorecard.csv; --everything draws them, too."
LEFT_OUT = f"Not drawn, as {MOST} others of their kind explain more: {{}}."


def draw(columns: list[Column], out: Path, everything: bool = False) -> list[Path]:
    """Draw heat-map, and heat-map-2 and so on where there are many columns; returns the files written."""
    most, paths = int((WIDTH - LEFT - EDGE) / (2 * NARROW + GAP)), []
    several = len({column.run for column in columns}) > 1
    with style():
        for start in range(0, len(columns), most):
            drawn = figure(columns[start : start + most], everything, several)
            name = f"heat-map-{1 + start // most}" if start else "heat-map"
            for kind in FORMATS:
                paths.append(out / f"{name}.{kind}")
                save_figure(paths[-1], drawn)
    return paths


def figure(columns: list[Column], everything: bool = False, several: bool = False) -> Figure:
    """One heat map: titles, with the run where there are `several`, what there is to explain, and a row for
    each theory's best form, or for every form."""
    half = min(((WIDTH - LEFT - EDGE) / len(columns) - GAP) / 2, WIDE)
    titles, rows = _titles(columns, half, several), blocks(columns, everything)
    notes = textwrap.wrap(_notes(columns, rows, everything), 168)
    strip = 0.42 + TITLE * max(map(len, titles))
    body = strip + (1.3 + len(CEILINGS)) * LOW
    under = body + sum(HEADING + len(block.rows) * TALL for block in rows) + 0.14
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
                size = 6 if row == 0 or len(words) < LONG else 5
                axes.text(*centre, _minus(words), ha="center", va="center", fontsize=size, color=colour)
    for block in rows:
        words = f"{block.family}, {GRADE_WORDS.get(block.grade, block.grade)}".capitalize()
        axes.text(0.06, body + HEADING / 2, words, va="center", fontsize=6.5, fontweight="bold")
        axes.plot([LEFT, WIDTH - EDGE], [body + HEADING / 2] * 2, color="0.8", lw=0.5)
        body += HEADING
        for theory in block.rows:
            name = "\n".join(textwrap.wrap(theory_name(theory), 38))
            axes.text(LEFT - 0.06, body + TALL / 2, name, ha="right", va="center", fontsize=6.5)
            for index, column in enumerate(columns):
                for side, dose in enumerate((column.small, column.large)):
                    corner = LEFT + index * (2 * half + GAP) + side * half, body
                    null = column.best_null(dose)
                    _cell(axes, column.at(theory, dose), null and null.explained, corner, half)
            body += TALL
    for index, note in enumerate(notes):
        axes.text(0.06, under + 0.1 * index, note, fontsize=5.8, color="0.25", va="center")
    return drawn


def shade(explained: float, null: float | None) -> RGBA:
    """The colour of a score beside that of the best null: orange below 0, grey up to the null, blue above."""
    if 0 <= explained <= (null or 0.0):
        return BELOW_NULL(explained)
    return COLOURS(SCALE(explained))


def ink(colour: RGBA) -> str:
    """The colour of text that is read on a colour."""
    return "white" if np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5 else "black"


def _notes(columns: list[Column], rows: Sequence[Block], everything: bool) -> str:
    missing = omitted(columns, rows)
    more = [] if everything else [FORMS, *([LEFT_OUT.format(", ".join(missing))] if missing else [])]
    return " ".join([NOTES, *more])


def _titles(columns: list[Column], half: float, several: bool) -> list[list[tuple[str, str]]]:
    """The lines above each column and their weights: its run where there are several, its method, its D'."""
    titles = []
    for column in columns:
        method, _, data = column.name.partition(", ")
        parts = [(column.run, "normal")] * several + [(method, "bold"), (data, "normal")]
        titles.append(
            [(line, weight) for part, weight in parts for line in textwrap.wrap(part, int(2 * half / 0.045))]
        )
    return titles


def _cell(
    axes: Axes, line: ScoreLine | None, null: float | None, corner: tuple[float, float], wide: float
) -> None:
    """Draw a score: colour, number and interval; hatched where undefined, empty without a prediction."""
    left, top = corner
    if line is None:
        axes.add_patch(Rectangle(corner, wide, TALL, fc="none", ec="0.9", lw=0.4))
        return
    centre = {"x": left + wide / 2, "ha": "center", "va": "center"}
    if line.explained is None:
        axes.add_patch(Rectangle(corner, wide, TALL, **HATCH))
        box = {"fc": HATCH["fc"], "ec": "none", "pad": 0.8}
        axes.text(y=top + TALL / 2, s="–", fontsize=6.5, bbox=box, **centre)
        return
    colour = shade(line.explained, null)
    axes.add_patch(Rectangle(corner, wide, TALL, fc=colour, ec="white", lw=0.6))
    text = {"color": ink(colour), **centre}
    words, weight = _minus(score(line.explained)), "bold" if beats_nulls(line) else "normal"
    size = 6.5 if len(words) < LONG else 5.5
    axes.text(y=top + 0.075, s=words, fontsize=size, fontweight=weight, **text)
    if line.failed:
        axes.text(y=top + 0.165, s=f"failed {line.failed}/{line.networks}", fontsize=5, **text)
    elif line.interval is not None:
        half = line.explained - line.interval[0]
        axes.text(y=top + 0.165, s=f"± {difference(half, None)}", fontsize=5, **text)
    if doubted(line):
        axes.plot([left + wide - 0.038], [top + TALL - 0.045], **RING)


def _key(drawn: Figure, axes: Axes) -> None:
    """Explain colours and marks, on one line with the title."""
    y, high = 0.16, drawn.get_figheight()
    bars: list[tuple[float, Colormap, tuple[float, float], tuple[str, str]]] = [
        (2.85, COLOURS, (0.0, 0.499), ("≤ −1", "0")),
        (3.4, BELOW_NULL, (0.0, 1.0), ("", "best null")),
        (3.95, COLOURS, (0.501, 1.0), ("", "1")),
    ]
    for left, colours, ends, words in bars:
        bar = drawn.add_axes((left / WIDTH, 1 - y / high, 0.55 / WIDTH, 0.08 / high))
        bar.imshow(colours(np.linspace(*ends, 128))[None], aspect="auto", extent=(0, 1, 0, 1))
        bar.set_xticks([0, 1], words, fontsize=5.5)
        bar.set_yticks([])
        bar.tick_params(length=1.5, pad=1)
    axes.plot([4.7], [y - 0.03], **RING)
    axes.text(4.77, y, "chains not converged", fontsize=6)
    axes.add_patch(Rectangle((5.78, y - 0.075), 0.14, 0.09, **HATCH))
    axes.text(5.95, y, "undefined: below its noise", fontsize=6)


def _minus(words: str) -> str:
    return words if words == "-" else words.replace("1 − ", "1−").replace("-", "−")
