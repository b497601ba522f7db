"""A number read off the answers in one group of contexts, against dose: networks and theories by one measure.

    read(context, probs)   of the `asked` (c,) and `answers` (a,) of a group's contexts, and probabilities
                           (s, d, c, a), to (s, d): one number for every network and dose

Networks are the base's finetuned ones. Lines are means, bands (none for base networks) one standard error
over base networks, of the means over their finetuning seeds. Numpy and matplotlib only. Axes: b base
networks, s seeds, d doses, c contexts, a answers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.comparison import select
from experiments.figures.curves import Curves, draw_grid, spread
from experiments.scoring import rows as scoring
from experiments.scoring.labels import METHODS, panels
from experiments.scoring.predictions import NETWORK, told
from experiments.storage.run_folder import Arrays, Results

Read = Callable[[Arrays, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Reading:
    """What is read of one method on one D', by who says it, (b, s, d)."""

    method: str
    data: str
    bases: tuple[int, ...]
    doses: tuple[int, ...]
    values: dict[str, np.ndarray]

    def means(self) -> dict[str, np.ndarray]:
        """Means over finetuning seeds (b, d), by who says it."""
        return {who: each.mean(axis=1) for who, each in self.values.items()}

    def mean(self, who: str) -> np.ndarray:
        """The mean (d,)."""
        return spread(self.means()[who])[0]

    def error(self, who: str) -> np.ndarray:
        """Its standard error over base networks (d,); nan of one."""
        return spread(self.means()[who])[1]

    def share_above(self, threshold: float) -> np.ndarray:
        """The share (b, d) of each base's finetuned networks whose number is above a threshold."""
        return (self.values[NETWORK] > threshold).mean(axis=1)


def readings(results: Results, group: str, read: Read) -> list[Reading]:
    """What is read in a group, for every method and D' that has a finished cell."""
    table, found = scoring.table(results), []
    for panel in panels(scoring.scorecard(table)):
        rows = select(table, *panel, group)
        values: dict[str, list[np.ndarray]] = {}
        for context, said in told(results, rows):
            for who, each in said.items():
                values.setdefault(who, []).append(read(context, np.exp(each.astype(float))))
        if values:
            bases, doses = (tuple(sorted({row[name] for row in rows})) for name in ("base", "dose"))
            found.append(Reading(*panel, bases, doses, {who: np.array(each) for who, each in values.items()}))
    return found


def draw_readings(
    results: Results,
    wanted: Mapping[str, tuple[str, Read]],
    name: str,
    threshold: float | None = None,
    label: str = "",
) -> list[Path]:
    """Each wanted (group, read), by name, for every method (rows) and D' (columns), from 0 to 1. With a
    threshold, grey bars are the share of finetuned networks above it, in words the `label`."""
    found = {title: readings(results, *each) for title, each in wanted.items()}
    every = {
        (f"{METHODS.get(method, method)}\n{title}", one.data.replace("_", " ")): one
        for method in dict.fromkeys(one.method for each in found.values() for one in each)
        for title, each in found.items()
        for one in each
        if one.method == method
    }

    def bars(axes: Axes, curves: Curves, panel: tuple[str, str]) -> None:
        if threshold is not None:
            doses, share = np.array(every[panel].doses), every[panel].share_above(threshold)
            wide = doses * (1.3 - 1 / 1.3)
            axes.bar(doses / 1.3, share.mean(axis=0), wide, align="edge", color="0.85")
            curves.note(panel, label, every[panel].doses, share)

    more = {} if threshold is None else {label: {"color": "0.85", "lw": 5}}
    grid = {panel: one.means() for panel, one in every.items()}
    return draw_grid(results, name, grid, 1.15, annotate=bars, more=more)
