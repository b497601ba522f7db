"""The figure of the sampled posteriors: the shift that each temperature explains, and chain diagnostics.

    figures/STUDY-posteriors.png, .svg, .pdf     explained shift by temperature; diagnostics of the chains

Numpy and matplotlib only; nothing is drawn where nothing was sampled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.dose_panels import (
    BOTTOM,
    TOP,
    at_doses,
    dose_ticks,
    explained_axis,
    intervals,
    off_scale,
    select,
)
from experiments.figures.looks import rank
from experiments.figures.style import (
    WIDTH,
    Look,
    heading,
    legend,
    look,
    marker_line,
    panels_grid,
    save,
    style,
)
from experiments.scoring.labels import judged_groups, panel_name, panels, temperature
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.scoring.thresholds import AT_LEAST, COLUMNS, LIMITS
from experiments.storage.records import ScoreLine
from experiments.storage.run_folder import RunFolder

MARKERS = "Xosv^D"
RED = "#c00000"
Chains = dict[str, tuple[np.ndarray, np.ndarray]]  # τ (b,), diagnostics (networks, b, columns) by theory/T
Looks = dict[tuple[str, str], Look]  # by theory and prior


@dataclass(frozen=True)
class Shown:
    """A diagnostic that is drawn: its column, title, the worst of several values, and the axis."""

    column: str
    title: str
    worst: Callable[..., np.ndarray]
    scale: str


SHOWN = (
    Shown("acceptance", "acceptance", np.min, "linear"),
    Shown("rhat", "R-hat", np.max, "linear"),
    Shown("halved_step", "change with half the step", np.max, "log"),
)


def draw_posteriors(run: RunFolder) -> list[Path]:
    """Draw the sampled posteriors of whatever is finished; returns the files written."""
    lines = [line for line in scorecard(table(run)) if line.grade == "fitted"]
    chains = _chains(run)
    if not any(f"{line.theory}/{line.prior}" in chains for line in lines):
        return []
    with style():
        return save(run, {f"{run.study}-posteriors": _figure(lines, chains)})


def _figure(lines: list[ScoreLine], chains: Chains) -> Figure:
    every, group = panels(lines), judged_groups(lines)[0]
    methods, arms = list(dict.fromkeys(p[0] for p in every)), list(dict.fromkeys(p[1] for p in every))
    tall, low, top = 1.75 * len(arms), 1.3, 0.5
    starts = np.cumsum([top + 0.45, tall + 0.95])
    figure = Figure(figsize=(WIDTH, starts[-1] + low + 0.45))
    looks = _looks(lines, chains)
    _legend(figure, looks)
    title = f"Explained part of the {group.replace('_', '-')} shift, by temperature T"
    heading(figure, starts[0], "a", title)
    grid = panels_grid(figure, starts[0], tall, len(arms), len(methods), hspace=0.35, wspace=0.12)
    grid = grid.subplots(squeeze=False, sharex=True, sharey=True)
    for name, data in every:
        axes = grid[arms.index(data), methods.index(name)]
        axes.set_title(panel_name(name, data))
        _explained(axes, select(lines, name, data, group), looks)
    for axes in grid[:, 0]:
        axes.set_ylabel("explained")
    for axes in grid[-1]:
        axes.set_xlabel("dose (finetuning steps)")
    heading(figure, starts[1], "b", "Diagnostics of the chains against their strength; grey: not converged")
    grid = panels_grid(figure, starts[1], low, 1, len(SHOWN), wspace=0.32).subplots(squeeze=False)[0]
    for axes, shown in zip(grid, SHOWN, strict=True):
        _diagnostics(axes, chains, shown, looks, least=1e-4 if shown.scale == "log" else -np.inf)
        axes.set_title(shown.title)
        axes.set_yscale(shown.scale)
        _shade(axes, LIMITS[shown.column], below=shown.column in AT_LEAST)
        axes.set_xlabel("τ = βN/γ")
    return figure


def _looks(lines: list[ScoreLine], chains: Chains) -> Looks:
    """Colour by theory, marker by temperature; the zero-temperature limit thin."""
    looks: Looks = {}
    names = {(line.theory, line.prior) for line in lines if f"{line.theory}/{line.prior}" in chains}
    for theory in sorted({theory for theory, _ in names}, key=rank):
        for index, prior in enumerate(sorted((p for t, p in names if t == theory), key=temperature)):
            colour, fade = look(theory)[0], 0.4 ** (index / max(len(names) - 1, 1))
            looks[theory, prior] = {"color": colour, "alpha": fade, "marker": MARKERS[index % len(MARKERS)]}
    looks["proximal", "network"] = {**marker_line("proximal"), "lw": 0.7, "ms": 2.4}
    return looks


def _explained(axes: Axes, lines: list[ScoreLine], looks: Looks) -> None:
    doses = dose_ticks(axes, lines)
    explained_axis(axes)
    if not doses:
        return
    drawn: list[tuple[np.ndarray, str]] = []
    for (theory, prior), line in looks.items():
        curve = [entry for entry in lines if (entry.theory, entry.prior) == (theory, prior)]
        if not curve:
            continue
        values = at_doses(curve, "explained", doses)
        axes.plot(doses, np.minimum(values, TOP), **line)
        axes.fill_between(doses, *intervals(curve, doses), color=line["color"], alpha=0.15, lw=0)
        lost = at_doses(curve, "converged", doses) < 1
        axes.plot(np.array(doses)[lost], values[lost], "o", ms=6.5, mfc="none", mec=RED, mew=0.9, zorder=4)
        drawn.append((values, line["color"]))
    off_scale(axes, doses, drawn, BOTTOM, "v")


def _diagnostics(axes: Axes, chains: Chains, shown: Shown, looks: Looks, least: float) -> None:
    """Draw median and worst over networks (at `least` where below it) against τ."""
    drawn = []
    for name, (times, values) in chains.items():
        theory, prior = name.split("/")
        line, moved = looks.get((theory, prior)), times > 0
        if line is None or not moved.any():
            continue
        numbers = np.maximum(values[:, moved, COLUMNS.index(shown.column)], least)
        middle, edge = np.median(numbers, axis=0), shown.worst(numbers, axis=0)
        axes.plot(times[moved], middle, **line)
        axes.fill_between(times[moved], middle, edge, color=line["color"], alpha=0.15, lw=0)
        drawn += [*times[moved]]
    axes.set_xscale("log")
    if drawn:
        axes.set_xlim(min(drawn) / 1.4, max(drawn) * 1.4)
    if not np.isfinite(axes.dataLim.intervaly).all():  # too few samples, or all chains have diverged
        axes.set_ylim(0.01, 1)


def _shade(axes: Axes, limit: float, below: bool) -> None:
    """Shade the side of a limit on which chains have not converged."""
    low, high = axes.get_ylim()
    if below:
        low = min(low, 0.85 * limit)
        axes.axhspan(low, limit, color="0.9", lw=0, zorder=0)
    else:
        high = max(high, 1.15 * limit)
        axes.axhspan(limit, high, color="0.9", lw=0, zorder=0)
    axes.set_ylim(low, high)


def _chains(run: RunFolder) -> Chains:
    """Strengths and diagnostics of everything that was sampled."""
    parts: dict[str, list[np.ndarray]] = {}
    times = {}
    for cell in run.cells(kind="posteriors"):
        posteriors = run.posteriors(cell)
        for ladder in posteriors.ladders if posteriors else ():
            if ladder.diagnostics is not None:
                parts.setdefault(ladder.name, []).append(ladder.diagnostics)
                times[ladder.name] = ladder.times
    return {name: (times[name], np.concatenate(arrays)) for name, arrays in parts.items()}


def _legend(figure: Figure, looks: Looks) -> None:
    names = {key: f"{key[0].replace('-', ' ')}, {key[1].replace('=', ' = ')} nats" for key in looks} | {
        ("proximal", "network"): "proximal (T → 0)"
    }
    ring = {"marker": "o", "ls": "", "ms": 6, "mfc": "none", "mec": RED}
    legend(figure, {names[key]: line for key, line in looks.items()} | {"some chains not converged": ring}, 3)
