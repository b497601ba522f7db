"""`make accelerator`: doctor, benchmark and a smoke study on this machine's devices, in one JSON.

    python -m benchmarks._accelerator_report --out accelerator.json --chains 1024 --networks 64

Each is a process of its own, one after the other, as a device's memory holds one. What fails has its last
words in the file, and the command ends with an error.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from experiments.storage.files import write_json
from experiments.system import surroundings

STUDY = "weird-generalisation", "--preset", "smoke"
BENCHMARK = """
import json, sys
from experiments.runs.environment import environment, prepare_devices
prepare_devices()
from benchmarks.accelerator import measure
rows = measure(**json.loads(sys.argv[1]))
print(json.dumps({"environment": environment(), "rows": rows}))
"""


@dataclass(frozen=True)
class Options:
    """Doctor, benchmark and a smoke study on this machine's devices, in one JSON."""

    out: str = "accelerator.json"
    """The file."""
    seconds: float = 60.0
    """How long the benchmark repeats its measurements, compilation not counted."""
    chains: int = 0
    """The most chains; 0: 64 on a CPU, 1024 elsewhere."""
    networks: int = 0
    """The most networks side by side; 0: 16 on a CPU, 64 elsewhere."""
    wanted: float = 0.95
    """The share of inference until which a network is trained."""
    study: tuple[str, ...] = STUDY
    """The study, with options."""


def main(arguments: list[str] | None = None) -> int:
    """Run all three, write the file; 1 where one of them failed."""
    options = tyro.cli(Options, prog="python -m benchmarks._accelerator_report", args=arguments)
    sizes = {"seconds": options.seconds, "wanted": options.wanted}
    sizes |= {name: getattr(options, name) or None for name in ("chains", "networks")}
    benchmark = [sys.executable, "-c", BENCHMARK, json.dumps(sizes)]
    with tempfile.TemporaryDirectory() as folder:
        run = surroundings.command_line("run", *options.study, "--out", str(Path(folder) / "run"))
        parts = {
            "doctor": _part("doctor", surroundings.command_line("doctor", "--json")),
            "benchmark": _part("benchmark", benchmark),
            "study": _part("study", run),
        }
        parts["study"] |= {"words": list(options.study), "scores": _scores(Path(folder) / "run")}
    write_json(Path(options.out), parts)
    print(options.out)
    return int(any(part["status"] for part in parts.values()))


def _part(name: str, words: list[str]) -> dict[str, Any]:
    """What a process prints, as plain values, its status and seconds; its last words where it failed."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    start = time.perf_counter()
    done = subprocess.run(words, env=surroundings.variables(), capture_output=True, text=True)
    values: dict[str, Any] = {"status": done.returncode, "seconds": time.perf_counter() - start}
    if done.returncode:
        values["failed"] = done.stderr.strip().splitlines()[-1:] or ["no words"]
    lines = done.stdout.strip().splitlines()
    if lines and lines[-1].startswith("{"):
        values |= json.loads(lines[-1])
    return values


def _scores(folder: Path) -> list[dict[str, Any]]:
    """The scorecard of the study; none where it failed."""
    if not (folder / "DONE").exists():
        return []
    words = surroundings.command_line("score", str(folder), "--json")
    done = subprocess.run(words, env=surroundings.variables(), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    raise SystemExit(main())
