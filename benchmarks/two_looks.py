"""Cost of the forecast of two-looks over that of the finetuning it predicts, at two doses.

Both of the same untrained network, D' and rule (Adam), by turns, in one compiled program each; at the first
dose also the linear theory, which takes the network's derivatives at every step. The forecast has a cost that
no step adds to (gradients and products) and one a step of its inner path, which evaluates no network; so the
two doses give the steps from which it costs less than a tenth.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks._posterior import posterior
from benchmarks._timing import interleaved, row
from models.finetuning.adam import Adam
from models.finetuning.method import FinetuningRun
from theory.base import Params
from theory.compute.descent import epochs
from theory.theories.linearised import Linearised
from theory.theories.two_looks import TwoLooks

FINETUNING, LOOKS = "finetuning by Adam", "two-looks"
THEORIES = {LOOKS: TwoLooks(), "linearised": Linearised()}
GOAL = 0.1  # of the finetuning's time


def measure(
    seconds: float = 15.0,
    *,
    width: int = 32,
    layers: int = 2,
    documents: int = 32,
    batch: int = 16,
    doses: tuple[int, int] = (128, 1024),
) -> list[dict[str, Any]]:
    """Milliseconds to the weights at each dose, by steps and by forecasts."""
    few, many = doses
    model = posterior(width, layers, documents, None)
    network, data = model.network, model.data

    def program(name: str, dose: int) -> Callable[[], Params]:
        recipe = FinetuningRun(data, epochs(jax.random.key(2), documents, batch, dose), Adam(), (dose,))

        def run(params: Params) -> Params:
            start = network.with_params(params)
            return THEORIES[name].follow(start, recipe)[1] if name in THEORIES else recipe.finetune(start)

        compiled = jax.jit(run).lower(network.params).compile()
        return lambda: compiled(network.params)

    rows, medians = [], {}
    for dose, names in ((few, (FINETUNING, *THEORIES)), (many, (FINETUNING, LOOKS))):
        timings = interleaved({name: program(name, dose) for name in names}, seconds / 2)
        for name in names:
            medians[name, dose] = np.median(timings[name])
            against = (FINETUNING, timings[name] / timings[FINETUNING]) if name in THEORIES else (None, None)
            goal = f"≤ {GOAL}" if name == LOOKS else None
            rows.append(row(f"{name}, {dose} steps", 1e3 * timings[name], "ms", *against, goal))
    steps = cheap_from(doses, *([medians[name, dose] for dose in doses] for name in (LOOKS, FINETUNING)))
    rows.append(row(f"{LOOKS} costs less than {GOAL} of the finetuning from", steps, "steps"))
    return rows


def cheap_from(doses: tuple[int, int], forecast: list[float], finetuning: list[float]) -> float | None:
    """The steps from which a forecast takes less than `GOAL` of the finetuning's time, where both times are
    a + b steps, through those at two doses; None where its steps alone take more."""
    (slope, start), (step, begin) = (np.polyfit(doses, times, 1) for times in (forecast, finetuning))
    gain = GOAL * step - slope
    return None if gain <= 0 else float(max(0.0, (start - GOAL * begin) / gain))
