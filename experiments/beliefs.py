"""What a network sounds like: weights over the process's members, fitted to its answers. No jax.

    belief      the weights w of the mixture Σ_z w_z p(· | context, z) that is nearest (mean KL) to what a
                network answers in the contexts of one group (scoring.fit_weights)

Fitted to the finetuned networks and, in the same way, to what theories said they would answer, so that both
are read by one measure. A belief says nothing of what lies outside the hull of the members (`nats`: what is
left over). Axes: s seeds, d doses, k members, c contexts, a answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import scoring
from experiments.plots import LEGEND, LOOKS
from experiments.results import Results
from experiments.scoring import fit_weights
from experiments.style import WIDTH, dose_axis, legend, panels_grid, save, style, titles
from experiments.told import BASE, NETWORK, told
from experiments.words import Line, panel_name, panels

SHOWN = (
    *("linearised", "tempered-posterior", "exchangeable-mixture"),
    *("complexity-prior", "langevin-posterior"),
)
NAMES = {NETWORK: "finetuned network", BASE: "base network"}


@dataclass(frozen=True)
class Beliefs:
    """One method on one D': by who believes it, mean weights (d, k), their standard error over base networks,
    and the nats (d,) that the best mixture leaves over."""

    method: str
    data: str
    doses: tuple[int, ...]
    mean: dict[str, np.ndarray]
    error: dict[str, np.ndarray]
    nats: dict[str, np.ndarray]


def beliefs(results: Results, group: str = "held_out") -> list[Beliefs]:
    """For every method and D' that has a finished cell: what networks and theories believe in a group."""
    table = scoring.table(results)
    found = []
    for panel in panels(scoring.scorecard(table)):
        rows = [row for row in table if (row["method"], row["data"], row["group"]) == (*panel, group)]
        if rows:
            found.append(Beliefs(*panel, *_beliefs(results, rows)))
    return found


def draw_beliefs(
    results: Results, members: Mapping[str, Sequence[int]], group: str = "held_out", name: str = "beliefs"
) -> list[Path]:
    """The summed weight of some members (rows, by name) against dose, networks and theories; a column for
    each method and D'."""
    found = beliefs(results, group)
    if not found:
        return []
    with style():
        tall = 1.25 * len(members)
        figure = Figure(figsize=(WIDTH, LEGEND + 0.2 + tall + 0.4))
        grid = panels_grid(figure, LEGEND + 0.2, tall, len(members), len(found), wspace=0.08, hspace=0.15)
        grid = grid.subplots(squeeze=False, sharex="col", sharey=True)
        for column, one in enumerate(found):
            for row, (label, chosen) in enumerate(members.items()):
                _weights(grid[row, column], one, list(chosen))
                grid[row, 0].set_ylabel(f"{label}\nweight")
        titles(grid[0], [panel_name(one.method, one.data) for one in found])
        dose_axis(grid[-1])
        named = [who for who in (NETWORK, BASE, *SHOWN) if any(who in one.mean for one in found)]
        legend(figure, {NAMES.get(who, who): _look(who) for who in named}, 4)
        return save(results, {f"{results.study}-{name}": figure})


def _weights(axes: Axes, one: Beliefs, chosen: list[int]) -> None:
    """The summed weight of the chosen members; bands are one standard error."""
    axes.set_xscale("log", base=2)
    axes.set_ylim(-0.03, 1.03)
    for who, weights in one.mean.items():
        total = weights[:, chosen].sum(axis=-1)
        error = np.nan_to_num(np.sqrt(np.sum(one.error[who][:, chosen] ** 2, axis=-1)))
        axes.plot(one.doses, total, **_look(who))
        band = {"color": _look(who)["color"], "alpha": 0.15, "lw": 0}
        axes.fill_between(one.doses, total - error, total + error, **band)


def _look(who: str) -> dict[str, Any]:
    if who in NAMES:
        return {"color": "black", "ls": "-" if who == NETWORK else (0, (1, 1.3)), "lw": 1.4}
    colour, marker = LOOKS[who]
    return {"color": colour, "marker": marker, "ms": 3, "lw": 0.9}


def _beliefs(results: Results, rows: list[Line]) -> Any:
    """Doses, and by who believes it: mean weights, their error, nats left over."""
    doses = tuple(sorted({row["dose"] for row in rows}))
    weights: dict[str, list[np.ndarray]] = {}
    left: dict[str, list[np.ndarray]] = {}
    for context, said in told(results, rows):
        members, evidence = context["members"].astype(float), context["evidence"].astype(float)
        for who in (NETWORK, BASE, *SHOWN):
            if who in said:
                flat = said[who].reshape(-1, *said[who].shape[-2:]).astype(float)
                fitted, nats = fit_weights(flat, members, evidence)
                shape = said[who].shape[:2]
                weights.setdefault(who, []).append(fitted.reshape(*shape, -1).mean(axis=0))
                left.setdefault(who, []).append(nats.reshape(shape).mean(axis=0))
    mean = {who: np.mean(each, axis=0) for who, each in weights.items()}
    error = {who: _error(np.array(each)) for who, each in weights.items()}
    return doses, mean, error, {who: np.mean(each, axis=0) for who, each in left.items()}


def _error(each: np.ndarray) -> np.ndarray:
    """Standard error of a mean over base networks; nan of one alone."""
    if len(each) < 2:
        return np.full(each.shape[1:], np.nan)
    return np.std(each, axis=0, ddof=1) / np.sqrt(len(each))
