"""Mixed states of the filter of the setting shown: how much of them a network's answers keep. No jax.

A filter's answers are an affine image of its mixed states, so that these can be read off them.

Axes: b base networks, s finetuning seeds, d doses, k settings, c contexts, a answers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.figures.readouts import draw_readings
from experiments.figures.style import panel_figure, save, style
from experiments.scoring.labels import METHODS
from experiments.scoring.predictions import BASE, NETWORK, predictions
from experiments.scoring.rows import table
from experiments.storage.contents import Contexts
from experiments.storage.run_folder import RunFolder

POINTS = 400  # contexts drawn in a triangle
SHADE = 0.8  # of full colours: a bright yellow is not seen on white
GROUPS = ("in_domain", "held_out")
LINEARISED = "linearised"


@dataclass(frozen=True)
class Options:
    """The options that are read: the family of processes, and the first D'."""

    family: str
    first_arm: str


def options(run: RunFolder) -> Options:
    """The options of a run."""
    return Options(
        run.options["process"]["family"],
        "_".join(f"{value:g}" for value in run.options["finetuned_settings"][0]),
    )


def shown_setting(contexts: Contexts) -> tuple[int, np.ndarray]:
    """The setting that contexts show most often, and the mask (c,) of those that show it."""
    best = contexts.evidence.argmax(axis=0)
    setting = int(np.bincount(best).argmax())
    return setting, best == setting


def recovered_states(contexts: Contexts, probs: np.ndarray) -> np.ndarray:
    """R² (s, d) of the filter's answers, of the setting shown, on an affine map of the answers (s, d, c, a).

    1: every mixed state can be read off the answers; 0: none. The map is fitted to the same contexts, a
    number for each of them and each token."""
    setting, inside = shown_setting(contexts)
    target = np.exp(contexts.components.astype(float)[setting, inside])
    target -= target.mean(axis=0)
    answers = probs[..., inside, :]
    answers = answers - answers.mean(axis=-2, keepdims=True)
    fitted = answers @ (np.linalg.pinv(answers, rcond=1e-6) @ target)
    return 1 - np.sum((target - fitted) ** 2, axis=(-1, -2)) / np.sum(target**2)


def draw_recovered(run: RunFolder) -> list[Path]:
    """The share of the mixed states that answers keep, against dose."""
    wanted = {group.replace("_", "-"): (group, recovered_states) for group in GROUPS}
    return draw_readings(run, wanted, "kept")


def draw_states(run: RunFolder) -> list[Path]:
    """Answers as points of the triangle of three tokens, coloured by the answers of the filter of the setting
    shown: the filter, the first base network, its finetuned ones. The first D', a row a method and group."""
    doses, data = run.doses, options(run).first_arm
    rows = [row for row in table(run) if row.data == data and row.group in GROUPS]
    panels = sorted({(row.method, row.group) for row in rows}, reverse=True)
    if not panels or options(run).family != "mess3":  # a triangle has three corners
        return []
    chosen = sorted({len(doses) // 3, 2 * len(doses) // 3, len(doses) - 1})
    columns = [(BASE, -1), *((NETWORK, dose) for dose in chosen), (LINEARISED, -1)]
    titles = [
        "filter of the setting shown",
        *(f"dose {doses[dose]}" if dose >= 0 else name for name, dose in columns),
    ]
    with style():
        count = len(panels)
        figure, grid = panel_figure(0.35, count, count, len(titles), below=0.1, wspace=0.03, hspace=0.08)
        for index, (method, group) in enumerate(panels):
            subset = [row for row in rows if (row.method, row.group) == (method, group)]
            contexts, answers = next(predictions(run, subset))
            setting, inside = shown_setting(contexts)
            inside = np.flatnonzero(inside)[:POINTS]
            target = np.exp(contexts.components[setting, inside])
            clouds = [target, *(np.exp(answers[name][0, dose][inside]) for name, dose in columns)]
            for axes, probs in zip(grid[index], clouds, strict=True):
                axes.scatter(*_corner(probs), s=2.5, c=SHADE * target / target.max(axis=0), lw=0)
                axes.plot(*_corner(np.eye(3)[[0, 1, 2, 0]]), color="0.8", lw=0.6, zorder=0)
                axes.set_aspect("equal")
                axes.axis("off")
            label = f"{METHODS.get(method, method)}\n{group.replace('_', '-')}"
            grid[index, 0].text(-0.08, 0.43, label, rotation=90, ha="right", va="center")
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)
        return save(run, {f"{run.study}-states": figure})


def _corner(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of probabilities (c, 3) in a triangle of side 1."""
    return probs[:, 1] + probs[:, 2] / 2, probs[:, 2] * np.sqrt(0.75)
