"""Heat maps of a sweep: a number over two axes, a map for each theory, method and D'. Matplotlib only."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.figures.heat_map import COLOURS, HATCH, SCALE, ink
from experiments.figures.looks import INKS
from experiments.figures.style import ABREAST, WIDTH, Drawing, panels_grid
from experiments.figures.sweep_words import (
    NOTE,
    WIDE_RANGE,
    heading,
    notes_of,
    series_name,
    series_rank,
    spread,
    write_notes,
)
from experiments.scoring.labels import UNCHANGED, score
from experiments.scoring.sweep_panels import SHARES, Choice, Panel, Series, label
from experiments.scoring.sweep_table import SweepTable
from experiments.storage.sweep_folder import Value

MAP_TALL = 1.5  # inches
BLUES = LinearSegmentedColormap.from_list("numbers", ["#f4f8fb", INKS[2], INKS[5]])


def draw_maps(
    scores: SweepTable,
    choice: Choice,
    panels: list[Panel],
    names: tuple[str, str],
    values: tuple[list[Value], list[Value]],
) -> Figure:
    series = sorted({key for panel in panels for key in panel.numbers}, key=series_rank)
    across = min(len(panels), ABREAST)
    cells = [(panel, key) for key in series for panel in panels]
    blocks = [
        [(panel, key) for panel in panels[first : first + across]]
        for key in series
        for first in range(0, len(panels), across)
    ]
    notes, down = notes_of(scores), len(blocks)
    start, tall = 0.92, max(MAP_TALL, 0.3 * len(values[1]) + 0.5)
    figure = Drawing(figsize=(WIDTH, start + tall * down + 0.35 + NOTE * len(notes)))
    heading(figure, choice, names)
    every = panels_grid(figure, start, tall * down, down, across, wspace=0.12, hspace=0.4).subplots(
        squeeze=False, sharex=True, sharey=True
    )
    numbers = [number for panel, key in cells for number in panel.numbers.get(key, {}).values()]
    colours = _colours(choice, numbers)
    for row, block in zip(every, blocks, strict=True):
        for axes, (panel, key) in zip(row, block, strict=False):
            title = [panel.title] if key[0] == UNCHANGED else [series_name(key), panel.title]
            axes.set_title("\n".join(line for part in title for line in textwrap.wrap(part, 150 // across)))
            _draw_map(axes, choice, panel, key, values, colours)
        for axes in row[len(block) :]:
            axes.axis("off")
        row[0].set_ylabel(names[1])
    for axes in every[-1]:
        axes.set_xlabel(names[0])
    _colour_bar(figure, choice, colours)
    write_notes(figure, notes)
    return figure


def _draw_map(
    axes: Axes,
    choice: Choice,
    panel: Panel,
    key: Series,
    values: tuple[list[Value], list[Value]],
    colours: tuple[Colormap, Normalize],
) -> None:
    """The number at every pair of values, with half of its interval; hatched where there is none."""
    colour_map, scale = colours
    for column, across in enumerate(values[0]):
        for row, up in enumerate(values[1]):
            number = panel.numbers.get(key, {}).get((across, up))
            corner = column - 0.5, row - 0.5
            if number is None:
                axes.add_patch(Rectangle(corner, 1, 1, **HATCH))
                continue
            colour = colour_map(scale(number))
            axes.add_patch(Rectangle(corner, 1, 1, fc=colour, ec="white", lw=0.6))
            words = score(number) if choice.column in SHARES else f"{number:.3g}"
            ends = panel.intervals.get(key, {}).get((across, up))
            if ends:
                words += f"\n± {(ends[1] - ends[0]) / 2:.2g}"
            axes.text(
                column,
                row,
                words.replace("-", "−"),
                ha="center",
                va="center",
                fontsize=5.5,
                color=ink(colour),
            )
    axes.set_xlim(-0.5, len(values[0]) - 0.5)
    axes.set_ylim(-0.5, len(values[1]) - 0.5)
    axes.set_xticks(range(len(values[0])), [label(value) for value in values[0]])
    axes.set_yticks(range(len(values[1])), [label(value) for value in values[1]])
    axes.tick_params(length=0)


def _colours(choice: Choice, numbers: list[float]) -> tuple[Colormap, Normalize]:
    """Of shares, blue explains and orange is worse than nothing; of others, one colour."""
    if choice.column in SHARES:
        return COLOURS, SCALE
    finite = [number for number in numbers if np.isfinite(number)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    return BLUES, LogNorm(low, high) if spread(finite) > WIDE_RANGE else Normalize(low, high, clip=True)


def _colour_bar(figure: Figure, choice: Choice, colours: tuple[Colormap, Normalize]) -> None:
    """Explain the colours, under the title, at the right."""
    if choice.column not in SHARES:
        return  # every cell has its number
    high = figure.get_figheight()
    bar = figure.add_axes((1 - 1.45 / WIDTH, 1 - 0.4 / high, 1.2 / WIDTH, 0.08 / high))
    bar.imshow(np.linspace(-1, 1, 256)[None], cmap=colours[0], aspect="auto", extent=(-1, 1, 0, 1))
    bar.set_xticks([-1, 0, 1], ["≤ −1", "0", "1"], fontsize=5.5)
    bar.set_yticks([])
    bar.tick_params(length=1.5, pad=1)
