"""Seals: proof that forecasts were made before the finetuning. No jax.

`finebayes forecast STUDY` finishes every cell that holds expectations of theories and seals them:
`forecast.json` has the hash of the config, a SHA-256 of each of these cells (of its reason, if it failed),
the time, and a hash of all that. The first finetuning of the run then writes `finetuning.json`: the time, and
the seal at that time. From then on the study is scored only if

    every sealed cell is the one that was sealed
    there is no forecast beside them
    the finetuning began after the seal, and with this one

A run without a seal is scored as ever: its forecasts have no fitted number, but nobody can tell that they
came first.
"""

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from experiments.storage.files import digest, write_json
from experiments.storage.manifests import Begun, SealRecord
from experiments.storage.records import Cell
from experiments.storage.run_folder import FINETUNING, FORECAST, RunFolder
from experiments.storage.typed import typed
from theory.errors import Misuse


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
    if not sealed and (_begun(run) or run.cells("finetuned")):
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
        "config": run.config.hash,
        "made": _now(),
        "cells": {cell.name: _sha(run, cell) for cell in _forecasts(run)},
    }
    write_json(run.folder / FORECAST, {**record, "hash": digest(record)})
    sealed = check(run)
    assert sealed is not None
    return sealed


def begin(run: RunFolder) -> None:
    """Note that finetuning begins now, and under which seal (once; a resumed run keeps the first note).

    Refused on a machine whose clock is before the seal: such a note would break it.
    """
    if _begun(run) is None:
        sealed, now = _sealed(run), _now()
        if sealed and now < sealed.made:
            raise Misuse(
                f"This machine's clock says {now}, and the forecasts were sealed on {sealed.made}; set the "
                "clock, or let another machine finetune."
            )
        note = {"began": now, "forecast": sealed.hash if sealed else None}
        write_json(run.folder / FINETUNING, note, once=True)


def check(run: RunFolder) -> Seal | None:
    """The seal of a run, None if it has none; refuses forecasts that changed, came too late, or are none of
    those that were sealed."""
    path, begun, record = run.folder / FORECAST, _begun(run), _sealed(run)
    if record is None:
        if begun and begun.forecast:
            raise Misuse(f"{path}, under which finetuning began, is gone; put it back, or run elsewhere.")
        return None
    content = asdict(record)
    content.pop("hash")
    if digest(content, run.config.generation) != record.hash or record.config != run.config.hash:
        raise Misuse(f"{path} was changed after it was sealed; these forecasts cannot be scored.")
    changed = [name for name, sha in record.cells.items() if _sha(run, Cell.parse(name)) != sha]
    if changed:
        raise Misuse(
            f"{len(changed)} of {len(record.cells)} forecasts are not those sealed on {record.made} "
            f"(first {changed[0]}); they cannot be scored."
        )
    added = [cell.name for cell in _forecasts(run) if cell.name not in record.cells]
    if added:
        raise Misuse(
            f"{added[0]} is not among the forecasts sealed on {record.made}, and cannot be scored beside "
            "them; move it away."
        )
    late = begun and (begun.forecast != record.hash or begun.began < record.made)
    if late or (not begun and run.cells("finetuned")):
        raise Misuse(
            f"The forecast of {record.made} was made after finetuning began"
            f"{' on ' + begun.began if begun else ''}; it cannot be scored."
        )
    return Seal(record.made, record.hash, len(record.cells), begun.began if begun else "")


def _sealed(run: RunFolder) -> SealRecord | None:
    return run.record(FORECAST, lambda values: typed(SealRecord, values), _remedy(run))


def _begun(run: RunFolder) -> Begun | None:
    return run.record(FINETUNING, lambda values: typed(Begun, values), _remedy(run))


def _remedy(run: RunFolder) -> str:
    return f"put it back, or {run.anew} in another folder"


def _forecasts(run: RunFolder) -> list[Cell]:
    """Cells of forecasts, finished or failed."""
    return [cell for cell in (*run.cells(), *run.failures()) if cell.is_forecast]


def _sha(run: RunFolder, cell: Cell | None) -> str:
    """Of the file's bytes as they lie on disk."""
    path = run.result(cell) if cell else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else "missing"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
