"""Compilations by XLA over a tiny experiment (2 bases × 2 arms × 2 methods): one for each program.

What is compiled ahead and by the first base's first arm is everything: whatever comes after (another arm,
another base, and with them every dose, seed and strength) must compile nothing. Counted by jax's own
events, so that small eager operations are seen too.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax

from benchmarks._timing import row
from experiments.cells.programs import Executor
from experiments.design.experiment import Experiment
from experiments.design.options import with_options
from experiments.storage.records import Cell
from experiments.studies import weird_generalisation as study
from models.network import build, first
from models.pretraining import Pretraining, pretrain
from theory.compute.devices import ShardedMap

TINY = {
    **{"pretraining.seeds": 2, "finetuning.seeds": 2, "finetuning.n": 4, "finetuning.batch": 2},
    **{"finetuning.doses": (1, 2), "network.width": 8, "network.layers": 1, "process.pairs": 3},
    **{"repeats": 1, "sampling.temperatures": ()},
}
EVENT = "/jax/core/compile/backend_compile_duration"


@dataclass(frozen=True)
class Counts:
    """Compiled programs, as (name, seconds), by when; `missed`: how many were compiled ahead in vain."""

    ahead: list[tuple[str, float]]
    first: list[tuple[str, float]]
    later: list[tuple[str, float]]
    missed: int


def measure(seconds: float) -> list[dict[str, Any]]:
    """Counts; `seconds` is of no use here."""
    counts = count(ahead=True)
    return [
        row("compilations ahead of the first cell", len(counts.ahead), ""),
        row("compiling these", sum(took for _, took in counts.ahead), "s"),
        row("compiled ahead for other shapes than came", counts.missed, "", goal="≤ 0"),
        row("compilations, first base and arm", len(counts.first), "", "small eager operations included"),
        row("compiling these", sum(took for _, took in counts.first), "s"),
        row("compilations, other bases and arms", len(counts.later), "", goal="≤ 0"),
        row("compilations, pretraining after its first chunk", len(count_pretraining()), "", goal="≤ 0"),
    ]


def tiny() -> Experiment:
    """An experiment whose cells take no time, so that only compilation is left."""
    return study.experiment(with_options(study.Config(), TINY))


def count(*methods: str, ahead: bool = False) -> Counts:
    """Finetune by the given methods for every base and arm, on untrained networks; by default by all, and run
    the cells of theories, too."""
    experiment = tiny()
    process = experiment.process
    bases = build(experiment.shape, process.vocabulary, process.length, range(experiment.base_seeds))
    executor = Executor(experiment, first(bases))
    with compilations() as before:
        if ahead:
            executor.compile(everything=True)
    programs = _programs(executor)
    seen = {}
    for base in range(experiment.base_seeds):
        network = jax.tree.map(lambda leaf: leaf[base], bases)  # noqa: B023
        for arm in experiment.arms:
            with compilations() as seen[base, arm.name]:
                for cell in _cells(arm.name, base, methods, experiment):
                    _, failure = executor.run(cell, network)
                    assert not failure, failure
    now, *later = seen.values()
    missed = _programs(executor) - programs if ahead else 0
    return Counts(before, now, list(itertools.chain(*later)), missed)


def _cells(arm: str, base: int, methods: tuple[str, ...], experiment: Experiment) -> list[Cell]:
    theories = [] if methods else [Cell("theories", arm, base)]
    return [*theories, *(Cell("finetuned", arm, base, name) for name in methods or experiment.methods)]


def count_pretraining() -> list[tuple[str, float]]:
    """Compilations of pretraining after its first chunk."""
    experiment = tiny()
    process, recipe = experiment.process, Pretraining(steps=3, batch=2, chunk=1)
    sizes = process.vocabulary, process.length
    chunks = pretrain(process.distribution(), experiment.shape, recipe, (0, 1), *sizes)
    next(chunks)
    with compilations() as seen:
        list(chunks)
    return seen


@contextlib.contextmanager
def compilations() -> Iterator[list[tuple[str, float]]]:
    """The programs that XLA compiles inside the block: (name, seconds)."""
    seen: list[tuple[str, float]] = []

    def listen(event: str, duration_secs: float, **kwargs: Any) -> None:
        if event == EVENT:
            seen.append((str(kwargs.get("fun_name", "?")), duration_secs))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def _programs(executor: Executor) -> int:
    """The number of parallel programs that the executor holds."""
    parts = executor.answers, executor.theories, executor.replays, executor.finetuned
    attributes = [value for part in parts for value in vars(part).values()]
    functions = [f for value in attributes for f in (value.values() if isinstance(value, dict) else [value])]
    return sum(len(function.programs) for function in functions if isinstance(function, ShardedMap))
