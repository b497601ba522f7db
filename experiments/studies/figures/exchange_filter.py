"""Exchange rate: does finetuning move the prior, or the weight of the context? No jax.

    K        by how much evidence in the context counts (experiments.scoring.context_filter); exact Bayes: 1
    K(s)/K(0)   after s steps, beside the base network; under any Bayesian update of the prior: 1
    move     of the log-odds of D's k against the others in the prior ρ, nats; under the tempered posterior
             β × evidence of D'. Nan where networks do not resolve one of them

Both are fitted together to the answers without shots and with each number of them, on the questions of D' and
on the others apart. Intervals of 95 % are by base networks × D'. Axes: b base networks, s finetuning seeds, d
doses.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.curves import Curves, draw_grid
from experiments.figures.style import Look
from experiments.scoring.context_filter import efficiency, prior_odds
from experiments.scoring.intervals import Estimate, clusters, mean, ratio
from experiments.scoring.labels import difference, panel_name, with_interval
from experiments.storage.records import Cell
from experiments.storage.run_folder import RunFolder
from experiments.studies.figures.exchange_rate import KINDS, Options, options

NAMES = {"asked": "questions of D′", "held_out": "questions that D′ never asks"}
LOOKS: dict[str, Look] = {NAMES["asked"]: {"color": "black"}, NAMES["held_out"]: {"color": "#d55e00"}}
LESS, MORE = "counts less than before", "counts more than before"
OPEN, UNUSED = "is not shown to count otherwise than before", "counted for nothing before"
RATIO, MOVE = "K(s) / K(0)", "move of the prior (nats)"  # rows of the figure
Panel = tuple[str, str]


@dataclass(frozen=True)
class Filters:
    """One method on one D', one kind of questions: K of base (b,) and of finetuned networks (b, s, d), the
    move of the prior (b, s, d) in nats, and the draws of the process (b,) and numbers of the bases."""

    before: np.ndarray
    after: np.ndarray
    move: np.ndarray
    draws: tuple[int, ...]
    bases: tuple[int, ...]

    @property
    def relative(self) -> np.ndarray:
        """K(s)/K(0), nan of a base network that does not use the context."""
        return self.after / np.where(self.before > 0, self.before, np.nan)[:, None, None]

    def at_last(self) -> tuple[Estimate, Estimate]:
        """K(s)/K(0), a ratio of sums over networks, and the mean move, at the last dose."""
        seeds = self.after.shape[1]
        ways = clusters(
            np.repeat(self.draws, seeds).tolist(),
            np.repeat(self.bases, seeds).tolist(),
            np.tile(range(seeds), len(self.bases)).tolist(),
        )
        stays = ratio(self.after[..., -1].ravel(), np.repeat(self.before, seeds), ways)
        return stays, mean(self.move[..., -1].ravel(), ways)


def filters(run: RunFolder) -> dict[tuple[Panel, str], Filters]:
    """By method and D', and kind of questions, from the finished cells."""
    return _filters(run, tuple(run.cells("finetuned")))


@functools.lru_cache(maxsize=1)  # figure, report and the end of a run show the same
def _filters(run: RunFolder, cells: tuple[Cell, ...]) -> dict[tuple[Panel, str], Filters]:
    values, result = options(run.options), {}
    for panel in dict.fromkeys((cell.method, cell.arm) for cell in cells):
        ours = [cell for cell in cells if (cell.method, cell.arm) == panel and run.theories(cell)]
        for kind in KINDS if ours else ():
            before, after, move = zip(*(_of_cell(run, cell, kind, values) for cell in ours), strict=True)
            draws, bases = zip(*((run.draw(cell.base), cell.base) for cell in ours), strict=True)
            parts = np.array(before), np.stack(after), np.stack(move)
            result[panel, kind] = Filters(*parts, draws, bases)
    return result


def _of_cell(run: RunFolder, cell: Cell, kind: str, values: Options) -> tuple[float, np.ndarray, np.ndarray]:
    """K of the base network, K (s, d) and move (s, d) of those finetuned from it."""
    theories, networks = run.theories(cell), run.finetuned(cell)
    assert theories is not None and networks is not None
    contexts, (first, later) = theories.contexts, KINDS[kind]
    inside = np.isin(contexts.group, [first, *(later.format(count) for count in values.shots)])
    tuned = networks.finetuned[..., inside, :].astype(float)
    every = np.concatenate([contexts.base[inside][None].astype(float), tuned.reshape(-1, *tuned.shape[2:])])
    process = contexts.components[:, inside], contexts.evidence[:, inside].astype(float)
    counts, _ = efficiency(every, *process)
    odds = prior_odds(every, *process, counts, values.shift)
    shape = tuned.shape[:2]
    return float(counts[0]), counts[1:].reshape(shape), (odds[1:] - odds[0]).reshape(shape)


def draw_filter(run: RunFolder) -> list[Path]:
    """K(s)/K(0) and the prior's move against dose; a column for each method and D'."""
    grid: dict[Panel, dict[str, np.ndarray]] = {}
    for (panel, kind), measured in filters(run).items():
        rows = {RATIO: measured.relative, MOVE: measured.move}
        for row, values in rows.items():
            grid.setdefault((row, panel_name(*panel)), {})[NAMES[kind]] = values

    def unmoved(axes: Axes, curves: Curves, panel: Panel) -> None:
        axes.axhline(1.0 if panel[0] == RATIO else 0.0, color="0.6", lw=0.6)

    rows = sorted(grid, key=lambda panel: panel[0] == MOVE)
    every = {panel: grid[panel] for panel in rows}
    return draw_grid(run, "filter", every, limits=None, annotate=unmoved, looks=LOOKS)


def filter_sentence(run: RunFolder) -> str:
    """A sentence on the last dose; empty without cells."""
    parts = []
    for kind, name in NAMES.items():
        verdicts: dict[str, list[str]] = {}
        for (panel, of), measured in filters(run).items():
            if of == kind:
                verdict, numbers = _verdict(measured)
                ours = panel_name(*panel).replace(", D′ on ", " on ")
                verdicts.setdefault(verdict, []).append(f"{ours} ({numbers})")
        cases = [f"{verdict} after {' and '.join(listed)}" for verdict, listed in verdicts.items()]
        parts += [f"on {name} it {'; it '.join(cases)}"] * bool(cases)
    if not parts:
        return ""
    steps = f"after {run.doses[-1]} steps, evidence in the context"
    return f"Does the prior move, or the weight of the context? {steps.capitalize()}: {'; '.join(parts)}."


def _verdict(measured: Filters) -> tuple[str, str]:
    """Words for the context's weight by its interval, and the numbers."""
    stays, move = measured.at_last()
    low, high = stays.interval or (-np.inf, np.inf)
    verdict = LESS if high < 1 else MORE if low > 1 else UNUSED if np.isnan(stays.value) else OPEN
    if np.isnan(move.value):
        moved = "prior not resolved"
    else:
        none = ", no interval" * (move.interval is None)
        moved = f"prior moved by {difference(move.value, move.interval)} nats{none}"
    return verdict, f"K(s)/K(0) {with_interval(stays.value, stays.interval)}, {moved}"
