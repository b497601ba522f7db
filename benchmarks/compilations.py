"""How often XLA compiles over a tiny comparison (2 bases × 2 arms × 2 methods): once for each program.

The first base's first arm compiles everything; whatever comes after (another arm, another base, and with
them every dose, seed and strength) must compile nothing. Counted by jax's own events, so that small eager
operations are seen too.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax

from benchmarks._timing import row
from experiments.comparison import Bench, Comparison
from experiments.studies import weird_generalisation as study
from models.network import build
from models.training import Pretraining, pretrain

EVENT = "/jax/core/compile/backend_compile_duration"


@dataclass(frozen=True)
class Counts:
    """Compiled programs, as (name, seconds), by when; and how many shapes each big program has."""

    first: list[tuple[str, float]]
    later: list[tuple[str, float]]
    shapes: dict[str, int]


def measure(seconds: float) -> list[dict[str, Any]]:
    """Counts; `seconds` is of no use here."""
    counts = count()
    return [
        row("compilations, first base and arm", len(counts.first), "", "small eager operations included"),
        row("compiling them", sum(took for _, took in counts.first), "s"),
        row("compilations, other bases and arms", len(counts.later), "", goal="≤ 0"),
        row("compilations, pretraining after its first chunk", len(count_pretraining()), "", goal="≤ 0"),
        row("big programs", len(counts.shapes), ""),
        row("compilations of a big program, most of any", max(counts.shapes.values()), "", goal="≤ 1"),
    ]


def tiny() -> Comparison:
    """A comparison whose cells take no time, so that only compilation is left."""
    return study.comparison(
        study.Config(
            base_seeds=2, seeds=2, n=4, batch=2, doses=(1, 2), repeats=1, width=8, layers=1, heads=2, pairs=3
        )
    )


def count(*names: str) -> Counts:
    """Run the cells of the given names (default: all) for every base and arm, on untrained networks."""
    comparison = tiny()
    process = comparison.process
    bases = build(comparison.shape, process.vocabulary, process.length, range(comparison.base_seeds))
    bench = Bench(comparison, bases)
    seen = {}
    for base in range(comparison.base_seeds):
        for arm in comparison.arms:
            with compilations() as seen[base, arm.name]:
                for name in names or ("theories", *comparison.methods):
                    _, failure = bench.run(name, arm, base)
                    assert not failure, failure
    first, *later = seen.values()
    return Counts(first, list(itertools.chain(*later)), _shapes(bench))


def count_pretraining() -> list[tuple[str, float]]:
    """What pretraining compiles after its first chunk."""
    comparison = tiny()
    process, recipe = comparison.process, Pretraining(steps=3, batch=2, chunk=1)
    sizes = process.vocabulary, process.length
    chunks = pretrain(process.distribution(), comparison.shape, recipe, (0, 1), *sizes)
    next(chunks)
    with compilations() as seen:
        list(chunks)
    return seen


@contextlib.contextmanager
def compilations() -> Iterator[list[tuple[str, float]]]:
    """The programs that XLA compiles inside the block: (name, seconds)."""
    seen: list[tuple[str, float]] = []

    def listen(event: str, seconds: float, **about: Any) -> None:
        if event == EVENT:
            seen.append((str(about.get("fun_name", "?")), seconds))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def _shapes(bench: Bench) -> dict[str, int]:
    """For every program of the bench that was called: how many versions of it were compiled."""
    shapes = {}
    for name, held in vars(bench).items():
        for kind, program in held.items() if isinstance(held, dict) else [("", held)]:
            label = f"{name} {kind}".strip()
            if hasattr(program, "programs"):  # one for each number of rows
                shapes |= {f"{label} × {rows}": each._cache_size() for rows, each in program.programs.items()}
            elif hasattr(program, "_cache_size"):
                shapes[label] = program._cache_size()
    return {name: number for name, number in shapes.items() if number}
