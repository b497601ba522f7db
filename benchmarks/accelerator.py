"""Speed of this machine's devices beside that of its CPU: chains, networks side by side, time to inference.

    python -m benchmarks.accelerator --chains 1024 --networks 64

Chains are those of `chain_scaling`, networks those of the demo, as they are pretrained. Where there is an
accelerator the CPU's numbers are measured in a process of its own, after the device's; else all are the
CPU's. Powers of four: to 64 chains and 16 networks on a CPU, to 1024 and 64 elsewhere, or as far as the
options say.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks._timing import interleaved, row
from benchmarks.chain_scaling import _run
from benchmarks.time_to_inference import _ours
from benchmarks.training_step import STEPS, _pretraining
from experiments.runs.environment import fix_settings
from experiments.studies import weird_generalisation as study

ROOT = Path(__file__).parents[1]
LEARNT, COMPILED = "a network learns", "compilation before that"
CPU = """
import json, sys, jax
jax.config.update("jax_num_cpu_devices", {cores})
from benchmarks.accelerator import rates
print(json.dumps(rates(**json.loads(sys.argv[1]))))
"""


def measure(
    seconds: float = 15.0,
    *,
    chains: int | None = None,
    networks: int | None = None,
    steps: int = 10,
    width: int = 32,
    wanted: float = 0.95,
) -> list[dict[str, Any]]:
    """Chain-steps and network-steps a second, and seconds until a network has learnt the wanted share."""
    alone = jax.default_backend() == "cpu"
    options = {
        "seconds": seconds,
        "chains": chains or (64 if alone else 1024),
        "networks": networks or (16 if alone else 64),
        "steps": steps,
        "width": width,
        "wanted": wanted,
    }
    ours = rates(**options)
    theirs = None if alone else _on_cpu(options)
    rows = []
    for name, values in ours.items():
        unit = "s" if name.startswith((LEARNT, COMPILED)) else "steps/s"
        if theirs is None:
            rows.append(row(name, values, unit))
            continue
        fast, slow = np.median(values), np.median(theirs[name])
        ratio = slow / fast if unit == "s" else fast / slow
        rows += [row(name, values, unit, "the CPU", ratio), row(f"{name}: the CPU", theirs[name], unit)]
    return rows


def rates(
    seconds: float, chains: int, networks: int, steps: int, width: int, wanted: float
) -> dict[str, list[float]]:
    """The same by name on the devices of this process, a value for each repeat."""
    fix_settings()
    experiment = study.experiment(study.PRESETS["small"])
    runs: dict[str, Callable[[], Any]] = {}
    made: dict[str, int] = {}
    for count in _powers(chains):
        name = f"{count} chain{'s' * (count > 1)}"
        runs[name], made[name] = _run(count, steps, width, 2), count * steps
    for count in _powers(networks):
        name = f"{count} network{'s' * (count > 1)} side by side"
        runs[name], made[name] = _pretraining(experiment, count, "muon"), count * STEPS
    values = {}
    for name, run in runs.items():  # one by one: all at once would not fit into a device's memory
        timings = interleaved({name: run}, seconds / len(runs))
        values[name] = (made[name] / timings[name]).tolist()
    learning, compiling = _ours(experiment, wanted)
    return values | {f"{LEARNT} {wanted:g} of inference": [learning], COMPILED: [compiling]}


def _powers(most: int) -> list[int]:
    return [4**power for power in range(most.bit_length()) if 4**power <= most]


def _on_cpu(options: dict[str, Any]) -> dict[str, list[float]]:
    """The CPU's numbers, of a process that has no accelerator."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words = [sys.executable, "-c", CPU.format(cores=cores), json.dumps(options)]
    variables = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    from benchmarks._alone import alone

    alone(measure, "accelerator")
