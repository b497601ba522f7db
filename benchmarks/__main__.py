"""`python -m benchmarks [--only NAME ...] [--seconds S] [--json]`: every benchmark, one table."""

import dataclasses
import importlib
import json
import os
import pkgutil
import platform
import sys
from importlib.metadata import version
from typing import Any

import tyro

import benchmarks
from experiments.discovery import choose
from theory.errors import Misuse

TABLE = "forecasts"  # which reads runs, and has a command of its own


@dataclasses.dataclass(frozen=True)
class Options:
    """Speed, against what the machine could do and against peers. Medians (least - most) of the repeats."""

    only: tuple[str, ...] = ()
    """The benchmarks to run (default: all)."""
    seconds: float = 15.0
    """How long each one repeats its measurement, compilation not counted."""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str] | None = None) -> None:
    """Run the chosen benchmarks one after the other, then print."""
    options = tyro.cli(Options, prog="python -m benchmarks", args=arguments)
    modules = {module.name for module in pkgutil.iter_modules(benchmarks.__path__)} - {TABLE}
    names = sorted(name for name in modules if name[0] != "_")
    chosen = [choose("benchmark", name.replace("-", "_"), names) for name in options.only] or names
    import jax

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)  # as `finebayes run` does
    machine = {
        "machine": platform.machine(),
        "cores": cores,
        "devices": [str(device) for device in jax.devices()],
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: version(name) for name in ("jax", "optax", "flax")},
    }
    rows: list[dict[str, Any]] = []
    for name in chosen:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += [
            {"benchmark": name, **row}
            for row in importlib.import_module(f"benchmarks.{name}").measure(options.seconds)
        ]
    if options.json:
        print(json.dumps({"machine": machine, "rows": rows}, indent=1, ensure_ascii=False))
    else:
        print(", ".join(f"{key} {value}" for key, value in machine.items()))
        print("load: other work on the machine before this run; above 0.3 the numbers are not to be trusted")
        print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Rows in aligned columns, a line between benchmarks."""
    head = ["name", "value", "unit", "against", "ratio", "goal", "met"]
    lines = [
        [
            row["name"],
            _range(row["value"], row["low"], row["high"]),
            row["unit"],
            row["against"] or "",
            _range(row["ratio"], row["ratio_low"], row["ratio_high"]),
            row["goal"] or "",
            {None: "", True: "yes", False: "NO"}[row["met"]],
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]

    def line(cells: list[str]) -> str:
        padded = zip(cells, widths, strict=True)
        return "  ".join(f"{cell:{width}s}" for cell, width in padded).rstrip()

    text, last = [line(head)], None
    for row, cells in zip(rows, lines, strict=True):
        if row["benchmark"] != last:
            last = row["benchmark"]
            text.append(f"\n{last}")
        text.append(line(cells))
    return "\n".join(text)


def _range(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return ""
    return _short(value) if low == high else f"{_short(value)} ({_short(low)} - {_short(high)})"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


if __name__ == "__main__":
    try:
        main()
    except Misuse as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
