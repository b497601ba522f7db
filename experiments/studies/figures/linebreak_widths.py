"""Newlines after lines of another width: how many lines take finetuning back. No jax.

Axes: b base networks, s finetuning seeds, d doses, l lines shown, c contexts, a answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.figures.comparison import LEGEND
from experiments.figures.curves import SPEAKERS, Curves
from experiments.figures.mixture_weights import draw_beliefs
from experiments.figures.style import panel_figure, save, style
from experiments.scoring.labels import panel_name, panels
from experiments.scoring.predictions import NETWORK, predictions
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import Row
from experiments.storage.run_folder import RunFolder

ALONE = "width of D′ alone"  # the answers of a learner that knows no other
ALONE_LOOK = {"color": "0.6", "ls": "-", "lw": 2.5}


@dataclass(frozen=True)
class Options:
    """The options that are read: most lines shown, and by width of D' the component that has it."""

    lines: int
    components: dict[int, int]


def options(run: RunFolder) -> Options:
    """The options of a run."""
    widths, finetuned = run.options["process"]["widths"], run.options["finetuned_widths"]
    return Options(run.options["lines"], {width: widths.index(width) for width in finetuned})


def draw_widths(run: RunFolder) -> list[Path]:
    """The weights of the widths of D' against dose, before any line is shown."""
    components = {f"width {width}": (index,) for width, index in options(run).components.items()}
    return draw_beliefs(run, components, "first_line")


def newlines(run: RunFolder, rows: Sequence[Row], component: int, lines: int) -> dict[str, np.ndarray]:
    """The mean probability (l, b, s, d) of a newline after 0 ... `lines` lines of another width, where the
    two widths disagree: networks and theories by name. `rows` are of one method and D', whose width is that
    of the `component`."""
    chances: dict[str, list[list[np.ndarray]]] = {}
    for count in range(lines + 1):
        group = f"lines_{count}" if count else "first_line"
        by_base: dict[str, list[np.ndarray]] = {}
        for contexts, answers in predictions(run, [row for row in rows if row.group == group]):
            newline = list(contexts.answers).index("newline")
            alone = np.broadcast_to(contexts.components[component], answers[NETWORK].shape)
            for name, log_probs in (answers | {ALONE: alone}).items():
                chance = np.exp(log_probs[..., newline]).mean(axis=2)
                by_base.setdefault(name, []).append(chance)
        for name, values in by_base.items():
            chances.setdefault(name, []).append(values)
    return {name: np.array(values) for name, values in chances.items()}


def draw_newlines(run: RunFolder) -> list[Path]:
    """Probability of a newline against lines shown, at three doses; a row for each method and D'."""
    rows, doses, lines = table(run), run.doses, options(run).lines
    components = {f"width{width}": index for width, index in options(run).components.items()}
    every, chosen = panels(scorecard(rows)), [len(doses) // 3, 2 * len(doses) // 3, len(doses) - 1]
    chosen, curves, name = sorted(set(chosen)), Curves(run), f"{run.study}-lines"
    with style():
        height = 1.35 * len(every)
        shape = len(every), len(chosen)
        figure, grid = panel_figure(
            LEGEND + 0.2, height, *shape, below=0.45, wspace=0.06, hspace=0.14, sharey="row"
        )
        for row, (method, data) in enumerate(every):
            subset = [line for line in rows if (line.method, line.data) == (method, data)]
            chances = newlines(run, subset, components[data], lines)
            label = f"{panel_name(method, data).replace(', ', chr(10))}\np(newline)"
            for axes, dose in zip(grid[row], chosen, strict=True):
                for learner in [learner for learner in (ALONE, *SPEAKERS) if learner in chances]:
                    look = ALONE_LOOK if learner == ALONE else {}
                    values = np.moveaxis(chances[learner][..., dose], 0, -1)  # (b, s, l)
                    panel, shown = (label, f"dose {doses[dose]}"), range(values.shape[-1])
                    curves.line(axes, panel, learner, shown, values, **look)
            grid[row, 0].set_ylabel(label)
        for column, dose in enumerate(chosen):
            grid[0, column].set_title(f"dose {doses[dose]}")
            grid[-1, column].set_xlabel("lines of another width shown")
            grid[-1, column].set_xticks(range(lines + 1))
        curves.legend(figure)
        return save(run, {name: figure}, {name: curves.table})
