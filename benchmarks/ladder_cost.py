"""Cost of a theory's whole ladder of strengths, in finetuning runs (one arm, one base, the demo's sizes).

Seconds are of all five finetuning seeds, answers at all contexts included, as `experiments.cells.programs`
runs them. The ratio is per seed: one ladder over one finetuning run by SGD (256 steps; a cell runs ten, the
replicas included). The base network is pretrained for 300 steps only. `python -m benchmarks.forecasts`
measures optional theories as well; theories that follow the steps are measured one by one.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from benchmarks._timing import row
from experiments.cells.candidates import PRIORS, Candidate
from experiments.cells.program_store import ProgramStore
from experiments.cells.programs import Executor
from experiments.cells.replays import ReplayPrograms
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
    finetuning, timings, sizes = _measured(seconds, {})
    name = f"{2 * sizes[0]} finetuning runs by SGD, {sizes[1]} steps"
    return [row(name, finetuning, "s")] + [
        row(f"{name}, {sizes[0]} seeds", cost, "s", "finetuning, per seed", ratio)
        for name, (cost, ratio) in timings.items()
    ]


def ratios(seconds: float, theories: tuple[str, ...]) -> dict[str, float]:
    """Of theories, the optional ones too, the ladder over one finetuning run: medians, by name."""
    _, timings, _ = _measured(seconds, {"theories": theories})
    return {name: float(np.median(ratio)) for name, (_, ratio) in timings.items()}


def _measured(
    seconds: float, options: dict[str, Any]
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]], tuple[int, int]]:
    """Seconds of finetuning, seconds and ratios of every theory by round; seeds and steps."""
    config = with_options(study.PRESETS["small"], SIZES | options)
    executor, network = _executor(study.experiment(config))
    timings: dict[str, list[float]] = defaultdict(list)
    finetune, theories, replays = executor.finetuned.finetune, executor.theories, executor.replays
    finetune[METHOD] = _timed(finetune[METHOD], lambda *_: "finetuning", timings)
    theories.ladder = _timed(theories.ladder, lambda candidate, label, *_: _name(candidate, label), timings)
    followers = []
    for candidate in replays.candidates:
        if candidate.kind == "replay":
            alone = ReplayPrograms(
                executor.experiment, replays.template, replays.answers, [candidate], ProgramStore()
            )
            name = _name(candidate, "network")
            alone.replay[METHOD] = _timed(alone.replay[METHOD], lambda *_, name=name: name, timings)
            followers.append(alone)
    arm = executor.experiment.arms[-1]
    inputs = executor.data.finetuning(arm, network), executor.data.questions(arm)

    def cells() -> None:
        for cell in (Cell("theories", arm.name, 0), Cell("finetuned", arm.name, 0, METHOD)):
            _, failure = executor.run(cell, network)
            assert not failure, failure
        for alone in followers:
            alone.run(METHOD, arm, network, *inputs)

    cells()  # compiles
    timings.clear()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(timings["finetuning"]) < LEAST_ROUNDS:
        cells()
    finetuning, seeds = np.asarray(timings.pop("finetuning")), config.finetuning.seeds
    costs = {  # of both priors, where there are two
        name: np.reshape(ladder, (len(finetuning), -1)).mean(axis=1) for name, ladder in timings.items()
    }
    run = finetuning / (2 * seeds)
    measured = {name: (cost, cost / seeds / run) for name, cost in costs.items()}
    return finetuning, measured, (seeds, config.finetuning.doses[-1])


def _name(candidate: Candidate, label: str) -> str:
    """A theory, and its form where that is not the kind of its prior."""
    kinds = {prior for priors in PRIORS.values() for prior in priors}
    return candidate.theory if label in kinds else f"{candidate.theory} ({label})"


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
