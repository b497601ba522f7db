"""What a network sounds like: weights over the process's members, fitted to its answers. No jax.

    belief      the weights w of the mixture Σ_z w_z p(· | context, z) that is nearest (mean KL) to what a
                network answers in the contexts of one group (theory.divergence.mixture_fit)

Fitted to the finetuned networks and, in the same way, to what theories said they would answer, so that both
are read by one measure. A belief says nothing of what lies outside the hull of the members (`nats`: what is
left over). Axes: b base networks, s seeds, d doses, k members, c contexts, a answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.comparison import select
from experiments.figures.curves import SPEAKERS, Curves, draw_grid
from experiments.scoring import rows as scoring
from experiments.scoring.labels import Line, panel_name, panels
from experiments.scoring.predictions import told
from experiments.storage.run_folder import Results
from theory.divergence.mixture_fit import fit_weights

LEFT = "nats left over"


@dataclass(frozen=True)
class Beliefs:
    """One method on one D': by who believes it, weights (b, d, k) and the nats (b, d) that the best mixture
    leaves over, means over finetuning seeds."""

    method: str
    data: str
    weights: dict[str, np.ndarray]
    nats: dict[str, np.ndarray]


def beliefs(results: Results, group: str = "held_out") -> list[Beliefs]:
    """For every method and D' that has a finished cell: what networks and theories believe in a group."""
    table = scoring.table(results)
    found = []
    for panel in panels(scoring.scorecard(table)):
        rows = select(table, *panel, group)
        if rows:
            found.append(Beliefs(*panel, *_beliefs(results, rows)))
    return found


def draw_beliefs(
    results: Results, components: Mapping[str, Sequence[int]], group: str = "held_out", name: str = "beliefs"
) -> list[Path]:
    """The summed weight of some members (rows, by name) against dose, networks and theories; a column for
    each method and D'. The table has the nats that the best mixture leaves over, too."""
    every = {panel_name(one.method, one.data): one for one in beliefs(results, group)}
    grid = {
        (f"{label}\nweight", column): {
            who: each[..., list(chosen)].sum(axis=-1) for who, each in one.weights.items()
        }
        for label, chosen in components.items()
        for column, one in every.items()
    }

    def left(axes: Axes, curves: Curves, panel: tuple[str, str]) -> None:
        if panel[0] == next(iter(grid))[0]:
            for who, nats in every[panel[1]].nats.items():
                curves.note((LEFT, panel[1]), who, results.config["config"]["doses"], nats)

    return draw_grid(results, name, grid, annotate=left)


def _beliefs(results: Results, rows: list[Line]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By who believes it: weights, and nats left over."""
    weights: dict[str, list[np.ndarray]] = {}
    nats: dict[str, list[np.ndarray]] = {}
    for context, said in told(results, rows):
        components, evidence = context["members"].astype(float), context["evidence"].astype(float)
        for who in SPEAKERS:
            if who in said:
                flat = said[who].reshape(-1, *said[who].shape[-2:]).astype(float)
                fitted, left = fit_weights(flat, components, evidence)
                shape = said[who].shape[:2]
                weights.setdefault(who, []).append(fitted.reshape(*shape, -1).mean(axis=0))
                nats.setdefault(who, []).append(left.reshape(shape).mean(axis=0))
    first, second = ({who: np.array(each) for who, each in found.items()} for found in (weights, nats))
    return first, second
