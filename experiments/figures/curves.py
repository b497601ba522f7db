"""Numbers against dose, drawn and written down in one go: what a figure shows also lies beside it as a table.

A curve is a mean over base networks (of means over their finetuning seeds); its band, which base networks do
not have, is one standard error over base networks. `Curves` draws the curves of one figure by who says them;
`draw_grid` is the figure that most studies need. FIGURE.csv has a line for each point: row and column of its
panel, who says it, its place on the axis, mean, standard error (empty for one network), number of networks.
Numpy and matplotlib only. Axes: b base networks, x places, usually doses.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.comparison import LEGEND, LOOKS
from experiments.figures.style import WIDTH, dose_axis, legend, panels_grid, save, style, titles
from experiments.scoring.predictions import BASE, NETWORK
from experiments.storage.run_folder import Results

SHOWN = (
    *("linearised", "tempered-posterior", "exchangeable-mixture"),
    *("complexity-prior", "langevin-posterior"),
)
SPEAKERS = (NETWORK, BASE, *SHOWN)  # in the order of the legend
NAMES = {NETWORK: "finetuned network", BASE: "base network"}
Look = dict[str, Any]
Grid = Mapping[tuple[str, str], Mapping[str, np.ndarray]]


def spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over base networks (the first axis) and its standard error; nan of one alone, or where one is
    missing."""
    error = np.full(values.shape[1:], np.nan)
    if len(values) > 1:
        error = np.std(values, axis=0, ddof=1) / np.sqrt(len(values))
    return np.mean(values, axis=0), error


def look(who: str) -> Look:
    """The line of a speaker, the same in every figure."""
    if who in NAMES:
        return {"color": "black", "ls": "-" if who == NETWORK else (0, (1, 1.3)), "lw": 1.4}
    colour, marker = LOOKS[who]
    return {"color": colour, "marker": marker, "ms": 3, "lw": 0.9}


class Curves:
    """The curves of one figure: `line` draws one, and remembers it for the legend and for the table."""

    def __init__(self) -> None:
        self.looks: dict[str, Look] = {}
        self.table: list[dict[str, Any]] = []

    def line(
        self,
        axes: Axes,
        panel: tuple[str, str],
        who: str,
        across: Sequence[float],
        values: np.ndarray,
        **own: Any,
    ) -> None:
        """Draw values (b, x) of one speaker; `own` replaces parts of its look."""
        mean, error = self.note(panel, who, across, values)
        drawn = self.looks[NAMES.get(who, who)] = own if "color" in own else look(who) | own
        axes.plot(across, mean, **drawn)
        if who != BASE and drawn.get("ls") != "":
            wide, band = np.nan_to_num(error), {"color": drawn["color"], "alpha": 0.15, "lw": 0}
            axes.fill_between(across, mean - wide, mean + wide, **band)

    def note(
        self, panel: tuple[str, str], who: str, across: Sequence[float], values: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write values (b, x) down without drawing them; returns their mean and standard error (x,)."""
        mean, error = spread(np.asarray(values, float))
        row, column = (re.sub(r"\s+", " ", name) for name in panel)
        for place, *told in zip(across, mean, error, strict=True):
            said = [f"{value:.6g}" if np.isfinite(value) else "" for value in told]
            named = {"row": row, "column": column, "who": NAMES.get(who, who), "at": f"{place:g}"}
            numbers = dict(zip(("mean", "standard_error"), said, strict=True))
            self.table.append({**named, **numbers, "networks": len(values)})
        return mean, error

    def legend(self, figure: Figure, columns: int = 4, more: Mapping[str, Look] | None = None) -> None:
        """Name everything drawn, speakers first in their order, and what is drawn besides."""
        first = [NAMES.get(who, who) for who in SPEAKERS]
        order = sorted(self.looks, key=lambda name: first.index(name) if name in first else len(first))
        legend(figure, {name: self.looks[name] for name in order} | dict(more or {}), columns)


def draw_grid(
    results: Results,
    name: str,
    grid: Grid,
    tall: float = 1.25,
    limits: tuple[float, float] | None = (-0.03, 1.03),
    annotate: Callable[[Axes, Curves, tuple[str, str]], None] | None = None,
    looks: Mapping[str, Look] | None = None,
    more: Mapping[str, Look] | None = None,
) -> list[Path]:
    """The curves of every panel (row, column) against dose, `tall` inches each; files STUDY-name.

    Without `limits` of the axis each row has its own. Only `SPEAKERS` are heard, and those of `looks`, which
    says how they are drawn. `beside` draws more into a panel, which `more` names in the legend.
    """
    if not grid:
        return []
    rows, columns = (list(dict.fromkeys(panel[place] for panel in grid)) for place in (0, 1))
    curves, doses = Curves(), results.config["config"]["doses"]
    with style():
        start, high = LEGEND + 0.2, tall * len(rows)
        figure = Figure(figsize=(WIDTH, start + high + 0.45))
        places = panels_grid(figure, start, high, len(rows), len(columns), wspace=0.08, hspace=0.15)
        every = places.subplots(squeeze=False, sharex=True, sharey=True if limits else "row")
        for (row, column), said in grid.items():
            axes = every[rows.index(row), columns.index(column)]
            if limits:
                axes.set_ylim(*limits)
            if annotate:
                annotate(axes, curves, (row, column))
            for who in [who for who in (looks or SPEAKERS) if who in said]:
                curves.line(axes, (row, column), who, doses, said[who], **(looks or {}).get(who, {}))
        for axes in every.flat:
            axes.set_xscale("log", base=2)
        for axes, row in zip(every[:, 0], rows, strict=True):
            axes.set_ylabel(row)
        titles(every[0], columns)
        dose_axis(every[-1])
        curves.legend(figure, more=more)
        return save(results, {f"{results.study}-{name}": figure}, {f"{results.study}-{name}": curves.table})
