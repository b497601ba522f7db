"""The exact predictor of every study's process on ten thousand contexts of the study's length, in seconds.

Processes at the parameters of the preset `small`; studies of the same process are measured once. Compiled,
one call at a time, on one device.
"""

from typing import Any

import jax

from benchmarks._timing import interleaved, row
from experiments.design.study import DEFAULT_PRESET, Study
from experiments.discovery import Catalogue

CONTEXTS = 10_000


def measure(seconds: float, *, contexts: int = CONTEXTS) -> list[dict[str, Any]]:
    """Seconds of one call on all contexts, for each process."""
    predict = jax.jit(lambda exact, tokens: exact.predict(tokens))
    runs, sizes = {}, {}
    for name, process in processes().items():
        exact = process.distribution()
        tokens = jax.jit(lambda exact, key: exact.sample(key, contexts))(exact, jax.random.key(0))
        runs[name] = lambda exact=exact, tokens=tokens: predict(exact, tokens)
        sizes[name] = f"{len(exact.log_weights)} components, {process.length} tokens"
    timings = interleaved(runs, seconds)
    return [row(f"{name} ({sizes[name]})", timings[name], "s", goal="≤ 1") for name in runs]


def processes() -> dict[str, Any]:
    """The processes of all studies, by the first study that has it."""
    by_study = {}
    for name in Catalogue().names("studies"):
        study = Study(name)
        by_study[name] = study.module.experiment(study.preset(DEFAULT_PRESET)).process
    first = {process: name for name, process in reversed(by_study.items())}
    return {name: process for process, name in reversed(first.items())}
