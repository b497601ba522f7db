"""The outside check of regression in context: its two predictors at the published parameters. No jax."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import stdtrit

from experiments.figures.comparison import INKS
from experiments.figures.style import Look, legend, save, style
from experiments.storage.run_folder import RunFolder
from theory.latent.regression import expected, losses

CHECKED, BUDGET = 2 ** np.arange(1, 16, 2), 2**20  # numbers of tasks M; rows × M that each may cost


def draw_published(run: RunFolder) -> list[Path]:
    """Loss over D of the discrete mixture and of ridge against M, at the published parameters."""
    random = np.random.default_rng(0)
    computed = [losses(random, int(count), *cost(int(count))) for count in CHECKED]
    mean, error = (np.array(values) for values in zip(*computed, strict=True))
    pools = np.array([cost(int(count))[1] for count in CHECKED])
    half = stdtrit(pools - 1, 0.975)[:, None] * error  # of an interval of 95 %
    looks: dict[str, Look] = {
        "discrete mixture, new tasks": {"color": INKS[5], "marker": "o"},
        "discrete mixture, the M tasks": {"color": INKS[1], "marker": "s"},
        "ridge, new tasks": {"color": "black", "ls": "--"},
    }
    with style():
        figure = Figure(figsize=(3.5, 2.7))
        axes = figure.add_axes((0.15, 0.15, 0.8, 0.66))
        for index, look in enumerate(list(looks.values())[:2]):
            axes.plot(CHECKED, mean[:, index], **look)
            low, high = mean[:, index] - half[:, index], mean[:, index] + half[:, index]
            axes.fill_between(CHECKED, low, high, color=look["color"], alpha=0.2, lw=0)
        axes.axhline(expected(), color="black", ls="--")
        axes.set_xscale("log", base=2)
        axes.set_ylim(0, None)
        axes.set_xlabel("number of tasks M")
        axes.set_ylabel("loss over D")
        legend(figure, looks, 1)
        return save(run, {f"{run.study}-published": figure})


def cost(count: int) -> tuple[int, int]:
    """Rows and pools for M = `count`: as many as the budget allows, within bounds."""
    rows = int(np.clip(BUDGET // count, 24, 256))
    return rows, int(np.clip(BUDGET // (count * rows), 2, 20))
