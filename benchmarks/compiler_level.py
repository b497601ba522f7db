"""Cost and gain of the compiler's level of optimisation: ours against XLA's default.

`theory.compute.devices.compiler_options` by turns with XLA's level, for steps of descent of the demo's
network on D'. One device; compiling takes all cores.
"""

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from benchmarks._timing import interleaved, row
from experiments.studies import weird_generalisation as study
from models.network import build, first
from theory.base import mean_loss
from theory.compute.devices import compiler_options

XLAS_LEVEL = 3


def measure(
    seconds: float = 15.0, *, width: int = 24, layers: int = 2, documents: int = 32, steps: int = 100
) -> list[dict[str, Any]]:
    """Seconds to compile, milliseconds a step, and both over those of XLA's own level."""
    experiment = study.experiment(study.PRESETS["small"])
    process = experiment.process
    shape = replace(experiment.shape, width=width, layers=layers)
    network = first(build(shape, process.vocabulary, process.length, [0]))
    data = experiment.arms[0].task.data(jax.random.key(0), documents)

    def step(params: Any, _: Any) -> tuple[Any, None]:
        slope = jax.grad(lambda params: mean_loss(network.with_params(params), data))(params)
        return jax.tree.map(lambda weight, gradient: weight - 1e-3 * gradient, params, slope), None

    lowered = jax.jit(lambda params: jax.lax.scan(step, params, length=steps)[0]).lower(network.params)

    def compiled(options: Any) -> np.ndarray:
        jax.clear_caches()  # programs that are compiled already would be reused
        lowered.compile(compiler_options=options)
        return np.zeros(())  # nothing is left to wait for

    levels = {"ours": compiler_options(), "XLA's": {"xla_backend_optimization_level": XLAS_LEVEL}}
    programs = {name: lowered.compile(compiler_options=options) for name, options in levels.items()}
    runs = {f"compile {name}": lambda options=options: compiled(options) for name, options in levels.items()}
    runs |= {
        f"step {name}": lambda program=program: program(network.params) for name, program in programs.items()
    }
    timings = interleaved(runs, seconds)
    rows = []
    for kind, scale, unit, goal in (("compile", 1.0, "s", "≤ 0.9"), ("step", 1e3 / steps, "ms", "≤ 1.05")):
        ours, theirs = timings[f"{kind} ours"], timings[f"{kind} XLA's"]
        label = f"{kind}, level {XLAS_LEVEL}"
        rows.append(row(label, scale * theirs, unit))
        rows.append(row(f"{kind}, level as chosen", scale * ours, unit, label, ours / theirs, goal))
    return rows
