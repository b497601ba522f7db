"""The part of a concept that is carried over to other alphabets, against dose. No jax.

    part carried over   Σ (p - b)(c - b) / Σ (c - b)² over contexts and answers: from the base network's
                        answers b (0) to the concept's own c (1)

Axes: b base networks, s finetuning seeds, d doses, c contexts, a answers.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.comparison import select
from experiments.figures.curves import Curves, draw_grid
from experiments.scoring.labels import panel_name, panels
from experiments.scoring.predictions import BASE, predictions
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import Row
from experiments.storage.run_folder import RunFolder

GROUPS = ("in_domain", "held_out", "conflict")


def concepts(run: RunFolder) -> tuple[int, int]:
    """The number of concepts, and the concept of D'."""
    return run.options["process"]["concepts"], run.options["concept"]


def carried_over(run: RunFolder, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """The part carried over by networks and theories (b, s, d), by name. `rows` are of one method, D' and
    group; c is that of the component (concept, home) that the context allows."""
    count, concept = concepts(run)
    parts: dict[str, list[np.ndarray]] = {}
    for contexts, answers in predictions(run, rows):
        homes = len(contexts.components) // count
        candidates = concept * homes + np.arange(homes)
        allowed = candidates[contexts.evidence[candidates].argmax(axis=0)]
        target = np.exp(contexts.components[allowed, np.arange(len(allowed))].astype(float))
        base = np.exp(answers[BASE].astype(float))
        direction = target - base
        for name, log_probs in answers.items():
            along = np.sum((np.exp(log_probs.astype(float)) - base) * direction, axis=(-1, -2))
            parts.setdefault(name, []).append(along / np.sum(direction**2, axis=(-1, -2)))
    return {name: np.array(values) for name, values in parts.items()}


def draw_carried_over(run: RunFolder) -> list[Path]:
    """The part carried over against dose: in-domain, held-out, after another concept."""
    rows, grid = table(run), {}
    for group in GROUPS:
        for panel in panels(scorecard(rows)):
            parts = carried_over(run, select(rows, *panel, group))
            parts.pop(BASE, None)  # 0 by definition
            grid[f"{group.replace('_', '-')}\npart carried over", panel_name(*panel)] = parts
    return draw_grid(run, "carried", grid, 1.4, None, _draw_ends)


def _draw_ends(axes: Axes, curves: Curves, panel: tuple[str, str]) -> None:
    """The base network's answers at 0, the concept's at 1."""
    for end in (0, 1):
        axes.axhline(end, color="0.45", lw=0.6)
