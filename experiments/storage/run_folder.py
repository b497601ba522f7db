"""A run's folder: written so that a kill costs at most one cell, or one chunk of pretraining. No jax.

    config.json        the resolved config, and its hash
    environment.json   versions, git commit and whether it was dirty, devices
    cells/CELL.npz     the arrays of a finished cell (no pickles); CELL.failed.json the reason of a failed one
    rows.jsonl         a line for each finetuned cell, dose, theory and group, with a value for each seed
    networks.json      how far the base networks are from the exact predictor
    lock               held while a process writes
    figures/, report.html, DONE

A finished cell is never run again. `experiments.storage.records` names cells, `experiments.storage.contents`
says what they hold. Other files in cells/ are ignored.
"""

import functools
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.storage.contents import CONTENTS, CellContent
from experiments.storage.files import digest, read_json, write, write_json, write_text
from experiments.storage.records import Arrays, Cell, Json, Row
from experiments.storage.run import Run
from theory.errors import Misuse

FAILED = ".failed.json"


@dataclass(frozen=True)
class RunFolder(Run):
    """A run's folder, for reading and writing."""

    folder: Path

    @property
    def config(self) -> Json:
        """The whole of config.json: study, preset, hash, and the study's options."""
        path = self.folder / "config.json"
        config = read_json(path)
        known = isinstance(config, dict) and {"study", "preset", "config"} <= config.keys()
        if (
            not known
            or not isinstance(config["config"], dict)
            or not isinstance(config.get("files", []), list)
        ):
            raise Misuse(f"{path} is no config of a run; run again in another folder.")
        return config

    @property
    def study(self) -> str:
        """The name of the study."""
        return str(self.config["study"])

    @property
    def options(self) -> Json:
        """The resolved config of the study."""
        return self.config["config"]

    @property
    def doses(self) -> tuple[int, ...]:
        """Finetuning steps after which networks are compared."""
        options = self.options
        try:
            return tuple(options.get("finetuning", options)["doses"])
        except (AttributeError, KeyError, TypeError):
            path = self.folder / "config.json"
            self.refuse_other_version(path)
            raise Misuse(f"{path} has no list of doses; run again in another folder.") from None

    def draw(self, base: int) -> int:
        """The draw of the process that a base network has learnt: each has as many networks."""
        options = self.options
        return base // options["pretraining"]["seeds"] if options.get("process_seeds", 1) > 1 else 0

    def refuse_other_version(self, path: Path) -> None:
        """Refuse a file that cannot be read where the run is not of this version, or its config was
        changed."""
        config = dict(self.config)
        if config.pop("hash", None) != digest(config):
            raise Misuse(
                f"{self.folder} was made by another version of finebayes, or its config.json was changed: "
                f"{path.name} cannot be read; read it with that version, or run again in another folder."
            )

    def finished_cells(self) -> list[Cell]:
        """Every finished cell, sorted."""
        cells = (Cell.parse(path.stem) for path in self._cells.glob("*.npz"))
        return sorted(cell for cell in cells if cell is not None)

    def failures(self) -> dict[Cell, str]:
        """Failed cells and their reasons, sorted."""
        paths = (
            (Cell.parse(path.name.removesuffix(FAILED)), path) for path in self._cells.glob(f"*{FAILED}")
        )
        failed = {cell: str(read_json(path)["reason"]) for cell, path in paths if cell is not None}
        return dict(sorted(failed.items()))

    def finished(self, cell: Cell) -> bool:
        """Whether a cell need not be run again (a failed one fails again: the run is deterministic)."""
        return self.path(cell).exists() or self._reason(cell).exists()

    def fail(self, cell: Cell, reason: str) -> None:
        """Record why a cell has no result."""
        write_json(self._reason(cell), {"reason": reason})

    def save(self, cell: Cell, content: CellContent) -> None:
        """Keep a finished cell."""
        if not isinstance(content, CONTENTS[cell.kind]):
            raise Misuse(
                f"{cell.name} holds a {CONTENTS[cell.kind].__name__}, got a {type(content).__name__}."
            )
        arrays = content.to_arrays()
        write(self.path(cell), lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))

    def load(self, cell: Cell) -> CellContent:
        """A finished cell's content by its kind; the arrays are read only."""
        path = self.path(cell)
        try:
            status = path.stat()
            arrays = _arrays(path.absolute(), status.st_ino, status.st_mtime_ns)
            return CONTENTS[cell.kind].from_arrays(arrays)
        except FileNotFoundError:
            raise Misuse(f"{path} is missing: the cell is not finished; run again.") from None
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, Misuse) as error:
            self.refuse_other_version(path)
            raise Misuse(
                f"{path} is damaged ({error}); delete it and run again: only it is redone."
            ) from error

    def read(self, cell: Cell) -> CellContent | None:
        """The same, or None if the cell is not finished."""
        return self.load(cell) if self.path(cell).exists() else None

    def rows(self) -> list[Row]:
        """The saved table; empty before the first cell is scored."""
        path = self.folder / "rows.jsonl"
        if not path.exists():
            return []
        try:
            return [Row.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        except (json.JSONDecodeError, UnicodeDecodeError, Misuse) as error:
            self.refuse_other_version(path)
            raise Misuse(
                f"{path} is damaged ({error}); delete it and run again: no cell is redone."
            ) from error

    def save_rows(self, rows: Sequence[Row]) -> None:
        """Replace the table."""
        lines = [json.dumps(row.to_json(), allow_nan=False) + "\n" for row in rows]
        write_text(self.folder / "rows.jsonl", "".join(lines))

    def path(self, cell: Cell) -> Path:
        """The file of a finished cell."""
        return self._cells / f"{cell.name}.npz"

    @property
    def _cells(self) -> Path:
        return self.folder / "cells"

    def _reason(self, cell: Cell) -> Path:
        return self._cells / f"{cell.name}{FAILED}"


@functools.lru_cache(maxsize=64)  # scores, figures and the report all read the same cells
def _arrays(path: Path, *status: int) -> Arrays:
    """The arrays of a file, read only; `status` changes whenever the file does."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def create(folder: Path, config: Json, environment: Json) -> RunFolder:
    """A run's folder for this config: new, or the same config's unfinished one."""
    path = folder / "config.json"
    ours = {**config, "hash": digest(config)}
    if path.exists():
        theirs = read_json(path)
        if theirs != ours:
            changed = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
            changed.remove("hash")
            other = f"config (it differs in {', '.join(changed)})" if changed else "version of finebayes"
            raise Misuse(
                f"{folder} holds a run of another {other}; choose another --out, or omit --out to get a "
                "folder for each."
            )
    elif folder.exists() and any(entry.name not in ("lock", "networks") for entry in folder.iterdir()):
        raise Misuse(f"{folder} is not empty and holds no run (no config.json); choose another --out.")
    else:
        write_json(folder / "environment.json", environment)
        write_json(path, ours)
    return RunFolder(folder)


def find(folder: str | Path) -> RunFolder:
    """The run in a folder, or the only one below it."""
    if not isinstance(folder, str | Path):
        raise Misuse(f"A folder is needed, like results/STUDY/HASH, got {folder!r:.60}.")
    root = Path(folder)
    if not root.is_dir():
        raise Misuse(f"There is no folder {folder}; give the folder that `finebayes run` printed.")
    if (root / "config.json").exists():
        return RunFolder(root)
    runs = sorted(path.parent for path in root.glob("**/config.json"))
    if len(runs) == 1:
        return RunFolder(runs[0])
    if not runs:
        raise Misuse(f"{folder} holds no run (no config.json); give the folder that `finebayes run` printed.")
    raise Misuse(f"{folder} holds {len(runs)} runs; give one of them: {', '.join(map(str, runs))}.")
