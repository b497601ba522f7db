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
    later_pretraining: list[tuple[str, float]]
    shapes: dict[str, int]


def measure(seconds: float) -> list[dict[str, Any]]:
    """Counts; `seconds` is of no use here."""
    counts = count()
    return [
        row("compilations, first base and arm", len(counts.first), "programs"),
        row("compiling them", sum(took for _, took in counts.first), "s"),
        row("compilations, other bases and arms", len(counts.later), "programs", goal="≤ 0"),
        row("compilations, pretraining after a chunk", len(counts.later_pretraining), "programs", goal="≤ 0"),
        row("shapes of a program, most of any", max(counts.shapes.values()), "", goal="≤ 1"),
        row("big programs", len(counts.shapes), ""),
    ]


def tiny() -> Comparison:
    """A comparison whose cells take no time, so that only compilation is left."""
    return study.comparison(
        study.Config(
            base_seeds=2, seeds=2, n=4, batch=2, doses=(1, 2), repeats=1, width=8, layers=1, heads=2, pairs=3
        )
    )


def count() -> Counts:
    """Run every cell on untrained networks and count."""
    comparison = tiny()
    process = comparison.process
    size = comparison.shape, process.vocabulary, process.length
    recipe = Pretraining(steps=3, batch=2, chunk=1)
    chunks = pretrain(process.distribution(), size[0], recipe, (0, 1), *size[1:])
    next(chunks)
    with compilations() as later_pretraining:
        list(chunks)
    bench = Bench(comparison, build(*size, range(comparison.base_seeds)))
    seen = {}
    for base in range(comparison.base_seeds):
        for arm in comparison.arms:
            with compilations() as seen[base, arm.name]:
                for name in ("theories", *comparison.methods):
                    _, failure = bench.run(name, arm, base)
                    assert not failure, failure
    first, *later = seen.values()
    return Counts(first, list(itertools.chain(*later)), later_pretraining, _shapes(bench))


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
    """For every program of the bench: how many versions of it were compiled."""
    shapes = {}
    for name, held in vars(bench).items():
        for kind, program in held.items() if isinstance(held, dict) else [("", held)]:
            label = f"{name} {kind}".strip()
            if hasattr(program, "programs"):  # one for each number of rows
                shapes |= {f"{label} × {rows}": each._cache_size() for rows, each in program.programs.items()}
            elif hasattr(program, "_cache_size"):
                shapes[label] = program._cache_size()
    return shapes
