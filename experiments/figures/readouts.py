"""Readouts: a number computed from answers in one group of contexts, for networks and theories alike.

    read(contexts, probs)  from a group's contexts (questions (c,), answers (a,)) and probabilities
                           (s, d, c, a) to (s, d): a number for every network and dose

Networks are the base's finetuned ones. Lines are means, bands (none for base networks) intervals of 95 % by
base networks × D'. Numpy and matplotlib only. Axes: b base networks, s seeds, d doses, c contexts, a answers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.comparison import select
from experiments.figures.curves import Curves, draw_grid
from experiments.scoring.labels import METHODS, panels
from experiments.scoring.predictions import NETWORK, predictions
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.contents import Contexts
from experiments.storage.run_folder import RunFolder

Read = Callable[[Contexts, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Readout:
    """A readout of one method on one D': `values` (b, s, d) by network or theory."""

    method: str
    data: str
    bases: tuple[int, ...]
    doses: tuple[int, ...]
    values: dict[str, np.ndarray]

    def mean(self, name: str) -> np.ndarray:
        """The mean (d,)."""
        return self.values[name].mean(axis=(0, 1))

    def above(self, threshold: float) -> np.ndarray:
        """Whether the number of each finetuned network (b, s, d) is above a threshold: 1, or 0."""
        return (self.values[NETWORK] > threshold).astype(float)


def readings(run: RunFolder, group: str, read: Read) -> list[Readout]:
    """A readout in a group, for every method and D' that has a finished cell."""
    rows, result = table(run), []
    for panel in panels(scorecard(rows)):
        chosen = select(rows, *panel, group)
        values: dict[str, list[np.ndarray]] = {}
        for contexts, log_probs in predictions(run, chosen):
            for name, answers in log_probs.items():
                values.setdefault(name, []).append(read(contexts, np.exp(answers.astype(float))))
        if values:
            bases = tuple(sorted({row.base for row in chosen}))
            doses = tuple(sorted({row.dose for row in chosen}))
            result.append(Readout(*panel, bases, doses, {name: np.array(v) for name, v in values.items()}))
    return result


def draw_readings(
    run: RunFolder,
    wanted: Mapping[str, tuple[str, Read]],
    name: str,
    threshold: float | None = None,
    label: str = "",
) -> list[Path]:
    """Draw each wanted (group, read), by name, for every method (rows) and D' (columns), from 0 to 1. With a
    threshold, grey bars are the share of finetuned networks above it, in words the `label`."""
    by_title = {title: readings(run, *pair) for title, pair in wanted.items()}
    every = {
        (f"{METHODS.get(method, method)}\n{title}", reading.data.replace("_", " ")): reading
        for method in dict.fromkeys(reading.method for values in by_title.values() for reading in values)
        for title, values in by_title.items()
        for reading in values
        if reading.method == method
    }

    def bars(axes: Axes, curves: Curves, panel: tuple[str, str]) -> None:
        if threshold is not None:
            doses, above = np.array(every[panel].doses), every[panel].above(threshold)
            wide = doses * (1.3 - 1 / 1.3)
            axes.bar(doses / 1.3, above.mean(axis=(0, 1)), wide, align="edge", color="0.85")
            curves.note(panel, label, every[panel].doses, above)

    more = {} if threshold is None else {label: {"color": "0.85", "lw": 5}}
    grid = {panel: reading.values for panel, reading in every.items()}
    return draw_grid(run, name, grid, 1.15, annotate=bars, more=more)
