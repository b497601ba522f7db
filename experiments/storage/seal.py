"""Forecasts made before the finetuning, and the proof of it. No jax.

`finebayes forecast STUDY` finishes every cell that says what theories expect and seals them: `forecast.json`
holds the hash of the config, a SHA-256 of each of these cells, the time, and a hash of all that. The first
finetuning of the run then writes `finetuning.json`: the time, and the seal it found. From then on the study
is scored only if

    every sealed cell is the one that was sealed
    the finetuning began after the seal, and with this one

A run without a seal is scored as ever: its forecasts have no fitted number, but nobody can tell that they
came first.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from experiments.storage.run_folder import Results, digest, read_json, write_json
from theory.errors import Misuse

THEORIES = ("theories", "langevin", "dynamics")  # cells named so hold no finetuned network
SEALED, BEGUN = "forecast.json", "finetuning.json"


@dataclass(frozen=True)
class Seal:
    """When the forecasts were sealed, the seal, the cells in it, and when finetuning began ("" before)."""

    made: str
    hash: str
    cells: int
    began: str


def is_forecast(cell: str) -> bool:
    """Whether a cell says what theories expect, and nothing of a finetuned network."""
    return cell.split("-", 1)[0] in THEORIES


def refuse_late(results: Results) -> Seal | None:
    """The seal there is, None where one may still be made; refused once finetuning has begun without one."""
    found = check(results)
    if not found and ((results.folder / BEGUN).exists() or not all(map(is_forecast, results.cells()))):
        raise Misuse(
            f"Finetuning has begun in {results.folder}, so a forecast made now would come after it; choose "
            "another --out."
        )
    return found


def seal(results: Results) -> Seal:
    """Seal all finished theory cells, or keep the seal there is; refused once finetuning has begun."""
    found = refuse_late(results)
    if found:
        return found
    told = {
        "study": results.study,
        "config": results.config["hash"],
        "made": _now(),
        "cells": {cell: _sha(results, cell) for cell in results.cells()},
    }
    write_json(results.folder / SEALED, {**told, "hash": digest(told)})
    found = check(results)
    assert found is not None
    return found


def begin(results: Results) -> None:
    """Note that finetuning begins now, and under which seal (once; a resumed run keeps the first note)."""
    if not (results.folder / BEGUN).exists():
        path = results.folder / SEALED
        sealed = read_json(path)["hash"] if path.exists() else None
        write_json(results.folder / BEGUN, {"began": _now(), "forecast": sealed})


def check(results: Results) -> Seal | None:
    """The seal of a run, None if it has none; refuses forecasts that changed or that came too late."""
    path = results.folder / SEALED
    begun = read_json(results.folder / BEGUN) if (results.folder / BEGUN).exists() else {}
    if not path.exists():
        if begun.get("forecast"):
            raise Misuse(f"{path}, under which finetuning began, is gone; put it back, or run elsewhere.")
        return None
    told: dict[str, Any] = read_json(path)
    own = {key: value for key, value in told.items() if key != "hash"}
    if digest(own) != told.get("hash") or own["config"] != results.config["hash"]:
        raise Misuse(f"{path} was changed after it was sealed; these forecasts cannot be scored.")
    changed = [cell for cell, sha in own["cells"].items() if _sha(results, cell) != sha]
    if changed:
        raise Misuse(
            f"{len(changed)} of {len(own['cells'])} forecasts are not those sealed on {own['made']} "
            f"(first {changed[0]}); they cannot be scored."
        )
    late = begun and (begun["forecast"] != told["hash"] or begun["began"] < own["made"])
    if late or (not begun and any(not is_forecast(cell) for cell in results.cells())):
        raise Misuse(
            f"The forecast of {own['made']} was made after finetuning began"
            f"{' on ' + begun['began'] if begun else ''}; it cannot be scored."
        )
    return Seal(own["made"], told["hash"], len(own["cells"]), begun.get("began", ""))


def _sha(results: Results, cell: str) -> str:
    """Of the arrays' bytes as they lie on disk."""
    path = results.folder / "cells" / f"{cell}.npz"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "missing"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
