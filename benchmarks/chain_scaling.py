"""Steps of a chain a second from one chain to many in parallel, and the number at which they saturate.

`HarmonicLangevin` on the posterior of a network of the studies' size (width 32, two layers; 16 documents of
24 tokens a minibatch), as `theory.mcmc.chains.run_chains` runs it: the potential's mean is kept, chains lie
on all devices (each core of a CPU is one). Powers of four to 64 on a CPU and 1024 on a GPU, or as far as
`python -m benchmarks.chain_scaling --chains 256` says.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._posterior import posterior
from benchmarks._timing import interleaved, row
from theory.compute.devices import batch_per_device, padded, sharded
from theory.mcmc.chains import Plan, advance, begin, mean
from theory.samplers.harmonic_langevin import HarmonicLangevin

DOCUMENTS, BATCH = 512, 16
ENOUGH = 0.9  # share of the best rate from which on it counts as saturated


def measure(
    seconds: float = 15.0, *, chains: int | None = None, steps: int = 10, width: int = 32, layers: int = 2
) -> list[dict[str, Any]]:
    """Chain-steps a second, over those of one chain, for each number of chains up to `chains`."""
    most = chains or (64 if jax.default_backend() == "cpu" else 1024)
    counts = [4**power for power in range(most.bit_length()) if 4**power <= most]
    timings = interleaved({str(count): _run(count, steps, width, layers) for count in counts}, seconds)
    rates = {count: count * steps / timings[str(count)] for count in counts}
    rows = [row("1 chain", rates[1], "steps/s")]
    rows += [
        row(f"{count} chains", rates[count], "steps/s", "1 chain", rates[count] / rates[1])
        for count in counts[1:]
    ]
    medians = {count: float(np.median(rate)) for count, rate in rates.items()}
    enough = min(count for count in counts if medians[count] >= ENOUGH * max(medians.values()))
    rows.append(row(f"fewest chains with {ENOUGH:.0%} of the best rate", enough, f"of {counts[-1]}"))
    return rows


def _run(chains: int, steps: int, width: int, layers: int) -> Callable[[], Any]:
    """A call takes `steps` steps of every chain, always from the same carry."""
    model = posterior(width, layers, DOCUMENTS, BATCH)
    kernel = HarmonicLangevin(model, step_size=0.1, scale=model.scale())
    plan, streams = Plan(0, steps), {"potential": mean(lambda state: state.potential_energy)}
    rows = padded(chains)
    keys = np.stack([jax.random.key_data(jax.random.fold_in(jax.random.key(0), r)) for r in rows])
    first, put = sharded(lambda key: begin(kernel, plan, streams, key, model.weights()), len(rows), 0, 1)
    program, _ = sharded(
        lambda times, carry: advance(kernel, plan, streams, carry, times),
        len(rows),
        shared=1,
        mapped=1,
        batch=batch_per_device(model.network.size),  # type: ignore[attr-defined]
    )
    carry, times = first(put(keys)), jnp.arange(steps)
    return lambda: program(times, carry)


if __name__ == "__main__":
    from benchmarks._alone import alone

    alone(measure, "chain_scaling")
