"""The figures of a comparison, from what is on disk. Numpy and matplotlib only, and no global state.

    figures/STUDY.png, .svg, .pdf           answers; explained shift, with what there is to explain, and on
                                            conflict contexts, where there are any; β
    figures/STUDY-groups.png, .svg, .pdf    the explained shift in each group of contexts
    figures/STUDY-summary.png, .svg, .pdf   the explained shift in the judged group alone, for the report; the
                                            PNG is there early in a long run, with a note on what it lacks
    figures/STUDY-swap.png, ..., .csv       the shares of state and read-out (experiments.figures.swap)

A theory keeps its colour and marker everywhere; a full line is fitted, a dashed one with open markers is a
forecast. STUDY and STUDY-summary have the first theory of each kind, and the best, in full, the others pale
(experiments.figures.leading). Theories of a latent mixture are drawn with the prior implied by the base
network where it is known (the tables have both). The same folder gives the same bytes.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.answers import AIM, ANSWERING, QUESTIONS, depth, draw_answers, largest, probabilities
from experiments.figures.dose_panels import (
    BEYOND,
    DASHES,
    GRADES,
    OTHER_BASE,
    REFERENCES,
    at_doses,
    dose_ticks,
    draw_explained,
    mixture_theories,
    off_scale,
    pale,
    select,
    series,
)
from experiments.figures.drawing_process import early_path
from experiments.figures.leading import Curve, Ends, leading, names_at_ends, sign, theories
from experiments.figures.looks import INKS as INKS
from experiments.figures.looks import rank
from experiments.figures.style import (
    ABREAST,
    WIDTH,
    Drawing,
    Look,
    dose_axis,
    heading,
    legend,
    marker_line,
    panel_figure,
    panels_grid,
    save,
    save_figure,
    style,
    titles,
    without_formulas,
)
from experiments.figures.summary import draw_summary
from experiments.figures.swap import swap_figure
from experiments.scoring.labels import judged_groups, of_panel, panel_name, panels
from experiments.scoring.rows import rows as rows_of
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.scoring.target import Target
from experiments.storage.records import Row, ScoreLine
from experiments.storage.run import Run
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

CONFLICT = "conflict"  # contexts that speak of another hypothesis than D': mixtures differ most there
LEGEND, NAMES = 0.62, 1.45  # inches of the legend, and right of panels for the names of curves
GREY: Look = {"color": "0.45", "marker": "o"}
NOISE: Look = {"color": "0.65", "marker": ".", "ms": 3}
PREDICTED: Look = {"color": "#b3001b", "marker": "x", "ms": 3, "mew": 0.7, "ls": ":", "lw": 0.9}
WEAK, STRONG = 3e-4, 20.0  # of the relative β


def draw_comparison(run: RunFolder, target: Target | None = None) -> list[Path]:
    """Draw whatever is finished, with the answers of a study's `target`; returns the files, the PNG first."""
    rows = table(run)
    if not rows:
        reasons = list(run.failures().values())
        why = f" ({len(reasons)} failed, the first: {reasons[0].rstrip('.')})" if reasons else ""
        raise Misuse(
            f"Nothing to draw in {run.folder}: no finetuned cell is finished together with its "
            f"theories{why}; let `finebayes run` finish one."
        )
    # laws are of every other dose: a table shows them better
    lines, mixtures = [line for line in scorecard(rows) if line.grade != "law"], mixture_theories(run)
    with style():
        figures = {
            run.study: partial(_main, run, rows, lines, mixtures, target),
            f"{run.study}-groups": partial(_groups, lines, mixtures),
            f"{run.study}-summary": partial(draw_summary, lines, mixtures),
        }
        shares, tables = swap_figure(run.study, lines)
        return save(run, figures | shares, tables)


def draw_early(run: RunFolder, note: str) -> Path:
    """Draw the summary figure of what is finished, with a note on what it lacks, in PNG alone; the path."""
    lines, path = [line for line in scorecard(rows_of(run)) if line.grade != "law"], early_path(run)
    if not lines:
        raise Misuse("nothing is scored yet")
    with style():
        figure = draw_summary(lines, mixture_theories(run))
        margin = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 7, "fontweight": "bold"}
        figure.text(0.999, 0.45, note, color="#c00000", **margin)
        save_figure(path, figure)
    return path


def main_figure(run: Run) -> Figure:
    """The main figure, for a notebook."""
    rows = table(run)
    lines = [line for line in scorecard(rows) if line.grade != "law"]
    with style():
        return without_formulas(_main(run, rows, lines, mixture_theories(run)))


def explained_figure(run: Run, lines: list[ScoreLine]) -> Figure:
    """The explained shift against dose in the judged group, for a notebook."""
    with style():
        lines = [line for line in lines if line.grade != "law"]
        return without_formulas(draw_summary(lines, mixture_theories(run)))


def _main(
    run: Run,
    rows: Iterable[Row],
    lines: list[ScoreLine],
    mixtures: frozenset[str],
    target: Target | None = None,
) -> Figure:
    every, group = panels(lines), judged_groups(lines)[0]
    full = leading([line for line in lines if line.group == group])
    arms = list(dict.fromkeys(p[1] for p in every))
    shown = next(panel for panel in every if panel[1] == arms[-1])
    chosen = select(rows, *shown, group)
    answers = largest(*probabilities(run, chosen, target, theories(full)))
    down = -(-len(every) // ABREAST)
    shown_groups = [group, *[CONFLICT] * (CONFLICT in judged_groups(lines) and group != CONFLICT)]
    tall, taller, low = 0.85 * QUESTIONS, 2.35 * len(arms) - 0.4, (1.65 * down - 0.4) * _is_fitted(lines)
    heights = [0.45, tall + 0.78 + depth(answers[2]), *[taller + 0.9] * len(shown_groups)]
    starts = np.cumsum(heights)
    figure = Drawing(figsize=(WIDTH, starts[-1] + low + 0.4 * _is_fitted(lines)))
    in_words = f"Answers in {_word(group)} contexts: {panel_name(*shown)}"
    heading(figure, starts[0], "a", in_words, ANSWERING | ({target.name: AIM} if target else {}))
    draw_answers(figure, starts[0], tall, answers, sorted({row.dose for row in chosen}))
    for start, letter, name in zip(starts[1:], "bc", shown_groups, strict=False):
        inside = [line for line in lines if line.group == name]
        text = f"Explained part of the {_word(name)} shift; below, the shift and its noise"
        heading(figure, start, letter, text, _marks(inside, full))
        _explained(figure, start, taller, inside, mixtures, full)

    if _is_fitted(lines):
        letter = "bcd"[len(shown_groups)]
        heading(figure, starts[-1], letter, "Strength β relative to its last fitted value; grey: β ∝ dose")
        across = min(len(every), ABREAST)
        grid = panels_grid(figure, starts[-1], low, down, across, right=NAMES, wspace=0.08, hspace=0.55)
        grid = grid.subplots(squeeze=False, sharey=True)
        for axes in grid.flat[len(every) :]:
            axes.remove()
        for axes, (name, data) in zip(grid.flat, every, strict=False):
            axes.set_title(panel_name(name, data))
            axes.set_xlabel("dose (finetuning steps)")
            ends = _strength(axes, select(lines, name, data, group), full)
            if axes in grid[:, -1] or (name, data) == every[-1]:
                names_at_ends(axes, ends)
        for axes in grid[:, 0]:
            axes.set_ylabel("relative β")
    return figure


def _is_fitted(lines: list[ScoreLine]) -> bool:
    """Whether any theory that is drawn has a fitted β."""
    return any(grade == "fitted" for _, grade, _ in series(lines))


def _explained(
    figure: Figure,
    start: float,
    tall: float,
    lines: list[ScoreLine],
    mixtures: frozenset[str],
    full: frozenset[Curve],
) -> None:
    """Draw the scores of one group, a row for each D' and a column for each method; names are right of it."""
    every = panels(lines)
    methods, arms = list(dict.fromkeys(p[0] for p in every)), list(dict.fromkeys(p[1] for p in every))
    shape = len(arms), len(methods)
    outer = panels_grid(figure, start, tall, *shape, right=NAMES, hspace=0.3, wspace=0.2)
    for name, data in every:
        row, column = arms.index(data), methods.index(name)
        above, below = (
            outer[row, column]
            .subgridspec(2, 1, height_ratios=[5, 1], hspace=0.1)
            .subplots(squeeze=False)[:, 0]
        )
        inside = of_panel(lines, (name, data))
        above.set_title(panel_name(name, data))
        ends = draw_explained(above, inside, mixtures, full)
        _shift(below, inside)
        if (name, data) == [panel for panel in every if panel[1] == data][-1]:
            names_at_ends(above, ends)
        above.tick_params(labelbottom=False, labelleft=column == 0)
        if column == 0:
            above.set_ylabel("explained")
            below.set_ylabel("shift\n(nats)")
        if row == len(arms) - 1:
            below.set_xlabel("dose (finetuning steps)")


def _word(group: str) -> str:
    return group.replace("_", "-")


def _groups(lines: list[ScoreLine], mixtures: frozenset[str]) -> Figure:
    every, groups = panels(lines), judged_groups(lines)
    tall = 1.55 * len(groups)
    shape = len(groups), len(every)
    figure, grid = panel_figure(LEGEND + 0.3, tall, *shape, below=0.4, wspace=0.08, hspace=0.12, sharex="col")
    _legend(figure, lines)
    for row, group in enumerate(groups):
        for axes, (name, data) in zip(grid[row], every, strict=True):
            draw_explained(axes, select(lines, name, data, group), mixtures)
        grid[row, 0].set_ylabel(f"{_word(group)}\nexplained")
    titles(grid[0], [panel_name(*panel) for panel in every])
    dose_axis(grid[-1])
    return figure


def _shift(axes: Axes, lines: list[ScoreLine]) -> None:
    """Draw what there is to explain (black), and what another order of the data would make of it (grey), as
    measured and, where it is known, as predicted."""
    doses = dose_ticks(axes, lines)
    single = [next(line for line in lines if line.dose == dose) for dose in doses]
    shift, noise_ceiling = at_doses(single, "shift", doses), at_doses(single, "noise_ceiling", doses)
    axes.plot(doses, shift, ".-", color="black", ms=3)
    axes.plot(doses, (1 - noise_ceiling) * shift, **NOISE)
    axes.plot(doses, at_doses(single, "predicted_noise", doses), **PREDICTED)
    if (shift > 0).any():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(numticks=3))
        axes.yaxis.set_minor_locator(ticker.NullLocator())


def _strength(axes: Axes, lines: list[ScoreLine], full: frozenset[Curve]) -> Ends:
    """Draw β against dose in units of the theory's last fitted β; returns the fitted curves in full."""
    doses = dose_ticks(axes, lines)
    axes.set_yscale("log")
    axes.set_ylim(WEAK, STRONG)
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.plot(doses, np.array(doses) / max(doses, default=1), color="0.87", lw=3.5, zorder=0)
    ends: Ends = []
    scale: dict[str, float] = {}
    for theory, grade, curve in series(lines):  # fitted ones come first
        betas, line = at_doses(curve, "beta", doses), marker_line(theory)
        last = scale.setdefault(theory, betas[-1] if grade == "fitted" else np.nan)
        if last > 0:
            values = betas / last
            is_full = (theory, grade) in full
            drawn = {**line, **GRADES[grade]} if is_full else pale(line, grade)
            axes.plot(doses, np.maximum(values, 1e-9), **drawn)
            if is_full:
                ends.append((sign(theory, grade), line["color"], values))
    for edge, marker in ((WEAK, "v"), (STRONG, "^")):
        off_scale(axes, doses, [(values, colour) for _, colour, values in ends], edge, marker)
    return ends


def _marks(lines: list[ScoreLine], full: frozenset[Curve]) -> dict[str, Look]:
    """The looks of what has no name of its own in a panel."""
    others = {curve[:2] for curve in series(lines)} - full
    looks: dict[str, Look] = {}
    if any(line.predicted_noise is not None for line in lines):
        looks |= {"noise, measured": NOISE, "noise, predicted": PREDICTED}
    return looks | ({"other theories": {"color": "0.6", "lw": 0.6}} if others else {})


def _legend(figure: Figure, lines: list[ScoreLine]) -> None:
    names = sorted({theory for theory, _, _ in series(lines)}, key=rank)
    looks: dict[str, Look] = {
        **{name.replace("-", " "): marker_line(name) for name in names},
        **({"β fitted in-domain": {**GREY, **GRADES["fitted"]}} if _is_fitted(lines) else {}),
        "forecast": {**GREY, **GRADES["forecast"]},
        "best in class: any mixture": {"color": "black", "ls": DASHES["best_in_class"], "lw": 0.9},
        "another pretraining seed": {"color": OTHER_BASE, "ls": DASHES["other_base"], "lw": 0.9},
        **REFERENCES,
        "above the order-blind bound": BEYOND,
        "off the scale": {"color": "0.45", "marker": "v", "ls": "", "ms": 2.6, "mew": 0},
    }
    legend(figure, looks, 5)
