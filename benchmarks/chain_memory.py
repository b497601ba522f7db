"""Peak memory against the number of samples: `run_chains`, which reduces them as they come, NumPyro's MCMC,
which stores them.

Both run the same ULA kernel on a standard normal of 5000 weights, two chains: with streams for the mean, a
covariance of 32 weights and an average prediction, and with `MCMC.run`, vectorized. "process" is the most
memory that a process of its own ever held, Python and compilation included; "program" is what XLA says that
the compiled program takes besides its inputs. The figure goes to a temporary file, whose name is on stderr,
or to the file of `python -m benchmarks.chain_memory --figure memory.png`.
"""

import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC

from benchmarks._timing import row
from theory.compute.devices import sharded
from theory.mcmc.chains import (
    Plan,
    Stream,
    advance,
    begin,
    covariance,
    log_mean_exp,
    mean,
    results,
    run_chains,
)
from theory.samplers.ula import ULA

CHAINS, CHUNK, WATCHED = 2, 200, 32
OURS, THEIRS = "run_chains", "NumPyro MCMC"


def measure(
    seconds: float = 15.0,
    *,
    samples: tuple[int, ...] = (100, 1000, 10000),
    weights: int = 5000,
    figure: Path | None = None,
) -> list[dict[str, Any]]:
    """Megabytes for each number of draws, and over those of the fewest; `seconds` is of no use here."""
    rows, lines = [], {}
    for name in (OURS, THEIRS):
        peaks = [_apart(_peak, name, count, weights) for count in samples]
        programs = [_program(name, count, weights) for count in samples]
        for what, megabytes, goal in (("process", peaks, "≤ 1.1"), ("program", programs, "≤ 1.0")):
            lines[f"{name}, {what}"] = megabytes
            for count, megabyte in zip(samples, megabytes, strict=True):
                against = None if count == samples[0] else f"{samples[0]} draws"
                ratio = None if against is None else megabyte / megabytes[0]
                limit = goal if name == OURS and against else None
                rows.append(row(f"{name}, {what}, {count} draws", megabyte, "MB", against, ratio, limit))
    _draw(lines, samples, figure)
    return rows


def _apart(function: Callable[..., float], *arguments: Any) -> float:
    """The same call in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _peak(name: str, samples: int, weights: int) -> float:
    """The most memory that this process held up to the end of a run, in MB."""
    kernel, key, plan = _kernel(), jax.random.key(0), Plan(0, samples)
    if name == OURS:
        *_, last = run_chains(kernel, key, CHAINS, plan, _streams(), jnp.zeros(weights), chunk=CHUNK)
        mean = results(plan, _streams(), last)["mean"]
    else:
        mean = jnp.mean(_stored(samples)(key, jnp.zeros((CHAINS, weights))), axis=1)
    assert np.all(np.isfinite(mean))
    try:  # of this process alone; ru_maxrss begins with that of its parent
        kibibytes = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
        return int(kibibytes) * 1024 / 1e6
    except (OSError, IndexError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _program(name: str, samples: int, weights: int) -> float:
    """Temporaries and results of the compiled program, in MB."""
    if name == OURS:
        kernel, plan, streams = _kernel(), Plan(0, samples), _streams()
        first = jax.vmap(lambda key: begin(kernel, plan, streams, key, jnp.zeros(weights)))
        carry = jax.eval_shape(first, jax.ShapeDtypeStruct((CHAINS, 2), jnp.uint32))
        program, _ = sharded(lambda times, carry: advance(kernel, plan, streams, carry, times), CHAINS, 1, 1)
        lowered = program.lower(jax.ShapeDtypeStruct((CHUNK,), jnp.int32), carry)
    else:
        start = jax.ShapeDtypeStruct((CHAINS, weights), jnp.float32)
        lowered = jax.jit(_stored(samples)).lower(jax.random.key(0), start)
    memory = lowered.compile().memory_analysis()
    return (memory.temp_size_in_bytes + memory.output_size_in_bytes) / 1e6


def _kernel() -> ULA:
    return ULA(potential_fn=lambda z: 0.5 * jnp.sum(z**2), step_size=0.1)


def _streams() -> Mapping[str, Stream]:
    return {
        "mean": mean(lambda state: state.z),
        "covariance": covariance(lambda state: state.z[:WATCHED]),
        "average": log_mean_exp(lambda state: jax.nn.log_softmax(state.z[:WATCHED])),
    }


def _stored(samples: int) -> Callable[[Any, Any], Any]:
    """(key, first positions) -> all samples, (chains, samples, weights)."""

    def run(key: Any, start: Any) -> Any:
        mcmc = MCMC(
            _kernel(),
            num_warmup=0,
            num_samples=samples,
            num_chains=CHAINS,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(key, init_params=start)
        return mcmc.get_samples(group_by_chain=True)

    return run


def _draw(lines: Mapping[str, list[float]], samples: tuple[int, ...], figure: Path | None) -> None:
    """Draw megabytes over samples, both logarithmic, and print the path of the figure."""
    from matplotlib.figure import Figure

    if figure is None:
        with tempfile.NamedTemporaryFile(prefix="chain-memory-", suffix=".png", delete=False) as file:
            figure = Path(file.name)
    page = Figure(figsize=(5, 3.5), layout="constrained")
    axes = page.subplots()
    for name, megabytes in lines.items():
        style = {"color": "C0" if name.startswith(OURS) else "C1", "marker": "o"}
        axes.plot(samples, megabytes, "-" if name.endswith("process") else "--", label=name, **style)
    axes.set(xscale="log", yscale="log", xlabel="draws of each chain", ylabel="memory (MB)")
    axes.legend(frameon=False, fontsize="small")
    page.savefig(figure, dpi=150)
    print(f"figure: {figure}", file=sys.stderr)


if __name__ == "__main__":
    from benchmarks._alone import alone

    alone(measure, "chain_memory")
