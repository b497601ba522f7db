"""Curves of a number against dose, with a table of what they show beside the figure.

A curve is a mean over networks; its band, which base networks do not have, is an interval of 95 % by base
networks × D' (experiments.scoring.intervals), and there is none with one of either. `Curves` draws the
curves of one figure by name (a network or a theory); `draw_grid` is the figure that most studies need.
FIGURE.csv has a line for each point: row and column of its panel, name (`who`), position on the axis (`at`),
mean, ends of the interval (empty without one), number of networks. Numpy and matplotlib only. Axes: b base
networks, s finetuning seeds (D'; one alone where a number is not of each), x positions, usually doses.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.comparison import LEGEND
from experiments.figures.style import Look, dose_axis, legend, marker_line, panel_figure, save, style, titles
from experiments.scoring.intervals import clusters, half_width
from experiments.scoring.predictions import BASE, NETWORK
from experiments.storage.run import Run
from experiments.storage.run_folder import RunFolder

SHOWN = (
    *("linearised", "tempered-posterior", "exchangeable-mixture"),
    *("complexity-prior", "langevin-posterior"),
)
SPEAKERS = (NETWORK, BASE, *SHOWN)  # networks and theories that are drawn, in the order of the legend
NAMES = {NETWORK: "finetuned network", BASE: "base network"}
Grid = Mapping[tuple[str, str], Mapping[str, np.ndarray]]


def spread(values: np.ndarray, draws: Sequence[int], of_these: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Mean of values (b, s, ...) over networks, and half of its interval, nan without one; `draws` (b,) are
    the draws of the process that base networks are of, none if they are not known. `of_these`: by base
    networks alone, so that the interval says nothing of other D'."""
    (bases, seeds), shape = values.shape[:2], values.shape[2:]
    mean, half = np.mean(values, axis=(0, 1)), None
    if len(draws):
        numbers = np.moveaxis(values.reshape(bases * seeds, *shape), 0, -1)
        indices = np.repeat(draws, seeds), np.repeat(range(bases), seeds), np.tile(range(seeds), bases)
        ways = [indices[1].tolist()] if of_these else clusters(*(index.tolist() for index in indices))
        half = half_width([(numbers, np.ones_like(numbers))], ways)
    return mean, np.full(shape, np.nan) if half is None else half[1]


def draws_of(run: Run, bases: int) -> list[int]:
    """The draws of the process that so many base networks are of; none where that is not known, for networks
    of several draws are not finished."""
    draws = [run.draw(base) for base in sorted({cell.base for cell in run.cells("finetuned")})]
    if len(set(draws)) < 2:
        return [0] * bases
    return draws if len(draws) == bases else []


def look(name: str) -> Look:
    """The line of a network or theory, the same in every figure."""
    if name in NAMES:
        return {"color": "black", "ls": "-" if name == NETWORK else (0, (1, 1.3)), "lw": 1.4}
    return {**marker_line(name), "ms": 3, "lw": 0.9}


class Curves:
    """The curves of one figure of a run: `line` draws one, and remembers it for the legend and the table."""

    def __init__(self, run: Run) -> None:
        self.draws = functools.cache(lambda bases: draws_of(run, bases))
        self.looks: dict[str, Look] = {}
        self.table: list[dict[str, str | int]] = []

    def line(
        self,
        axes: Axes,
        panel: tuple[str, str],
        name: str,
        across: Sequence[float],
        values: np.ndarray,
        **changes: Any,
    ) -> None:
        """Draw values (b, s, x) under a name; `changes` replace parts of its look."""
        mean, half = self.note(panel, name, across, values)
        drawn = changes if "color" in changes else look(name) | changes
        self.looks[NAMES.get(name, name)] = drawn
        axes.plot(across, mean, **drawn)
        if name != BASE and drawn.get("ls") != "":
            wide, band = np.nan_to_num(half), {"color": drawn["color"], "alpha": 0.15, "lw": 0}
            axes.fill_between(across, mean - wide, mean + wide, **band)

    def note(
        self,
        panel: tuple[str, str],
        name: str,
        across: Sequence[float],
        values: np.ndarray,
        of_these: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Put values (b, s, x) into the table alone; returns their mean and half of its interval (x,)."""
        values = np.asarray(values, float)
        mean, half = spread(values, self.draws(len(values)), of_these)
        row, column = (re.sub(r"\s+", " ", title) for title in panel)
        for position, *numbers in zip(across, mean, mean - half, mean + half, strict=True):
            cells = [f"{value:.6g}" if np.isfinite(value) else "" for value in numbers]
            entry = {"row": row, "column": column, "who": NAMES.get(name, name), "at": f"{position:g}"}
            ends = dict(zip(("mean", "low", "high"), cells, strict=True))
            self.table.append({**entry, **ends, "networks": values.shape[0] * values.shape[1]})
        return mean, half

    def legend(self, figure: Figure, columns: int = 4, more: Mapping[str, Look] | None = None) -> None:
        """Name everything drawn, `SPEAKERS` first in their order, and `more` that is drawn besides."""
        first = [NAMES.get(name, name) for name in SPEAKERS]
        order = sorted(self.looks, key=lambda name: first.index(name) if name in first else len(first))
        legend(figure, {name: self.looks[name] for name in order} | dict(more or {}), columns)


def draw_grid(
    run: RunFolder,
    name: str,
    grid: Grid,
    tall: float = 1.25,
    limits: tuple[float, float] | None = (-0.03, 1.03),
    annotate: Callable[[Axes, Curves, tuple[str, str]], None] | None = None,
    looks: Mapping[str, Look] | None = None,
    more: Mapping[str, Look] | None = None,
) -> list[Path]:
    """The curves (b, s, d) of every panel (row, column) against dose, `tall` inches each; files STUDY-name.

    Without `limits` of the axis each row has its own. Only `SPEAKERS` are drawn, or else the names in
    `looks`, which gives their lines. `annotate` draws more into a panel, which `more` names in the legend.
    """
    if not grid:
        return []
    rows, columns = (list(dict.fromkeys(panel[side] for panel in grid)) for side in (0, 1))
    curves, doses = Curves(run), run.doses
    with style():
        shape = len(rows), len(columns)
        sharey = True if limits else "row"
        figure, every = panel_figure(
            LEGEND + 0.2, tall * len(rows), *shape, below=0.45, wspace=0.08, hspace=0.15, sharey=sharey
        )
        for (row, column), values in grid.items():
            axes = every[rows.index(row), columns.index(column)]
            if limits:
                axes.set_ylim(*limits)
            if annotate:
                annotate(axes, curves, (row, column))
            for key in [key for key in (looks or SPEAKERS) if key in values]:
                curves.line(axes, (row, column), key, doses, values[key], **(looks or {}).get(key, {}))
        for axes in every.flat:
            axes.set_xscale("log", base=2)
        for axes, row in zip(every[:, 0], rows, strict=True):
            axes.set_ylabel(row)
        titles(every[0], columns)
        dose_axis(every[-1])
        curves.legend(figure, more=more)
        title = f"{run.study}-{name}"
        return save(run, {title: figure}, {title: curves.table})
