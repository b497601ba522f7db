"""Forecasts with their costs: the table of docs/forecasts.md, from finished runs and sweeps.

    python -m benchmarks.forecasts FOLDER ... [--methods sgd adam] [--rescore] [--seconds 15] [--no-times]

Scores are read from the folders, or made anew from their cells, where older code had scored them; work on the
network is what the theories state (`cost`); times are measured here, on the headline study
(benchmarks.ladder_cost), and compile every theory: some minutes.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Annotated

import tyro

from benchmarks import ladder_cost
from experiments.discovery import Catalogue, Entry, choose
from experiments.reports.forecast_table import ABOUT, forecast_table
from experiments.scoring.labels import BY_RATE, UNCHANGED, panels
from experiments.scoring.leaderboard import Column, column, markdown_table
from experiments.scoring.rows import rows, table
from experiments.scoring.scorecard import scorecard
from experiments.storage.run_folder import RunFolder, find
from experiments.storage.sweep_folder import runs_in
from theory.base import Cost
from theory.contracts import variants
from theory.processes import persona_topics


@dataclasses.dataclass(frozen=True)
class Options:
    """Theories × cost × explained, as Markdown."""

    places: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="FOLDER ...")]]
    """Folders of finished runs, or of sweeps."""
    methods: tuple[str, ...] = ()
    """Ways of finetuning, by name (default: all)."""
    seconds: float = 15.0
    """How long times are measured, compilation not counted."""
    times: bool = True
    """Measure times."""
    rescore: bool = False
    """Score from the cells, whatever rows are on disk; nothing is written."""


def _theories() -> list[Entry]:
    return Catalogue().entries("theories")


def costs() -> dict[str, Cost]:
    """What every theory states, by "THEORY/FORM" or "THEORY"; of a rate, by its forecast's name."""
    stated = {}
    for entry in _theories():
        for name, form in variants(entry.load(), persona_topics.example()).items():
            stated[name] = form.cost
            if hasattr(form, "rate_cost"):
                stated[name + BY_RATE] = form.rate_cost
    return stated


def of_run(run: RunFolder, rescore: bool) -> list[Column]:
    """Every way of finetuning of a run, on every D'."""
    lines = scorecard(rows(run) if rescore else table(run))
    return [column(run.study, lines, *panel) for panel in panels(lines)]


def timed(columns: Sequence[Column]) -> tuple[str, ...]:
    """The theories in some columns whose time is measured: not those sampled by chains, whose plan is a
    study's."""
    shown = {line.theory for part in columns for line in part.lines}
    forms = {entry.name: variants(entry.load(), persona_topics.example()) for entry in _theories()}
    sampled = {name for name, made in forms.items() if any(form.sampled for form in made.values())}
    return tuple(sorted(name for name in forms if name in shown - sampled - {UNCHANGED}))


def main(arguments: list[str] | None = None) -> None:
    """Print the table and what its columns mean."""
    options = tyro.cli(Options, prog="python -m benchmarks.forecasts", args=arguments)
    import jax

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)  # as `finebayes run` does
    runs = [find(run) for place in options.places for run in runs_in(place)]
    every = [part for run in runs for part in of_run(run, options.rescore)]
    known = dict.fromkeys(part.method for part in every)
    chosen = [choose("method", name, known) for name in options.methods] or list(known)
    columns = [part for part in every if part.method in chosen]
    ratios = ladder_cost.ratios(options.seconds, timed(columns)) if options.times else {}
    print(f"{ABOUT}\n\n{markdown_table(forecast_table(columns, costs(), ratios))}")


if __name__ == "__main__":
    main()
