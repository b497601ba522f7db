"""Cost of the forecast of two-looks over that of the finetuning it predicts, at the last dose.

Both of the same untrained network, D' and rule (Adam), by turns, in one compiled program each; and the
linear theory, which takes the network's derivatives at every step.
"""

from typing import Any

import jax

from benchmarks._posterior import posterior
from benchmarks._timing import interleaved, row
from models.finetuning.adam import Adam
from models.finetuning.method import FinetuningRun
from theory.base import Params
from theory.compute.descent import epochs
from theory.theories.linearised import Linearised
from theory.theories.two_looks import TwoLooks

FINETUNING = "finetuning by Adam"
THEORIES = {"two-looks": TwoLooks(), "linearised": Linearised()}


def measure(
    seconds: float = 15.0,
    *,
    width: int = 32,
    layers: int = 2,
    documents: int = 32,
    batch: int = 16,
    dose: int = 128,
) -> list[dict[str, Any]]:
    """Milliseconds to the weights at a dose, by steps and by the forecast."""
    model = posterior(width, layers, documents, None)
    network, data = model.network, model.data
    batches = epochs(jax.random.key(2), documents, batch, dose)

    def run(params: Params, theory: str) -> Params:
        start, recipe = network.with_params(params), FinetuningRun(data, batches, Adam(), (dose,))
        if theory == FINETUNING:
            return recipe.finetune(start)
        return THEORIES[theory].follow(start, recipe)[1]

    programs = {
        name: jax.jit(run, static_argnums=1).lower(network.params, name).compile()
        for name in (FINETUNING, *THEORIES)
    }
    timings = interleaved(
        {name: lambda program=program: program(network.params) for name, program in programs.items()}, seconds
    )
    rows = [row(f"{FINETUNING}, {dose} steps", 1e3 * timings[FINETUNING], "ms")]
    for name, goal in zip(THEORIES, ("≤ 0.1", None), strict=True):
        ratio = timings[name] / timings[FINETUNING]
        rows.append(row(f"{name}, {dose} steps", 1e3 * timings[name], "ms", FINETUNING, ratio, goal))
    return rows
