"""Methods × axioms: violations in units of the shift, a panel for every world. No jax.

Colour is the violation; a ring marks those whose whole interval is above the noise.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.figures.style import WIDTH, save, style
from experiments.scoring.axioms import AXIOMS, EVERY, Axiom, AxiomLine, axiom_lines, judged
from experiments.scoring.findings import Findings
from experiments.scoring.labels import METHODS, number
from experiments.storage.run_folder import RunFolder

LEFT, TOP, EDGE = 1.12, 0.55, 0.06  # inches: before the columns, above the first panel, after the columns
TALL, HEAD, GAP = 0.34, 0.5, 0.12  # a row, the head of a panel, the space under it
COLOURS, SCALE = matplotlib.colormaps["YlOrBr"], LogNorm(1e-3, 3.0, clip=True)
DARK = 0.4  # violations from here on are written in white
RING = {"marker": "o", "ms": 3.2, "mfc": "#c00000", "mec": "white", "mew": 0.5}
CAPTION = (
    "Violation of every axiom of Bayes, in units of the shift that the finetuning makes, on contexts that D′ "
    "never asks (of the filter: on all but those of D′). Under it half of its interval of 95 % over base "
    "networks and D′, and the noise: the same distance between two networks that met the same data in "
    "another order (martingale: of a mean over so few documents; retrained: between two base networks). Red "
    "dots: the whole interval of violation less noise is above 0. Blank: not measured in this world."
)


def draw_axioms(run: RunFolder) -> list[Path]:
    """The figure, and every line of every group of contexts as a table."""
    lines = axiom_lines(run)
    if not lines:
        return []
    with style():
        drawn = figure(lines)
        return save(run, {run.study: drawn}, {run.study: [line.record() for line in lines]})


def judged_lines(lines: Sequence[AxiomLine]) -> list[AxiomLine]:
    """The lines of the group that each world is judged on."""
    groups = {data: judged([line.group for line in lines if line.data == data]) for data in worlds(lines)}
    return [line for line in lines if line.group in (groups[line.data], EVERY)]


def worlds(lines: Sequence[AxiomLine]) -> list[str]:
    """The D' of all worlds, in order of appearance."""
    return list(dict.fromkeys(line.data for line in lines))


def methods(lines: Sequence[AxiomLine]) -> list[str]:
    """Methods, SGD and Adam first."""
    names = dict.fromkeys(line.method for line in lines)
    return [
        *(name for name in METHODS if name in names),
        *sorted(name for name in names if name not in METHODS),
    ]


def figure(lines: Sequence[AxiomLine]) -> Figure:
    """A panel for every world, a row for every method, a column for every axiom that any world has."""
    lines = judged_lines(lines)
    known = [axiom for axiom in AXIOMS if any(line.axiom == axiom.name for line in lines)]
    panels = [(data, [line for line in lines if line.data == data]) for data in worlds(lines)]
    heights = [HEAD + TALL * len(methods(panel)) + GAP for _, panel in panels]
    drawn = Figure(figsize=(WIDTH, TOP + sum(heights)))
    axes = drawn.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(drawn.get_figheight(), 0))
    axes.axis("off")
    axes.text(0.06, 0.16, "Violations of the axioms of Bayes, in units of the shift", fontsize=8)
    axes.text(0.06, 0.32, "± half of the interval of 95 %;  ∼ noise", fontsize=6, color="0.35")
    axes.plot([4.15], [0.13], **RING)
    axes.text(4.23, 0.16, "above the noise", fontsize=6)
    _colour_bar(drawn)
    top = TOP
    for (data, panel), height in zip(panels, heights, strict=True):
        _panel(axes, top, data, panel, known)
        top += height
    return drawn


def _panel(axes: Axes, top: float, data: str, lines: list[AxiomLine], known: Sequence[Axiom]) -> None:
    """One world from `top` on, in inches."""
    wide = (WIDTH - LEFT - EDGE) / len(known)
    networks = max(line.networks for line in lines)
    axes.text(0.06, top + 0.1, data, fontsize=7.5, fontweight="bold")
    axes.text(0.06, top + 0.22, f"{networks} networks", fontsize=6, color="0.35")
    for column, axiom in enumerate(known):
        centre = LEFT + (column + 0.5) * wide
        axes.text(centre, top + 0.1, axiom.name, ha="center", fontsize=6.5, fontweight="bold")
        words = "\n".join(textwrap.wrap(axiom.title, max(10, int(wide / 0.052))))
        axes.text(centre, top + 0.15, words, ha="center", va="top", fontsize=5, color="0.3", linespacing=1.0)
    for row, method in enumerate(methods(lines)):
        height = top + HEAD + row * TALL
        label = METHODS.get(method, method)
        axes.text(LEFT - 0.06, height + TALL / 2, label, ha="right", va="center", fontsize=6.5)
        for column, axiom in enumerate(known):
            line = next(
                (entry for entry in lines if (entry.method, entry.axiom) == (method, axiom.name)), None
            )
            _cell(axes, line, LEFT + column * wide, height, wide)


def _cell(axes: Axes, line: AxiomLine | None, left: float, top: float, wide: float) -> None:
    """Draw a violation: colour, number, interval and noise, a dot where it is above the noise."""
    value = math.nan if line is None else line.share.value
    if line is None or not math.isfinite(value):
        axes.add_patch(Rectangle((left, top), wide, TALL, fc="none", ec="0.85", lw=0.4))
        return
    axes.add_patch(
        Rectangle((left, top), wide, TALL, fc=COLOURS(SCALE(max(value, 1e-9))), ec="white", lw=0.6)
    )
    ink = "white" if value >= DARK else "black"
    centre = {"x": left + wide / 2, "ha": "center", "va": "center", "color": ink}
    axes.text(y=top + 0.08, s=short(value), fontsize=6.8, **centre)
    if line.share.interval is not None:
        half = line.share.value - line.share.interval[0]
        axes.text(y=top + 0.19, s=f"± {short(half)}", fontsize=5, **centre)
    axes.text(y=top + 0.275, s=f"∼ {short(line.noise)}", fontsize=5, **centre)
    if line.violated:
        axes.plot([left + wide - 0.06], [top + 0.07], **RING)


def short(value: float) -> str:
    """A share in two significant digits."""
    if not math.isfinite(value):
        return "–"
    digits = "0f" if abs(value) >= 10 else "2f" if abs(value) >= 0.1 else "2g" if abs(value) >= 1e-3 else "0e"
    text = f"{value:.{digits}}" if value else "0"
    return text.replace("e-0", "e-").replace("-", "−")


def _colour_bar(drawn: Figure) -> None:
    high = drawn.get_figheight()
    bar = drawn.add_axes((5.3 / WIDTH, 1 - 0.2 / high, 1.6 / WIDTH, 0.08 / high))
    ends = np.log10([SCALE.vmin or 1e-3, SCALE.vmax or 1.0])
    shades = np.logspace(ends[0], ends[1], 256)[None]
    bar.imshow(COLOURS(SCALE(shades)), aspect="auto", extent=(*ends, 0, 1))
    ticks = [-3, -2, -1, 0]
    bar.set_xticks(ticks, ["0.001", "0.01", "0.1", "1"], fontsize=5.5)
    bar.set_yticks([])
    bar.tick_params(length=1.5, pad=1)


def axiom_findings(run: RunFolder) -> Findings:
    """Which axioms are violated by which methods, and the table of the judged groups."""
    lines = judged_lines(axiom_lines(run))
    if not lines:
        return Findings(("Nothing is measured yet.",), (("method",),), CAPTION)
    sentences = tuple(filter(None, (_violated(lines), _held(lines))))
    head = ("D′", "method", *(axiom.name for axiom in AXIOMS))
    body = [
        (data, METHODS.get(method, method), *(_words(lines, data, method, axiom) for axiom in AXIOMS))
        for data in worlds(lines)
        for method in methods([line for line in lines if line.data == data])
    ]
    return Findings(sentences, (head, *body), CAPTION)


def _words(lines: Sequence[AxiomLine], data: str, method: str, axiom: Axiom) -> str:
    """A cell of the table: violation, interval, noise, what was fitted, * where it is above the noise."""
    key = (data, method, axiom.name)
    line = next((entry for entry in lines if (entry.data, entry.method, entry.axiom) == key), None)
    if line is None or not math.isfinite(line.share.value):
        return "–"
    ends = line.share.interval
    interval = f" [{short(ends[0])}, {short(ends[1])}]" if ends else ""
    fitted = f"; {axiom.fitted} {number(line.fitted)}" if line.fitted is not None else ""
    return f"{short(line.share.value)}{'*' * line.violated}{interval}, noise {short(line.noise)}{fitted}"


def _violated(lines: Sequence[AxiomLine]) -> str:
    """The axioms that are violated, with the range over methods and worlds."""
    parts = []
    for axiom in AXIOMS:
        inside = [line for line in lines if line.axiom == axiom.name]
        broken = [line.share.value for line in inside if line.violated]
        if broken:
            ends = dict.fromkeys((short(min(broken)), short(max(broken))))
            parts.append(f"{axiom.name} in {len(broken)} of {len(inside)} ({' to '.join(ends)})")
    if not parts:
        return "No violation is above its noise by its whole interval."
    return f"In units of the shift, over methods and worlds, violated beyond the noise: {'; '.join(parts)}."


def _held(lines: Sequence[AxiomLine]) -> str:
    """The axioms that no method is shown to violate."""
    held = []
    for axiom in AXIOMS:
        inside = [line for line in lines if line.axiom == axiom.name]
        if inside and not any(line.violated for line in inside):
            most = max((line.share.value for line in inside if math.isfinite(line.share.value)), default=0.0)
            held.append(f"{axiom.name} (at most {short(most)})")
    return f"Not shown to be violated by any: {', '.join(held)}." if held else ""
