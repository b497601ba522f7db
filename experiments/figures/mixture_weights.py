"""Mixture weights over the hypotheses of a process, fitted to the answers of a network or a theory. No jax.

    beliefs     the weights w of the mixture Σ_z w_z p(· | context, z) that is nearest (mean KL) to the
                answers in the contexts of one group (theory.divergence.mixture_fit)

Fitted to the finetuned networks and, in the same way, to the predictions of theories, so that both are read
by one measure. Weights tell nothing of what lies outside the hull of the hypotheses (`nats`: what is left
over). Axes: b base networks, s seeds, d doses, k hypotheses, c contexts, a answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.comparison import select
from experiments.figures.curves import SPEAKERS, Curves, draw_grid
from experiments.scoring.labels import panel_name, panels
from experiments.scoring.predictions import predictions
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import Row
from experiments.storage.run_folder import RunFolder
from theory.divergence.mixture_fit import fit_weights

LEFT = "nats left over"
ByName = dict[str, np.ndarray]


@dataclass(frozen=True)
class Beliefs:
    """One method on one D': by network or theory, weights (b, s, d, k) and the nats (b, s, d) that the best
    mixture leaves over."""

    method: str
    data: str
    weights: ByName
    nats: ByName


def beliefs(run: RunFolder, group: str = "held_out") -> list[Beliefs]:
    """For every method and D' that has a finished cell: the weights of networks and theories in a group."""
    rows = table(run)
    chosen = {panel: select(rows, *panel, group) for panel in panels(scorecard(rows))}
    return [Beliefs(*panel, *_beliefs(run, rows)) for panel, rows in chosen.items() if rows]


def draw_beliefs(
    run: RunFolder, components: Mapping[str, Sequence[int]], group: str = "held_out", name: str = "beliefs"
) -> list[Path]:
    """Draw the summed weight of some hypotheses (rows, by name) against dose, networks and theories; a column
    for each method and D'. The table has the nats that the best mixture leaves over, too."""
    every = {panel_name(panel.method, panel.data): panel for panel in beliefs(run, group)}
    grid = {
        (f"{label}\nweight", column): {
            key: weights[..., list(chosen)].sum(axis=-1) for key, weights in panel.weights.items()
        }
        for label, chosen in components.items()
        for column, panel in every.items()
    }

    def note_nats(axes: Axes, curves: Curves, panel: tuple[str, str]) -> None:
        if panel[0] == next(iter(grid))[0]:
            for key, nats in every[panel[1]].nats.items():
                curves.note((LEFT, panel[1]), key, run.doses, nats)

    return draw_grid(run, name, grid, annotate=note_nats)


def _beliefs(run: RunFolder, rows: list[Row]) -> tuple[ByName, ByName]:
    """By network or theory: weights, and nats left over."""
    weights: dict[str, list[np.ndarray]] = {}
    nats: dict[str, list[np.ndarray]] = {}
    for contexts, log_probs in predictions(run, rows):
        components, evidence = contexts.components.astype(float), contexts.evidence.astype(float)
        for name in SPEAKERS:
            if name in log_probs:
                answers = log_probs[name]
                flat = answers.reshape(-1, *answers.shape[-2:]).astype(float)
                fitted, left = fit_weights(flat, components, evidence)
                shape = answers.shape[:2]
                weights.setdefault(name, []).append(fitted.reshape(*shape, -1))
                nats.setdefault(name, []).append(left.reshape(shape))
    first, second = ({key: np.array(v) for key, v in parts.items()} for parts in (weights, nats))
    return first, second
