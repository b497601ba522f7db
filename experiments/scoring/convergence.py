"""Convergence of the chains behind sampled posteriors, from what is on disk. Numpy only.

Every sampled posterior carries its diagnostics (theory.mcmc.diagnostics) and a sentence for every threshold
that it misses. One that misses any has not converged: it stays in the scorecard, marked, and the report names
it first.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.scoring.thresholds import AT_LEAST, LIMITS
from experiments.scoring.thresholds import COLUMNS as DIAGNOSTICS
from experiments.storage.contents import PosteriorCell
from experiments.storage.records import Cell, Ladder
from experiments.storage.run import Run

COLUMNS = {
    "posteriors": "posteriors sampled, over base networks, data and strengths",
    "not converged": "posteriors among them that miss a threshold",
    "R-hat": "rank-normalised, of log-probabilities of answers; the worst of the posterior; median (worst)",
    "bulk ESS": "effective samples for the centre, likewise the least of the posterior; median (worst)",
    "tail ESS": "effective samples for the 5 % and 95 % quantiles; median (worst)",
    "acceptance": "the acceptance rate that a Metropolis check of the steps would have; median (worst)",
    "halved step": "KL between predictions with the step and with half of it, over the predicted shift plus "
    "T; median (worst)",
    "noise": "variance of gradient noise over injected noise; median (worst)",
    "drift": "‖w - w0‖ in units of the localised prior's standard deviation; median",
    "base KL at β = 0": "nats by which a sample of the chain at β = 0 differs from the base network; median",
}


class ChainNote(NamedTuple):
    """A sentence about one sampled posterior: its cell and D', its theory, and its learning-rate time τ."""

    cell: str
    theory: str
    time: float
    text: str


@dataclass(frozen=True)
class ConvergenceReport:
    """`table` says what was sampled, `problems` what has not converged, `steps` how step sizes were tuned."""

    posteriors: int
    problems: list[ChainNote]
    table: list[list[str]]
    steps: list[ChainNote]

    @property
    def sentence(self) -> str:
        """One line; empty where all converged or nothing was sampled."""
        if not self.problems:
            return ""
        return (
            f"{len(self.problems)} of {self.posteriors} sampled posteriors have not converged: their chains "
            "miss a threshold of the convergence diagnostics. Scores that rest on them are marked."
        )


def convergence_report(run: Run) -> ConvergenceReport:
    """The diagnostics of every finished cell of chains."""
    problems: list[ChainNote] = []
    steps: list[ChainNote] = []
    sampled: dict[str, list[Ladder]] = {}
    for cell in run.cells("posteriors"):
        content = run.posteriors(cell)
        for ladder in content.ladders if content else ():
            if ladder.diagnostics is not None:
                sampled.setdefault(ladder.name, []).append(ladder)
                problems += _notes(cell, ladder, ladder.problems)
                steps += _notes(cell, ladder, (ladder.extra or {}).get("reasons"))
    table = [["theory", *COLUMNS]] if sampled else []
    table += [_row(name, ladders) for name, ladders in sampled.items()]
    posteriors = sum(int(row[1]) for row in table[1:])
    return ConvergenceReport(posteriors, problems, table, steps)


def tuning_lines(content: PosteriorCell) -> list[str]:
    """The outcome of step-size tuning in a cell, a line for each ladder of posteriors."""
    lines = []
    for ladder in content.ladders:
        extra = ladder.extra or {}
        if "tuning" in extra:
            steps, (acceptance, warmup) = extra["steps"], np.moveaxis(extra["tuning"], -1, 0)
            lines.append(
                f"{ladder.name}: γ {np.mean(extra['gamma']):.3g}, h {steps.min():.2f} to {steps.max():.2f} "
                f"(acceptance {acceptance.min():.2f} or more), warm-up "
                f"of {warmup.max():.0f} steps requested"
            )
    return lines


def _notes(cell: Cell, ladder: Ladder, texts: np.ndarray | None) -> list[ChainNote]:
    """A note for every rung with a text, of texts (s, b)."""
    if texts is None:
        return []
    times = ladder.betas if ladder.times is None else ladder.times
    return [
        ChainNote(f"{cell.name}, D' {seed}", ladder.name, float(times[rung]), str(texts[seed, rung]))
        for seed, rung in np.argwhere(texts != "")
    ]


def _row(name: str, ladders: list[Ladder]) -> list[str]:
    """Words for COLUMNS, over all cells of one theory."""
    values = np.concatenate([_diagnostics(ladder, slice(None)) for ladder in ladders])
    at_zero = np.concatenate([_diagnostics(ladder, ladder.betas == 0) for ladder in ladders])
    missed = sum(int(np.sum(ladder.problems != "")) for ladder in ladders if ladder.problems is not None)
    named = dict(zip(DIAGNOSTICS, values.T, strict=True))
    worst = {name: np.min if name in AT_LEAST else np.max for name in LIMITS}
    spread = [
        f"{_number(np.median(named[name]))} ({_number(end(named[name]))})" for name, end in worst.items()
    ]
    base = dict(zip(DIAGNOSTICS, at_zero.T, strict=True))["base_loss_change"]
    ends = _number(np.median(named["drift"])), _number(np.median(base)) if len(base) else "-"
    return [name, str(len(values)), str(missed), *spread, *ends]


def _diagnostics(ladder: Ladder, rungs: slice | np.ndarray) -> np.ndarray:
    """Those of some rungs, one posterior a row."""
    assert ladder.diagnostics is not None
    return ladder.diagnostics[:, rungs].reshape(-1, ladder.diagnostics.shape[-1])


def _number(value: float) -> str:
    return "-" if not np.isfinite(value) else f"{value:.3g}"
