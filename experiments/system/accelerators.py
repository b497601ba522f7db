"""Accelerators of this machine, and the one that each of several processes has to itself. No jax.

jax takes three quarters of a device's memory for a process when it first computes, so that two processes on a
device are one too many. They are counted in a process of its own, which ends before any other starts.
"""

import os
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from theory.errors import Misuse

VISIBLE = "CUDA_VISIBLE_DEVICES"
COUNT = "import jax; print(jax.default_backend(), jax.local_device_count())"
PATIENCE = 120.0  # seconds in which a driver starts


def plugins() -> list[str]:
    """The names of jax's plugins for accelerators that are installed, whether or not there is a device."""
    declared = [entry.name for entry in entry_points(group="jax_plugins")]
    try:
        import jax_plugins  # pyright: ignore[reportMissingImports]
    except ImportError:
        return declared
    return [*declared, *(module.name for module in pkgutil.iter_modules(jax_plugins.__path__))]


def devices() -> list[str]:
    """The names by which the accelerators that this process may use are chosen; none on a CPU. Drivers that
    do not answer are refused: processes would share what they cannot count."""
    if os.environ.get("JAX_PLATFORMS") == "cpu" or not plugins():
        return []
    variables = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [sys.executable, "-c", COUNT]
    try:
        done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise Misuse(
            f"The accelerators of this machine could not be counted in {PATIENCE:.0f} s; call again, or set "
            "JAX_PLATFORMS=cpu for workers on its cores."
        ) from error
    backend, count = ([*done.stdout.split(), "", ""])[:2]
    if done.returncode or backend == "cpu" or not count.isdecimal():
        return []
    named = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    return named[: int(count)] if named else [str(number) for number in range(int(count))]


def divided(devices: Sequence[str], processes: int) -> list[dict[str, str]]:
    """The variables of each of so many processes: a device each, nothing where there is none.

    More processes than devices are refused, as each device's memory would be asked for twice.
    """
    if not devices:
        return [{}] * processes
    if processes > len(devices):
        count = f"{len(devices)} accelerator{'s' * (len(devices) > 1)}"
        raise Misuse(
            f"--workers {processes} are more than the {count} of this machine, each with memory for one "
            f"process; give --workers {len(devices)}, or set JAX_PLATFORMS=cpu for workers on its cores."
        )
    return [{VISIBLE: name} for name in devices[:processes]]
