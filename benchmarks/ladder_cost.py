"""Cost of a theory's whole ladder of strengths, in finetuning runs (one arm, one base, the demo's sizes).

Seconds are of all five finetuning seeds, answers at all contexts included, as `experiments.cells.programs`
runs them. The ratio is per seed: one ladder over one finetuning run by SGD (256 steps; a cell runs ten, the
replicas included). The base network is pretrained for 300 steps only.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from benchmarks._timing import row
from experiments.cells.programs import Executor
from experiments.studies import weird_generalisation as study
from models.network import Network, build, first
from models.pretraining import pretrain

METHOD, LEAST_ROUNDS = "sgd", 3


def measure(seconds: float) -> list[dict[str, Any]]:
    """One row a theory, after the finetuning that they are measured against."""
    config = replace(study.PRESETS["small"], base_seeds=1, methods=(METHOD,), pretraining_steps=300)
    executor, network = _executor(study.comparison(config))
    timings: dict[str, list[float]] = defaultdict(list)
    executor.finetune[METHOD] = _timed(executor.finetune[METHOD], lambda *_: "finetuning", timings)
    executor.dynamics[METHOD] = _timed(executor.dynamics[METHOD], lambda *_: "linearised", timings)
    executor.proximal = _timed(executor.proximal, lambda *_: "proximal", timings)
    executor._ladder = _timed(executor._ladder, _name, timings)  # type: ignore[method-assign]
    arm = executor.comparison.arms[-1]

    def cells() -> None:
        for cell in ("theories", f"dynamics-{METHOD}", METHOD):
            _, failure = executor.run(cell, arm, network)
            assert not failure, failure

    cells()  # compiles
    timings.clear()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(timings["finetuning"]) < LEAST_ROUNDS:
        cells()
    finetuning = np.asarray(timings.pop("finetuning"))
    seeds = config.seeds
    run = finetuning / (2 * seeds)
    rows = [row(f"{2 * seeds} finetuning runs by SGD, {config.doses[-1]} steps", finetuning, "s")]
    for name, ladder in timings.items():
        cost = np.reshape(ladder, (len(finetuning), -1)).mean(axis=1)  # of both priors, where there are two
        rows.append(row(f"{name}, {seeds} seeds", cost, "s", "finetuning, per seed", cost / seeds / run))
    return rows


def _executor(comparison: Any) -> tuple[Executor, Network]:
    """The executor of a comparison, and its base network, pretrained here."""
    process, shape = comparison.process, comparison.shape
    sizes = process.vocabulary, process.length
    recipe = replace(comparison.pretraining, chunk=50)
    *_, last = pretrain(process.distribution(), shape, recipe, (0,), *sizes)
    network = first(build(shape, *sizes, [0])).with_params(first(jax.tree.map(np.asarray, last.state[0])))
    return Executor(comparison, network), network


def _timed(run: Callable[..., Any], name: Callable[..., str], timings: dict[str, list[float]]) -> Any:
    """The same function, its seconds noted under `name(*arguments)`."""

    def timed(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = jax.block_until_ready(run(*arguments))
        timings[name(*arguments)].append(time.perf_counter() - start)
        return result

    return timed


def _name(theory: Any, betas: Any, prior: Any, *_: Any) -> str:
    """A closed-form theory and its number of strengths."""
    words = "".join(f"-{c.lower()}" if c.isupper() else c for c in type(theory).__name__).strip("-")
    return f"{words} × {len(betas)} strengths"
