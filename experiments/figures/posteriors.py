"""The figure of the sampled posteriors: what each temperature explains, and how well its chains are.

    figures/STUDY-posteriors.png, .svg, .pdf     explained shift by temperature; health of the chains

Numpy and matplotlib only; nothing is drawn where nothing was sampled.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures import comparison as plots
from experiments.figures.style import WIDTH, heading, legend, panels_grid, save, style
from experiments.scoring import rows as scoring
from experiments.scoring.labels import judged_groups, panel_name, panels, temperature
from experiments.storage.run_folder import Results

Line = dict[str, Any]
SAMPLED = ("langevin-posterior", "adam-gibbs")
MARKERS = "Xosv^D"
LIMITS = {
    3: (None, 0.5),
    0: (1.1, None),
    4: (0.1, None),
}  # what the gate of experiments.cells.posteriors asks
HEALTH = {  # column of the health arrays: title, worst, axis, limit (mcmc.diagnostics.Thresholds)
    3: ("acceptance", np.min, "linear"),
    0: ("R-hat", np.max, "linear"),
    4: ("change with half the step", np.max, "log"),
}


def draw_posteriors(results: Results) -> list[Path]:
    """Draw the sampled posteriors of whatever is finished; returns the files written."""
    table = scoring.table(results)
    lines = [line for line in scoring.scorecard(table) if line["grade"] == "fitted"]
    chains = _chains(results)
    if not chains or not any(line["theory"] in SAMPLED for line in lines):
        return []
    with style():
        return save(results, {f"{results.study}-posteriors": _figure(lines, chains)})


def _figure(lines: list[Line], chains: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    every, group = panels(lines), judged_groups(lines)[0]
    methods, arms = list(dict.fromkeys(p[0] for p in every)), list(dict.fromkeys(p[1] for p in every))
    tall, low, legend = 1.75 * len(arms), 1.3, 0.5
    starts = np.cumsum([legend + 0.45, tall + 0.95])
    figure = Figure(figsize=(WIDTH, starts[-1] + low + 0.45))
    looks = _looks(lines)
    _legend(figure, looks)
    title = f"Explained part of the {group.replace('_', '-')} shift, by temperature T"
    heading(figure, starts[0], "a", title)
    grid = panels_grid(figure, starts[0], tall, len(arms), len(methods), hspace=0.35, wspace=0.12)
    grid = grid.subplots(squeeze=False, sharex=True, sharey=True)
    for name, data in every:
        axes = grid[arms.index(data), methods.index(name)]
        axes.set_title(panel_name(name, data))
        _explained(axes, plots.select(lines, name, data, group), looks)
    for axes in grid[:, 0]:
        axes.set_ylabel("explained")
    for axes in grid[-1]:
        axes.set_xlabel("dose (finetuning steps)")
    heading(figure, starts[1], "b", "Health of the chains against their strength; grey: beyond the gate")
    grid = panels_grid(figure, starts[1], low, 1, len(HEALTH), wspace=0.32).subplots(squeeze=False)[0]
    for axes, (column, (what, worst, scale)) in zip(grid, HEALTH.items(), strict=True):
        _health(axes, chains, column, worst, looks, least=1e-4 if scale == "log" else -np.inf)
        axes.set_title(what)
        axes.set_yscale(scale)
        _beyond(axes, *LIMITS[column])
        axes.set_xlabel("τ = βN/γ")
    return figure


def _looks(lines: list[Line]) -> dict[tuple[str, str], dict[str, Any]]:
    """Colour by theory, marker by temperature; the zero-temperature limit thin."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    names = {(line["theory"], line["prior"]) for line in lines if line["theory"] in SAMPLED}
    for theory in SAMPLED:
        for index, prior in enumerate(sorted((p for t, p in names if t == theory), key=temperature)):
            colour, fade = plots.LOOKS[theory][0], 0.4 ** (index / max(len(names) - 1, 1))
            found[theory, prior] = {"color": colour, "alpha": fade, "marker": MARKERS[index % len(MARKERS)]}
    colour, marker = plots.LOOKS["proximal"]
    found["proximal", "network"] = {"color": colour, "marker": marker, "lw": 0.7, "ms": 2.4}
    return found


def _explained(axes: Axes, lines: list[Line], looks: dict[tuple[str, str], dict[str, Any]]) -> None:
    doses = plots.dose_ticks(axes, lines)
    axes.set_ylim(plots.BOTTOM, plots.TOP)
    axes.axhline(0, color="0.45", lw=0.6)
    if not doses:
        return
    drawn: list[tuple[np.ndarray, Any]] = []
    for (theory, prior), look in looks.items():
        same = [line for line in lines if (line["theory"], line["prior"]) == (theory, prior)]
        if not same:
            continue
        values = plots.at_doses(same, "explained", doses)
        error = np.nan_to_num(plots.at_doses(same, "standard_error", doses))
        axes.plot(doses, values, **look)
        axes.fill_between(doses, values - error, values + error, color=look["color"], alpha=0.15, lw=0)
        lost = plots.at_doses([{"trusted": None} | line for line in same], "trusted", doses) < 1
        axes.plot(
            np.array(doses)[lost], values[lost], "o", ms=6.5, mfc="none", mec="#c00000", mew=0.9, zorder=4
        )
        drawn.append((values, look["color"]))
    plots.off_scale(axes, doses, drawn, plots.BOTTOM, "v")


def _health(axes: Axes, chains: Any, column: int, worst: Any, looks: Any, least: float) -> None:
    """Median and worst over networks (drawn at `least` where below it) against τ."""
    drawn = []
    for name, (times, values) in chains.items():
        theory, prior = name.split("/")
        look, moved = looks.get((theory, prior)), times > 0
        if look is None or not moved.any():
            continue
        told = np.maximum(values[:, moved, column], least)
        middle, edge = np.median(told, axis=0), worst(told, axis=0)
        axes.plot(times[moved], middle, **look)
        axes.fill_between(times[moved], middle, edge, color=look["color"], alpha=0.15, lw=0)
        drawn += [*times[moved]]
    axes.set_xscale("log")
    if drawn:
        axes.set_xlim(min(drawn) / 1.4, max(drawn) * 1.4)
    if not np.isfinite(axes.dataLim.intervaly).all():  # too few draws to tell, or all are lost
        axes.set_ylim(0.01, 1)


def _beyond(axes: Axes, above: float | None, below: float | None) -> None:
    """Grey where the gate shuts."""
    low, high = axes.get_ylim()
    if above is not None:
        axes.axhspan(above, max(high, 1.15 * above), color="0.9", lw=0, zorder=0)
        axes.set_ylim(low, max(high, 1.15 * above))
    if below is not None:
        axes.axhspan(min(low, 0.85 * below), below, color="0.9", lw=0, zorder=0)
        axes.set_ylim(min(low, 0.85 * below), high)


def _chains(results: Results) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(τ (b,), health (networks, b, columns)) by theory/T."""
    found: dict[str, list[np.ndarray]] = {}
    times = {}
    for cell in results.cells():
        if cell.startswith("langevin-"):
            arrays = results.load(cell)
            for key in sorted(key for key in arrays if key.startswith("health/")):
                name = key.removeprefix("health/")
                found.setdefault(name, []).append(arrays[key])
                times[name] = arrays[f"times/{name}"]
    return {name: (times[name], np.concatenate(parts)) for name, parts in found.items()}


def _legend(figure: Figure, looks: dict[tuple[str, str], dict[str, Any]]) -> None:
    told = {("proximal", "network"): "proximal (T → 0)"}
    named = {
        key: told.get(key, f"{key[0].replace('-', ' ')}, {key[1].replace('=', ' = ')} nats") for key in looks
    }
    ring = {"marker": "o", "ls": "", "ms": 6, "mfc": "none", "mec": "#c00000"}
    legend(figure, {named[key]: look for key, look in looks.items()} | {"some chains miss the gate": ring}, 3)
