"""The self-report of networks: their answers to one question of the held-out group, against dose. No jax.

Lines are networks (a full line, its interval of 95 % by base networks × D' as a band), the tempered posterior
at the β of its row, and an oracle of the study's, which is handed the networks' mean answers and returns its
nearest. Axes: b base networks, s finetuning seeds, d doses, m networks, a answers, n labels.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from experiments.figures.comparison import select
from experiments.figures.curves import NAMES, Curves, spread
from experiments.figures.style import Look, legend, panel_figure, save, style
from experiments.scoring.labels import METHODS, panels
from experiments.scoring.predictions import NETWORK, predictions
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import Row
from experiments.storage.run_folder import RunFolder

TOP = 0.8  # inches
INKS = [matplotlib.color_sequences["okabe_ito"][index] for index in (5, 1, 2, 3, 6, 7)]
THEORY = "tempered-posterior"
LINES: tuple[Look, ...] = ({"lw": 1.3}, {"ls": "--", "lw": 0.9}, {"ls": ":", "lw": 1.1})
Oracle = Callable[[np.ndarray], np.ndarray]
Answers = tuple[np.ndarray, np.ndarray, np.ndarray]


def draw_self_report(
    run: RunFolder,
    question: str,
    labels: Mapping[str, Sequence[int]],
    oracle_name: str,
    oracles: Mapping[str, Oracle],
) -> list[Path]:
    """The probability of some answers (indices by label) to a question that is asked first: a row for each
    method, a column for each D'. `oracles` map the networks' answers (m, a) to the oracle's (m, a), by D'."""
    rows = table(run)
    finished = panels(scorecard(rows))
    if not finished:
        return []
    methods, arms = (list(dict.fromkeys(panel[index] for panel in finished)) for index in (0, 1))
    arms = [arm for arm in oracles if arm in arms]
    looks: dict[str, Look] = {label: {"color": INKS[index % len(INKS)]} for index, label in enumerate(labels)}
    learners = dict(zip((NAMES[NETWORK], "tempered posterior", oracle_name), LINES, strict=True))
    curves, name = Curves(run), f"{run.study}-self-report"
    with style():
        height = 1.6 * len(methods)
        figure, grid = panel_figure(TOP, height, len(methods), len(arms), below=0.4, wspace=0.08, hspace=0.25)
        legend(figure, looks | {name: {"color": "0.4", **look} for name, look in learners.items()}, 5)
        for index, method in enumerate(methods):
            for axes, arm in zip(grid[index], arms, strict=True):
                axes.set_title(title := f"{METHODS.get(method, method)}, D′ {arm}")
                subset = select(rows, method, arm, "held_out")
                if subset:
                    doses, by_learner = answers(run, subset, question, list(labels.values()), oracles[arm])
                    draws = curves.draws(len(by_learner[0]))
                    _lines(axes, doses, by_learner, list(looks.values()), draws)
                    for learner, values in zip(learners, by_learner, strict=True):
                        for column, label in enumerate(labels):
                            curves.note((f"says {label}", title), learner, doses, values[..., column])
            grid[index, 0].set_ylabel(f"asked “{question}”\nprobability")
        for axes in grid[-1]:
            axes.set_xlabel("dose (finetuning steps)")
        return save(run, {name: figure}, {name: curves.table})


def answers(
    run: RunFolder, rows: Sequence[Row], question: str, groups: Sequence[Sequence[int]], oracle: Oracle
) -> tuple[list[int], Answers]:
    """Doses, and the answers (b, s, d, n) of networks, tempered posterior and oracle to a question."""
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for contexts, log_probs in predictions(run, rows):
        inside = contexts.questions == question
        network, posterior = (
            np.exp(log_probs[name][..., inside, :].astype(float)).mean(axis=-2) for name in (NETWORK, THEORY)
        )
        nearest = oracle(network.reshape(-1, network.shape[-1])).reshape(network.shape)
        for part, probs in zip(parts, (network, posterior, nearest), strict=True):
            part.append(np.stack([probs[..., list(group)].sum(axis=-1) for group in groups], -1))
    network, posterior, nearest = (np.array(part) for part in parts)
    return sorted({row.dose for row in rows}), (network, posterior, nearest)


def _lines(
    axes: Axes, doses: list[int], by_learner: Answers, looks: Sequence[Look], draws: Sequence[int]
) -> None:
    """The lines of one panel, and the band of the networks'."""
    axes.set_xscale("log", base=2)
    axes.set_ylim(-0.03, 1.03)
    for values, line in zip(by_learner, LINES, strict=True):
        for mean, look in zip(values.mean(axis=(0, 1)).T, looks, strict=True):
            axes.plot(doses, mean, **look, **line)
    for mean, half, look in zip(*(values.T for values in spread(by_learner[0], draws)), looks, strict=True):
        axes.fill_between(doses, mean - half, mean + half, alpha=0.2, lw=0, color=look["color"])
