"""Seals: proof that forecasts were made before the finetuning. No jax.

`finebayes forecast STUDY` finishes every cell that holds expectations of theories and seals them:
`forecast.json` has the hash of the config, a SHA-256 of each of these cells, the time, and a hash of all
that. The first finetuning of the run then writes `finetuning.json`: the time, and the seal at that time. From
then on the study is scored only if

    every sealed cell is the one that was sealed
    the finetuning began after the seal, and with this one

A run without a seal is scored as ever: its forecasts have no fitted number, but nobody can tell that they
came first.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from experiments.storage.files import digest, read_json, write_json
from experiments.storage.records import Cell
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

SEALED, BEGUN = "forecast.json", "finetuning.json"


@dataclass(frozen=True)
class Seal:
    """When the forecasts were sealed, the seal, the cells in it, and when finetuning began ("" before)."""

    made: str
    hash: str
    cells: int
    began: str


def refuse_late(run: RunFolder) -> Seal | None:
    """The seal of a run, None where one may still be made; refused once finetuning has begun without one."""
    sealed = check(run)
    if not sealed and ((run.folder / BEGUN).exists() or run.cells("finetuned")):
        raise Misuse(
            f"Finetuning has begun in {run.folder}, so a forecast made now would come after it; choose "
            "another --out."
        )
    return sealed


def seal(run: RunFolder) -> Seal:
    """Seal all finished cells of theories, or keep an earlier seal; refused once finetuning has begun."""
    sealed = refuse_late(run)
    if sealed:
        return sealed
    record = {
        "study": run.study,
        "config": run.config["hash"],
        "made": _now(),
        "cells": {cell.name: _sha(run, cell) for cell in run.cells()},
    }
    write_json(run.folder / SEALED, {**record, "hash": digest(record)})
    sealed = check(run)
    assert sealed is not None
    return sealed


def begin(run: RunFolder) -> None:
    """Note that finetuning begins now, and under which seal (once; a resumed run keeps the first note)."""
    if not (run.folder / BEGUN).exists():
        path = run.folder / SEALED
        sealed = read_json(path)["hash"] if path.exists() else None
        write_json(run.folder / BEGUN, {"began": _now(), "forecast": sealed})


def check(run: RunFolder) -> Seal | None:
    """The seal of a run, None if it has none; refuses forecasts that changed or that came too late."""
    path = run.folder / SEALED
    begun = read_json(run.folder / BEGUN) if (run.folder / BEGUN).exists() else {}
    if not path.exists():
        if begun.get("forecast"):
            raise Misuse(f"{path}, under which finetuning began, is gone; put it back, or run elsewhere.")
        return None
    record = read_json(path)
    seal_hash = record.pop("hash", None)
    if digest(record) != seal_hash or record["config"] != run.config["hash"]:
        raise Misuse(f"{path} was changed after it was sealed; these forecasts cannot be scored.")
    cells, made = record["cells"], record["made"]
    changed = [name for name, sha in cells.items() if _sha(run, Cell.parse(name)) != sha]
    if changed:
        raise Misuse(
            f"{len(changed)} of {len(cells)} forecasts are not those sealed on {made} "
            f"(first {changed[0]}); they cannot be scored."
        )
    late = begun and (begun["forecast"] != seal_hash or begun["began"] < made)
    if late or (not begun and run.cells("finetuned")):
        raise Misuse(
            f"The forecast of {made} was made after finetuning began"
            f"{' on ' + begun['began'] if begun else ''}; it cannot be scored."
        )
    return Seal(made, seal_hash, len(cells), begun.get("began", ""))


def _sha(run: RunFolder, cell: Cell | None) -> str:
    """Of the arrays' bytes as they lie on disk."""
    if cell is None or not run.path(cell).exists():
        return "missing"
    return hashlib.sha256(run.path(cell).read_bytes()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
