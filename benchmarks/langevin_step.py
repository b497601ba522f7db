"""Cost of a Langevin step over that of the gradient that it needs: 100k weights, documents of 24 tokens.

The yardstick is the bare value and gradient of a minibatch's likelihood, and a subtraction, in the same
kind of `lax.scan`, on rows drawn beforehand: no prior, no draws, no noise. A step is `sample` of the
NumPyro model: it draws the minibatch (a plate), adds the prior, and a normal number for each weight. Drawing
the numbers and the minibatch is also timed alone: the remainder is the prior and the update. One
device.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks._posterior import posterior, stepping
from benchmarks._timing import interleaved, row
from benchmarks.inner_loops import drawn
from theory.base import log_likelihood
from theory.compute import random as samples
from theory.samplers.harmonic_langevin import HarmonicLangevin
from theory.samplers.sgld import SGLD
from theory.weights.gibbs import Posterior

DOCUMENTS = 512


def measure(
    seconds: float = 15.0,
    *,
    width: int = 64,
    layers: int = 2,
    batches: tuple[int, ...] = (16, 128, 512),
    steps: int = 10,
) -> list[dict[str, Any]]:
    """Milliseconds a step, and the step over the bare gradient, for each size of the minibatch."""
    rows = []
    for batch in batches:
        model = posterior(width, layers, DOCUMENTS, batch)
        start, scale = model.weights(), model.scale()
        size = model.network.size  # type: ignore[attr-defined]
        names = {
            "SGLD step": stepping(SGLD(model, step_size=1e-3, scale=scale), start, steps),
            "HarmonicLangevin step": stepping(
                HarmonicLangevin(model, step_size=0.1, scale=scale), start, steps
            ),
            f"of that {size} normal numbers": drawn(samples.normal, jnp.zeros(size), steps),
            "of that the rows of a minibatch": drawn(
                lambda key, like: samples.rows(DOCUMENTS, len(like), key), jnp.zeros(batch, int), steps
            ),
        }
        bare = f"bare gradient, {batch} documents"
        timings = interleaved({bare: _gradients(model, batch, steps)} | names, seconds / len(batches))
        rows.append(row(bare, 1e3 * timings[bare] / steps, "ms"))
        for name in names:
            goal = "≤ 1.05" if "step" in name else None
            ratio = timings[name] / timings[bare]
            rows.append(
                row(f"{name}, {batch} documents", 1e3 * timings[name] / steps, "ms", bare, ratio, goal)
            )
    return rows


def _gradients(model: Posterior, batch: int, steps: int) -> Callable[[], Any]:
    """As many steps of the gradient alone."""
    rows = jax.random.randint(jax.random.key(0), (steps, batch), 0, DOCUMENTS)

    def descend(params: Any, rows: Any) -> Any:
        def potential(params: Any, chosen: Any) -> Any:
            data = jax.tree.map(lambda leaf: leaf[chosen], model.data)
            network = model.network.with_params(params)
            return -model.beta * DOCUMENTS / batch * jnp.sum(log_likelihood(network, data))

        def step(params: Any, chosen: Any) -> Any:
            value, gradient = jax.value_and_grad(potential)(params, chosen)
            return jax.tree.map(lambda weight, slope: weight - 1e-7 * slope, params, gradient), value

        return jax.lax.scan(step, params, rows)

    program = jax.jit(descend)
    return lambda: program(model.network.params, rows)
