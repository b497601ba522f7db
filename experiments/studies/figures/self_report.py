"""What a network says it is: its answers to one question of the held-out group, against dose. No jax.

Lines are networks (a full line, with one standard error over base networks as a band), the tempered posterior
at the β of its row, and a learner of the study's own, which is handed the networks' mean answers and returns
its nearest. Axes: s seeds, d doses, m networks, a answers, n labels.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.comparison import select
from experiments.figures.curves import NAMES, Curves, spread
from experiments.figures.style import WIDTH, legend, panels_grid, save, style
from experiments.scoring import rows as scoring
from experiments.scoring.labels import METHODS, Line, panels
from experiments.scoring.predictions import NETWORK, told
from experiments.storage.run_folder import Results

TOP = 0.8  # inches
INKS = [matplotlib.color_sequences["okabe_ito"][index] for index in (5, 1, 2, 3, 6, 7)]
LINES: tuple[dict[str, Any], ...] = ({"lw": 1.3}, {"ls": "--", "lw": 0.9}, {"ls": ":", "lw": 1.1})
Oracle = Callable[[np.ndarray], np.ndarray]


def draw_self_report(
    results: Results,
    question: str,
    labels: Mapping[str, Sequence[int]],
    own: str,
    oracles: Mapping[str, Oracle],
) -> list[Path]:
    """The probability of some answers (places among them, by label) to a question that is asked first: a row
    for each method, a column for each D'. `oracles` say for a D' the answers (m, a) that the learner called
    `own` gives in place of the networks' (m, a)."""
    table = scoring.table(results)
    found = panels(scoring.scorecard(table))
    if not found:
        return []
    methods, arms = (list(dict.fromkeys(panel[place] for panel in found)) for place in (0, 1))
    arms = [arm for arm in oracles if arm in arms]
    looks = {label: {"color": INKS[place % len(INKS)]} for place, label in enumerate(labels)}
    who = dict(zip((NAMES[NETWORK], "tempered posterior", own), LINES, strict=True))
    curves, name = Curves(), f"{results.study}-self-report"
    with style():
        tall = 1.6 * len(methods)
        figure = Figure(figsize=(WIDTH, TOP + tall + 0.4))
        legend(figure, looks | {name: {"color": "0.4", **look} for name, look in who.items()}, 5)
        grid = panels_grid(figure, TOP, tall, len(methods), len(arms), wspace=0.08, hspace=0.25)
        grid = grid.subplots(squeeze=False, sharex=True, sharey=True)
        for row, method in enumerate(methods):
            for axes, arm in zip(grid[row], arms, strict=True):
                axes.set_title(title := f"{METHODS.get(method, method)}, D′ {arm}")
                rows = select(table, method, arm, "held_out")
                if rows:
                    doses, *said = answers(results, rows, question, list(labels.values()), oracles[arm])
                    _lines(axes, doses, said, list(looks.values()))
                    for speaker, each in zip(who, said, strict=True):
                        for place, label in enumerate(labels):
                            curves.note((f"says {label}", title), speaker, doses, each[..., place])
            grid[row, 0].set_ylabel(f"asked “{question}”\nprobability")
        for axes in grid[-1]:
            axes.set_xlabel("dose (finetuning steps)")
        return save(results, {name: figure}, {name: curves.table})


def answers(
    results: Results, rows: list[Line], question: str, groups: list[Sequence[int]], oracle: Oracle
) -> tuple[list[int], np.ndarray, np.ndarray, np.ndarray]:
    """Doses, and (b, d, n) by base network: what networks, tempered posterior and the oracle answer."""
    parts: list[list[np.ndarray]] = [[], [], []]
    for context, said in told(results, rows):
        asked = context["asked"] == question
        network, posterior = (
            np.exp(said[who][..., asked, :].astype(float)).mean(axis=-2)
            for who in (NETWORK, "tempered-posterior")
        )
        nearest = oracle(network.reshape(-1, network.shape[-1])).reshape(network.shape)
        for part, each in zip(parts, (network, posterior, nearest), strict=True):
            part.append(np.stack([each[..., list(group)].sum(axis=-1).mean(axis=0) for group in groups], -1))
    doses = sorted({row["dose"] for row in rows})
    network, posterior, nearest = (np.array(part) for part in parts)
    return doses, network, posterior, nearest


def _lines(axes: Axes, doses: list[int], said: list[np.ndarray], looks: list[dict[str, Any]]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_ylim(-0.03, 1.03)
    for each, line in zip(said, LINES, strict=True):
        for mean, look in zip(each.mean(axis=0).T, looks, strict=True):
            axes.plot(doses, mean, **look, **line)
    networks = said[0]
    if len(networks) > 1:
        for mean, error, look in zip(*(each.T for each in spread(networks)), looks, strict=True):
            axes.fill_between(doses, mean - error, mean + error, alpha=0.2, lw=0, **look)
