"""The figures of a comparison, from what is on disk. Numpy and matplotlib only, and no global state.

    figures/STUDY.png, .svg, .pdf           answers; explained shift, with what there is to explain; β
    figures/STUDY-groups.png, .svg, .pdf    the explained shift in each group of contexts

A theory keeps its colour and marker everywhere; a full line is fitted, a dashed one with open markers is a
forecast. Theories of a latent mixture are drawn with the prior that the base network holds where it is known
(the tables have both). The same folder gives the same bytes.
"""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from experiments.figures.style import (
    ABREAST,
    WIDTH,
    dose_axis,
    heading,
    legend,
    panels_grid,
    save,
    style,
    titles,
)
from experiments.scoring import rows as scoring
from experiments.scoring.labels import judged_groups, one_prior, panel_name, panels
from experiments.scoring.predictions import told
from experiments.storage.run_folder import Results
from theory.errors import Misuse

Line = dict[str, Any]

INKS = matplotlib.color_sequences["okabe_ito"]
LOOKS = {
    "linearised": (INKS[5], "o"),
    "proximal": (INKS[6], "s"),
    "tempered-posterior": (INKS[3], "^"),
    "exchangeable-mixture": (INKS[7], "D"),
    "geometric-path": (INKS[1], "v"),
    "linear-mixture": (INKS[2], "P"),
    "langevin-posterior": ("#882255", "X"),
    "adam-gibbs": ("#999933", "p"),
    "complexity-prior": ("#332288", "h"),
    "exchangeable-product": ("#a0522d", "<"),
    "exchangeable-tilted": ("#6a3d9a", ">"),
}
GRADES = {"fitted": {"ls": "-", "mew": 0.4}, "forecast": {"ls": "--", "mfc": "white", "mew": 0.8}}
DASHES: dict[str, Any] = {"ceiling": (0, (1, 1.3)), "seed_floor": (0, (6, 1.5, 1, 1.5))}
LEGEND = 0.62  # inches
BOTTOM, TOP = -0.6, 1.05  # of the explained shift
WEAK, STRONG = 3e-4, 20.0  # of the relative β
QUESTIONS, ANSWERS = 2, 12  # held-out questions whose answers are drawn, and at most so many answers
UPRIGHT, SMALL, LETTER = 4, 5.0, 0.042  # answers named upright; point size of more, and inches a letter then


def draw_comparison(results: Results) -> list[Path]:
    """Draw whatever is finished; returns the files written, the main figure's PNG first."""
    table = scoring.table(results)
    if not table:
        reasons = list(results.failures().values())
        why = f" ({len(reasons)} failed, the first: {reasons[0].rstrip('.')})" if reasons else ""
        raise Misuse(
            f"Nothing to draw in {results.folder}: no finetuned cell is finished together with its "
            f"theories{why}; let `finebayes run` finish one."
        )
    table = [row for row in table if row["grade"] != "law"]  # of every other dose: a table says it better
    lines = scoring.scorecard(table)
    with style():
        figures = {results.study: _main(results, table, lines), f"{results.study}-groups": _groups(lines)}
        return save(results, figures)


def _main(results: Results, table: list[Line], lines: list[Line]) -> Figure:
    every, group = panels(lines), judged_groups(lines)[0]
    methods, arms = list(dict.fromkeys(p[0] for p in every)), list(dict.fromkeys(p[1] for p in every))
    shown = next(panel for panel in every if panel[1] == arms[-1])
    same = select(table, *shown, group)
    told = _said_most(*_told(results, same))
    down = -(-len(every) // ABREAST)
    tall, taller, low = 0.85 * QUESTIONS, 2.35 * len(arms) - 0.4, 1.65 * down - 0.4
    starts = np.cumsum([LEGEND + 0.5, tall + 0.78 + _deep(told[2]), taller + 0.9])
    figure = Figure(figsize=(WIDTH, starts[-1] + low + 0.4))
    _legend(figure, lines)
    heading(figure, starts[0], "a", f"Answers in {group.replace('_', '-')} contexts: {panel_name(*shown)}")
    _answers(figure, starts[0], tall, *told, sorted({row["dose"] for row in same}))

    heading(
        figure,
        starts[1],
        "b",
        f"Explained part of the {group.replace('_', '-')} shift; below, the shift and its noise",
    )
    outer = panels_grid(figure, starts[1], taller, len(arms), len(methods), hspace=0.3, wspace=0.12)
    for name, data in every:
        row, column = arms.index(data), methods.index(name)
        above, below = outer[row, column].subgridspec(2, 1, height_ratios=[5, 1], hspace=0.1).subplots()
        same = select(lines, name, data, group)
        above.set_title(panel_name(name, data))
        _explained(above, same)
        _shift(below, same)
        above.tick_params(labelbottom=False)
        if column == 0:
            above.set_ylabel("explained")
            below.set_ylabel("shift\n(nats)")
        if row == len(arms) - 1:
            below.set_xlabel("dose (finetuning steps)")

    heading(figure, starts[2], "c", "Strength β relative to its last fitted value; grey: β ∝ dose")
    grid = panels_grid(figure, starts[2], low, down, min(len(every), ABREAST), wspace=0.08, hspace=0.55)
    grid = grid.subplots(squeeze=False, sharey=True)
    for axes in grid.flat[len(every) :]:
        axes.remove()
    for axes, (name, data) in zip(grid.flat, every, strict=False):
        axes.set_title(panel_name(name, data))
        axes.set_xlabel("dose (finetuning steps)")
        _strength(axes, select(lines, name, data, group))
    for axes in grid[:, 0]:
        axes.set_ylabel("relative β")
    return figure


def _groups(lines: list[Line]) -> Figure:
    every, groups = panels(lines), judged_groups(lines)
    tall = 1.55 * len(groups)
    figure = Figure(figsize=(WIDTH, LEGEND + 0.3 + tall + 0.4))
    _legend(figure, lines)
    grid = panels_grid(figure, LEGEND + 0.3, tall, len(groups), len(every), wspace=0.08, hspace=0.12)
    grid = grid.subplots(squeeze=False, sharex="col", sharey=True)
    for row, group in enumerate(groups):
        for axes, (name, data) in zip(grid[row], every, strict=True):
            _explained(axes, select(lines, name, data, group))
        grid[row, 0].set_ylabel(f"{group.replace('_', '-')}\nexplained")
    titles(grid[0], [panel_name(*panel) for panel in every])
    dose_axis(grid[-1])
    return figure


def _told(results: Results, rows: list[Line]) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """Probabilities (d, q, a) by name, mean over networks and contexts, the questions and the answers;
    `rows` are of one method, D' and group."""
    found: dict[str, list[np.ndarray]] = {}
    asked = answers = np.zeros(0, str)
    for context, said in told(results, rows):
        asked, answers = np.unique(context["asked"]), context["answers"]
        share = (context["asked"] == asked[:, None]) / 1.0
        share /= share.sum(axis=1, keepdims=True)
        for name, log_probs in said.items():
            found.setdefault(name, []).append(np.einsum("qc,sdca->sdqa", share, np.exp(log_probs)))
    shown = {name: np.concatenate(parts).mean(axis=0) for name, parts in found.items()}
    return shown, asked.tolist(), answers.tolist()


def _said_most(
    shares: dict[str, np.ndarray], asked: list[str], answers: list[str]
) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """The questions that moved most and, of many answers, those that are said most there."""
    moved = np.abs(shares["finetuned"] - shares["base"])[-1].sum(axis=-1)
    topics = sorted(np.argsort(-moved, kind="stable")[:QUESTIONS])
    shares = {name: each[:, topics] for name, each in shares.items()}
    said = np.max([shares[name].max(axis=(0, 1)) for name in ("finetuned", "base")], axis=0)
    kept = np.sort(np.argsort(-said, kind="stable")[:ANSWERS])
    shares = {name: each[..., kept] for name, each in shares.items()}
    return shares, [asked[topic] for topic in topics], [answers[place] for place in kept]


def _deep(answers: list[str]) -> float:
    """Inches that the names of answers need below their axis, beyond one line."""
    return LETTER * max(map(len, answers)) if len(answers) > UPRIGHT else 0.0


def _answers(
    figure: Figure,
    start: float,
    tall: float,
    shares: dict[str, np.ndarray],
    asked: list[str],
    answers: list[str],
    doses: list[int],
) -> None:
    """Finetuned answers as bars, the base network as a line across, each theory as a marker."""
    chosen = sorted(set(np.linspace(0, len(doses) - 1, 4).round().astype(int)[-3:]))
    names = sorted(set(shares) - {"finetuned", "base"}, key=_order)
    grid = panels_grid(figure, start, tall, len(asked), len(chosen), wspace=0.05, hspace=0.12)
    grid = grid.subplots(squeeze=False, sharex=True, sharey=True)
    places = np.arange(len(answers))
    for row, question in enumerate(asked):
        for axes, dose in zip(grid[row], chosen, strict=True):
            axes.bar(places, shares["finetuned"][dose, row], 0.9, color="0.87")
            axes.hlines(shares["base"][dose, row], places - 0.45, places + 0.45, color="black", lw=1)
            for index, name in enumerate(names):
                offset = 0.76 * ((index + 0.5) / len(names) - 0.5)
                colour, marker = LOOKS.get(name, ("black", "*"))
                axes.plot(places + offset, shares[name][dose, row], marker, ms=3, color=colour, mew=0)
        grid[row, 0].set_ylabel(f"{question}\nprobability")
    many = len(answers) > UPRIGHT
    for column, dose in enumerate(chosen):
        grid[0, column].set_title(f"dose {doses[dose]}")
        grid[-1, column].set_xticks(places, answers, rotation=90 * many, fontsize=SMALL if many else None)


def _explained(axes: Axes, lines: list[Line]) -> None:
    """The explained shift against dose; a value below the axis leaves a triangle under its dose."""
    doses = dose_ticks(axes, lines)
    axes.set_ylim(BOTTOM, TOP)
    if not lines:
        return
    axes.axhline(0, color="0.45", lw=0.6)
    one = [next(line for line in lines if line["dose"] == dose) for dose in doses]
    mixtures = [line for line in lines if line["theory"] in scoring.MIXTURES]
    best = [[line["ceiling"] for line in mixtures if line["dose"] == dose] for dose in doses]
    ceiling = np.array([max((c for c in at if c is not None), default=np.nan) for at in best])
    axes.fill_between(doses, at_doses(one, "floor", doses), TOP, color="0.8", lw=0, zorder=0)
    drawn: list[tuple[np.ndarray, Any]] = [(at_doses(one, "seed_floor", doses), "0.45"), (ceiling, "black")]
    for (values, colour), name in zip(drawn, ("seed_floor", "ceiling"), strict=True):
        axes.plot(doses, values, color=colour, ls=DASHES[name], lw=0.9)
    for theory, grade, same in _series(lines):
        colour, marker = LOOKS.get(theory, ("black", "*"))
        values, error = (
            at_doses(same, "explained", doses),
            np.nan_to_num(at_doses(same, "standard_error", doses)),
        )
        axes.fill_between(doses, values - error, values + error, color=colour, alpha=0.2, lw=0)
        axes.plot(doses, values, color=colour, marker=marker, **GRADES[grade])
        drawn.append((values, colour))
    off_scale(axes, doses, drawn, BOTTOM, "v")
    edges = np.sqrt(np.array([doses[0] / 1.96, *doses]) * np.array([*doses, doses[-1] * 1.96]))
    for index in [index for index, line in enumerate(one) if line["floor"] is None]:
        axes.axvspan(*edges[index : index + 2], fc="white", ec="0.75", hatch="/////", lw=0, zorder=3)
        note = {"rotation": 90, "ha": "center", "va": "center", "color": "0.3", "zorder": 4}
        axes.text(doses[index], 0.2, "undefined", bbox={"fc": "white", "ec": "none", "pad": 1}, **note)


def off_scale(
    axes: Axes, doses: list[int], drawn: list[tuple[np.ndarray, Any]], edge: float, way: str
) -> None:
    """Triangles on an edge of the axis, side by side, for what lies beyond it."""
    gap = axes.get_position().width * WIDTH / len(doses) if doses else 0
    for index, dose in enumerate(doses):
        values = [(values[index], colour) for values, colour in drawn]
        beyond = [colour for value, colour in values if (value < edge if way == "v" else value > edge)]
        for place, colour in enumerate(beyond):
            aside = min(0.034, gap / (len(beyond) + 0.5)) * (place - (len(beyond) - 1) / 2)
            push = ScaledTranslation(aside, 0.03 if way == "v" else -0.03, axes.figure.dpi_scale_trans)
            looks = {"ms": 2.6, "mew": 0, "color": colour, "clip_on": False, "zorder": 5}
            axes.plot([dose], [edge], way, transform=axes.transData + push, **looks)


def _shift(axes: Axes, lines: list[Line]) -> None:
    """What there is to explain (black), and what another order of the data would make of it (grey)."""
    doses = dose_ticks(axes, lines)
    one = [next(line for line in lines if line["dose"] == dose) for dose in doses]
    shift, floor = at_doses(one, "shift", doses), at_doses(one, "floor", doses)
    axes.plot(doses, shift, ".-", color="black", ms=3)
    axes.plot(doses, (1 - floor) * shift, ".-", color="0.65", ms=3)
    if (shift > 0).any():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(numticks=3))
        axes.yaxis.set_minor_locator(ticker.NullLocator())


def _strength(axes: Axes, lines: list[Line]) -> None:
    """β against dose in units of the theory's last fitted β."""
    doses = dose_ticks(axes, lines)
    axes.set_yscale("log")
    axes.set_ylim(WEAK, STRONG)
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.plot(doses, np.array(doses) / max(doses, default=1), color="0.87", lw=3.5, zorder=0)
    drawn: list[tuple[np.ndarray, Any]] = []
    scale: dict[str, float] = {}
    for theory, grade, same in _series(lines):  # fitted ones come first
        betas, (colour, marker) = at_doses(same, "beta", doses), LOOKS.get(theory, ("black", "*"))
        last = scale.setdefault(theory, betas[-1] if grade == "fitted" else np.nan)
        if last > 0:
            values = betas / last
            axes.plot(doses, np.maximum(values, 1e-9), color=colour, marker=marker, **GRADES[grade])
            drawn.append((values, colour))
    off_scale(axes, doses, drawn, WEAK, "v")
    off_scale(axes, doses, drawn, STRONG, "^")


def _legend(figure: Figure, lines: list[Line]) -> None:
    names = sorted({theory for theory, _, _ in _series(lines)}, key=_order)
    looks: dict[str, dict[str, Any]] = {
        **{
            name.replace("-", " "): dict(
                zip(("color", "marker"), LOOKS.get(name, ("black", "*")), strict=True)
            )
            for name in names
        },
        "β fitted in-domain": {"color": "0.45", "marker": "o", **GRADES["fitted"]},
        "forecast": {"color": "0.45", "marker": "o", **GRADES["forecast"]},
        "best mixture of hypotheses": {"color": "black", "ls": DASHES["ceiling"], "lw": 0.9},
        "another pretraining seed": {"color": "0.45", "ls": DASHES["seed_floor"], "lw": 0.9},
        "noise: another order of D′": {"color": "0.8", "lw": 5},
        "off the scale": {"color": "0.45", "marker": "v", "ls": "", "ms": 2.6, "mew": 0},
        "finetuned network": {"color": "0.87", "lw": 5},
        "base network": {"color": "black", "lw": 1},
    }
    legend(figure, looks, 5)


def dose_ticks(axes: Axes, lines: list[Line]) -> list[int]:
    """The doses of some lines, and a logarithmic axis that names as many of them as there is room for."""
    doses = sorted({line["dose"] for line in lines})
    if doses:
        every = -(-len(doses) // int(axes.get_position().width * WIDTH / 0.27))
        names = [str(dose) if (len(doses) - 1 - i) % every == 0 else "" for i, dose in enumerate(doses)]
        axes.set_xscale("log")
        axes.set_xlim(doses[0] / 1.4, doses[-1] * 1.4)
        axes.set_xticks(doses, names)
        axes.minorticks_off()
    return doses


def select(lines: list[Line], method: str, data: str, group: str) -> list[Line]:
    """The lines of one panel."""
    wanted = (method, data, group)
    return [line for line in lines if (line["method"], line["data"], line["group"]) == wanted]


def _series(lines: list[Line]) -> list[tuple[str, str, list[Line]]]:
    """(theory, grade, its lines by dose), one prior for each theory and forecasts last."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in sorted(one_prior(lines), key=lambda line: line["dose"]):
        found.setdefault((line["theory"], line["grade"]), []).append(line)
    order = sorted(found, key=lambda name: (name[1] == "forecast", _order(name[0])))
    return [(*name, found[name]) for name in order]


def at_doses(lines: list[Line], key: str, doses: list[int]) -> np.ndarray:
    """A column at every dose; nan where it is undefined, or where nothing was told of a dose."""
    found = {line["dose"]: line[key] for line in lines if line[key] is not None}
    return np.array([found.get(dose, np.nan) for dose in doses], float)


def _order(theory: str) -> tuple[int, str]:
    return (list(LOOKS).index(theory) if theory in LOOKS else len(LOOKS), theory)
