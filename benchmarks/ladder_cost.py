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
from experiments.design.options import with_options
from experiments.storage.records import Cell
from experiments.studies import weird_generalisation as study
from models.network import Network, build, first
from models.pretraining import pretrain

METHOD, LEAST_ROUNDS = "sgd", 3
SIZES = {
    **{"pretraining.seeds": 1, "pretraining.steps": 300, "finetuning.methods": (METHOD,)},
    **{"sampling.temperatures": ()},
}


def measure(seconds: float) -> list[dict[str, Any]]:
    """One row a theory, after the finetuning that they are measured against."""
    config = with_options(study.PRESETS["small"], SIZES)
    executor, network = _executor(study.experiment(config))
    timings: dict[str, list[float]] = defaultdict(list)
    finetune, replay, theories = executor.finetuned.finetune, executor.replays.replay, executor.theories
    finetune[METHOD] = _timed(finetune[METHOD], lambda *_: "finetuning", timings)
    replay[METHOD] = _timed(replay[METHOD], lambda *_: "linearised", timings)
    theories._ladder = _timed(theories._ladder, lambda candidate, *_: candidate.theory, timings)
    arm = executor.experiment.arms[-1].name

    def cells() -> None:
        cells = Cell("theories", arm, 0), Cell("replays", arm, 0, METHOD), Cell("finetuned", arm, 0, METHOD)
        for cell in cells:
            _, failure = executor.run(cell, network)
            assert not failure, failure

    cells()  # compiles
    timings.clear()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(timings["finetuning"]) < LEAST_ROUNDS:
        cells()
    finetuning = np.asarray(timings.pop("finetuning"))
    seeds = config.finetuning.seeds
    run = finetuning / (2 * seeds)
    rows = [row(f"{2 * seeds} finetuning runs by SGD, {config.finetuning.doses[-1]} steps", finetuning, "s")]
    for name, ladder in timings.items():
        cost = np.reshape(ladder, (len(finetuning), -1)).mean(axis=1)  # of both priors, where there are two
        rows.append(row(f"{name}, {seeds} seeds", cost, "s", "finetuning, per seed", cost / seeds / run))
    return rows


def _executor(experiment: Any) -> tuple[Executor, Network]:
    """The executor of an experiment, and its base network, pretrained here."""
    process, shape = experiment.process, experiment.shape
    sizes = process.vocabulary, process.length
    recipe = replace(experiment.pretraining, chunk=50)
    *_, last = pretrain(process.distribution(), shape, recipe, (0,), *sizes)
    network = first(build(shape, *sizes, [0])).with_params(first(last.params))
    return Executor(experiment, network), network


def _timed(run: Callable[..., Any], name: Callable[..., str], timings: dict[str, list[float]]) -> Any:
    """The same function, its seconds noted under `name(*arguments)`."""

    def timed(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = jax.block_until_ready(run(*arguments))
        timings[name(*arguments)].append(time.perf_counter() - start)
        return result

    return timed
