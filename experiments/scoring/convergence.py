"""Whether the chains of a run can be trusted: what the gate found, from what is on disk. Numpy only.

Every posterior that was sampled carries its health (theory.mcmc.diagnostics) and a sentence for every
threshold it
misses. One that misses any is untrustworthy: it stays in the scorecard, marked, and the report says so first.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.storage.run_folder import Arrays, Results

COLUMNS = {
    "posteriors": "posteriors sampled, over base networks, data and strengths",
    "untrustworthy": "how many of them miss a threshold",
    "R-hat": "rank-normalised, of log-probabilities of answers; the worst of the posterior; median (worst)",
    "bulk ESS": "effective draws for the centre, likewise the least of the posterior; median (worst)",
    "tail ESS": "effective draws for the 5 % and 95 % quantiles; median (worst)",
    "acceptance": "what a Metropolis check of the steps would have seen; median (worst)",
    "halved step": "KL between predictions with the step and with half of it, over the predicted shift plus "
    "T; median (worst)",
    "noise": "variance of gradient noise over injected noise; median (worst)",
    "drift": "‖w - w0‖ in units of the localised prior's standard deviation; median",
    "base KL at β = 0": "nats by which a draw from the chain at β = 0 differs from the base network; median",
}


@dataclass(frozen=True)
class ConvergenceReport:
    """`table` says what was sampled, `problems` what is untrustworthy: (cell, theory, τ, sentences), `steps`
    how every step size was chosen: (cell, theory, τ, the pilot's reason)."""

    posteriors: int
    problems: list[tuple[str, str, float, str]]
    table: list[list[str]]
    steps: list[tuple[str, str, float, str]]

    @property
    def sentence(self) -> str:
        """One line; empty where all is well or nothing was sampled."""
        if not self.problems:
            return ""
        return (
            f"{len(self.problems)} of {self.posteriors} sampled posteriors are untrustworthy: their chains "
            "miss a threshold of the gate. Scores that rest on them are marked."
        )


def convergence_report(results: Results) -> ConvergenceReport:
    """The gate over every finished cell of chains."""
    problems: list[tuple[str, str, float, str]] = []
    steps: list[tuple[str, str, float, str]] = []
    health: dict[str, list[np.ndarray]] = {}
    missed: dict[str, int] = {}
    at_zero: dict[str, list[float]] = {}
    for cell in results.cells():
        if not cell.startswith("langevin-"):
            continue
        arrays = results.load(cell)
        for key in sorted(key for key in arrays if key.startswith("health/")):
            name = key.removeprefix("health/")
            values, said, times = arrays[key], arrays[f"problems/{name}"], arrays[f"times/{name}"]
            health.setdefault(name, []).append(values.reshape(-1, values.shape[-1]))
            at_zero.setdefault(name, []).extend(values[:, times == 0, 7].ravel().tolist())
            for seed, rung in np.argwhere(said != ""):
                problems.append((f"{cell}, D' {seed}", name, float(times[rung]), str(said[seed, rung])))
                missed[name] = missed.get(name, 0) + 1
            reasons = arrays.get(f"reasons/{name}", np.empty((0, 0), np.str_))
            for (seed, rung), reason in np.ndenumerate(reasons):
                steps.append((f"{cell}, D' {seed}", name, float(times[rung]), str(reason)))
    table = [["theory", *COLUMNS]] if health else []
    for name, parts in health.items():
        values = np.concatenate(parts)
        spread = [_spread(values[:, column], worst) for column, worst in enumerate("+---++")]
        counts = str(len(values)), str(missed.get(name, 0))
        base = _number(np.median(at_zero[name])) if at_zero[name] else "-"
        table.append([name, *counts, *spread, _number(np.median(values[:, 6])), base])
    return ConvergenceReport(
        sum(len(part) for parts in health.values() for part in parts), problems, table, steps
    )


def pilot_lines(arrays: Arrays) -> list[str]:
    """What the pilot of a cell chose, a line for each ladder of posteriors."""
    lines = []
    for name in sorted(key.removeprefix("pilot/") for key in arrays if key.startswith("pilot/")):
        steps, (acceptance, warmup) = arrays[f"steps/{name}"], np.moveaxis(arrays[f"pilot/{name}"], -1, 0)
        lines.append(
            f"{name}: γ {np.mean(arrays[f'gamma/{name}']):.3g}, h {steps.min():.2f} to {steps.max():.2f} "
            f"(acceptance {acceptance.min():.2f} or more), warm-up "
            f"of {warmup.max():.0f} steps asked for"
        )
    return lines


def _spread(values: np.ndarray, worst: str) -> str:
    end = values.max() if worst == "+" else values.min()
    return f"{_number(np.median(values))} ({_number(end)})"


def _number(value: Any) -> str:
    return "-" if not np.isfinite(value) else f"{value:.3g}"
