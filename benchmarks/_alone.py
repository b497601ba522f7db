"""`python -m benchmarks.NAME [--options]`: one benchmark by itself, its constants as options."""

import os
from collections.abc import Callable
from typing import Any

import jax
import tyro

from benchmarks.__main__ import table


def alone(measure: Callable[..., list[dict[str, Any]]], name: str) -> None:
    """Run `measure` with the options given on the command line, and print its rows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)  # as `finebayes run` does
    rows = tyro.cli(measure, prog=f"python -m benchmarks.{name}")
    print(table([{"benchmark": name, **row} for row in rows]))
