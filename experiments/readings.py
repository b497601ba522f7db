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
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import scoring
from experiments.beliefs import NAMES, SHOWN, _look
from experiments.results import Arrays, Results
from experiments.style import WIDTH, dose_axis, legend, panels_grid, save, style
from experiments.told import BASE, NETWORK, told
from experiments.words import METHODS, panels

Read = Callable[[Arrays, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Reading:
    """What is read of one method on one D', by who says it, (b, s, d)."""

    method: str
    data: str
    doses: tuple[int, ...]
    values: dict[str, np.ndarray]

    def mean(self, who: str) -> np.ndarray:
        """The mean (d,)."""
        return self.values[who].mean(axis=(0, 1))

    def error(self, who: str) -> np.ndarray:
        """Its standard error (d,); nan of one base network."""
        each = self.values[who].mean(axis=1)
        if len(each) < 2:
            return np.full(each.shape[1:], np.nan)
        return np.std(each, axis=0, ddof=1) / np.sqrt(len(each))

    def share_above(self, threshold: float) -> np.ndarray:
        """The share (d,) of finetuned networks whose number is above a threshold."""
        return (self.values[NETWORK] > threshold).mean(axis=(0, 1))


def readings(results: Results, group: str, read: Read) -> list[Reading]:
    """What is read in a group, for every method and D' that has a finished cell."""
    table, found = scoring.table(results), []
    for panel in panels(scoring.scorecard(table)):
        rows = [row for row in table if (row["method"], row["data"], row["group"]) == (*panel, group)]
        values: dict[str, list[np.ndarray]] = {}
        for context, said in told(results, rows):
            for who in (NETWORK, BASE, *SHOWN):
                if who in said:
                    values.setdefault(who, []).append(read(context, np.exp(said[who].astype(float))))
        if values:
            doses = tuple(sorted({row["dose"] for row in rows}))
            found.append(Reading(*panel, doses, {who: np.array(each) for who, each in values.items()}))
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
    every = [one for each in found.values() for one in each]
    if not every:
        return []
    methods, arms = (list(dict.fromkeys(getattr(one, of) for one in every)) for of in ("method", "data"))
    rows = [(method, title) for method in methods for title in found]
    with style():
        start, tall = 0.72, 1.15 * len(rows)
        figure = Figure(figsize=(WIDTH, start + tall + 0.4))
        grid = panels_grid(figure, start, tall, len(rows), len(arms), wspace=0.08, hspace=0.15)
        grid = grid.subplots(squeeze=False, sharex=True, sharey=True)
        for row, (method, title) in enumerate(rows):
            for one in found[title]:
                if one.method == method:
                    draw_reading(grid[row, arms.index(one.data)], one, threshold)
            grid[row, 0].set_ylabel(f"{METHODS.get(method, method)}\n{title}")
        for axes, data in zip(grid[0], arms, strict=True):
            axes.set_title(data.replace("_", " "))
        dose_axis(grid[-1])
        looks = {NAMES.get(who, who): _look(who) for who in speakers(every)}
        bars = {} if threshold is None else {label: {"color": "0.85", "lw": 5}}
        legend(figure, looks | bars, 4)
        return save(results, {f"{results.study}-{name}": figure})


def draw_reading(axes: Axes, one: Reading, threshold: float | None = None) -> None:
    """One panel: lines and bands against dose, and the share above the threshold as bars."""
    doses = np.array(one.doses)
    axes.set_xscale("log", base=2)
    axes.set_ylim(-0.03, 1.03)
    if threshold is not None:
        axes.bar(doses / 1.3, one.share_above(threshold), doses * (1.3 - 1 / 1.3), align="edge", color="0.85")
    for who in one.values:
        mean, error = one.mean(who), np.nan_to_num(one.error(who))
        axes.plot(doses, mean, **_look(who))
        if who == BASE:
            continue
        axes.fill_between(doses, mean - error, mean + error, color=_look(who)["color"], alpha=0.15, lw=0)


def speakers(every: list[Any]) -> list[str]:
    """Who says anything, in the order of the legend."""
    return [who for who in (NETWORK, BASE, *SHOWN) if any(who in one.values for one in every)]
