"""Cost of the forecast of two-looks over that of the finetuning it predicts, at two doses.

Both of the same untrained network, D' and rule (Adam), by turns, in one program each, compiled as those of
cells are, in seconds of the process's own; at the first dose also the linear theory, which takes the
network's derivatives at every step. The forecast has a cost that no step adds to (gradients and Lanczos runs,
of which one each is timed alone) and one a step of its inner path, which evaluates no network; so the two
doses give the steps from which it costs less than a tenth.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks._posterior import posterior
from benchmarks._timing import interleaved, row
from models.finetuning.adam import Adam
from models.finetuning.method import FinetuningRun
from theory.base import Parametric, Params
from theory.compute.descent import epochs
from theory.compute.devices import compiler_options
from theory.theories.linearised import Linearised
from theory.theories.two_looks import CURVED, STAGES, Survey, TwoLooks

FINETUNING, LOOKS = "finetuning by Adam", "two-looks"
THEORIES = {LOOKS: TwoLooks(), "linearised": Linearised()}
GOAL = 0.1  # of the finetuning's time


def measure(
    seconds: float = 15.0,
    *,
    width: int = 32,
    layers: int = 2,
    documents: int = 32,
    batches: tuple[int, ...] = (16, 32),
    doses: tuple[int, int] = (128, 1024),
) -> list[dict[str, Any]]:
    """Milliseconds to the weights at each dose, by steps of each batch and by forecasts; the linear theory at
    the first of both."""
    model = posterior(width, layers, documents, None)
    network, data = model.network, model.data

    def recipe(batch: int, dose: int) -> FinetuningRun:
        return FinetuningRun(data, epochs(jax.random.key(2), documents, batch, dose), Adam(), (dose,))

    def program(name: str, batch: int, dose: int) -> Callable[[], Params]:
        steps = recipe(batch, dose)  # its order is drawn on the host

        def run(params: Params) -> Params:
            start = network.with_params(params)
            return THEORIES[name].follow(start, steps)[1] if name in THEORIES else steps.finetune(start)

        compiled = jax.jit(run, compiler_options=compiler_options()).lower(network.params).compile()
        return lambda: compiled(network.params)

    rows = []
    for batch in batches:
        times: dict[str, list[float]] = {FINETUNING: [], LOOKS: []}
        for dose in doses:
            also = ("linearised",) * ((batch, dose) == (batches[0], doses[0]))
            runs = {name: program(name, batch, dose) for name in (*times, *also)}
            timings = interleaved(runs, seconds / 4, time.process_time)
            for name, values in timings.items():
                ratio = values / timings[FINETUNING] if name in THEORIES else None
                goal = f"≤ {GOAL}" if name == LOOKS else None
                against = None if ratio is None else FINETUNING
                rows.append(row(f"{name}, {dose} steps of {batch}", 1e3 * values, "ms", against, ratio, goal))
            for name, known in times.items():
                known.append(float(np.median(timings[name])))
        steps = cheap_from(doses, times[LOOKS], times[FINETUNING])
        rows.append(row(f"{LOOKS}, steps of {batch} from which it takes {GOAL}", steps, "steps"))
    alone = parts(network, recipe(batches[0], doses[0]))
    for name, values in interleaved(alone, seconds / 4, time.process_time).items():
        rows.append(row(f"{LOOKS}, {name}", 1e3 * values, "ms"))
    return rows


def parts(network: Parametric, recipe: FinetuningRun) -> dict[str, Callable[[], Any]]:
    """What a forecast looks at a network for, alone."""
    survey = Survey(network, recipe.data, recipe.batches, recipe.optimizer(), recipe.loss)
    weights, _ = ravel_pytree(network.params)
    options = compiler_options()
    gradients, curvature = (
        jax.jit(look, compiler_options=options) for look in (survey.gradients, survey.with_curvature)
    )
    given = gradients(weights)
    return {
        f"one of its {STAGES + 1} gradients": lambda: gradients(weights),
        f"one of its {len(CURVED)} Lanczos runs": lambda: curvature(given, weights),
    }


def cheap_from(doses: tuple[int, int], forecast: list[float], finetuning: list[float]) -> float | None:
    """The steps from which a forecast takes less than `GOAL` of the finetuning's time, where both times are
    a + b steps, through those at two doses; None where its steps alone take more."""
    (slope, start), (step, begin) = (np.polyfit(doses, times, 1) for times in (forecast, finetuning))
    gain = GOAL * step - slope
    return None if gain <= 0 else float(max(0.0, (start - GOAL * begin) / gain))
