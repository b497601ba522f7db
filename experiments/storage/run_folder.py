"""A run's folder: written so that a kill costs at most one cell, or one chunk of pretraining. No jax.

    config.json        the resolved config, digests of the code, and a hash of all that
    environment.json   versions, git commit and whether it was dirty, devices, settings of jax
    cells/CELL.npz     the arrays of a finished cell (no pickles), which name the run and the cell that they
                       are of; CELL.failed.json the reason of a failed one
    rows.jsonl         a line for each finetuned cell, dose, theory and group, with a value for each seed
    networks.json      how far the base networks are from the exact predictor
    measures.csv       what is known before finetuning and might explain scores, where a study asks for it
    makers/            which process made which cells (experiments.storage.makers)
    workers.json, claims/  where networks are, and at which cells workers are (experiments.storage.workplace)
    lock               held while a process writes
    figures/, report.html, DONE (experiments.storage.done)

A finished cell is never run again. `experiments.storage.records` names cells, `experiments.storage.contents`
says what they hold, `experiments.storage.manifests` what is in the JSON files. All are checked where they are
read. Other files in cells/ are ignored, and named by `strays`.
"""

import functools
import os
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from experiments.storage.archive import DamagedCell, is_whole, read_arrays, write_arrays
from experiments.storage.contents import CONTENTS, CellContent, content_of
from experiments.storage.done import DONE, ROWS, write_done
from experiments.storage.files import (
    TEMPORARY,
    check_regular,
    read_json,
    sweep,
    write,
    write_json,
)
from experiments.storage.makers import MAKERS
from experiments.storage.manifests import Failure, Quality, RunConfig
from experiments.storage.records import Arrays, Cell, Json, Row
from experiments.storage.row_file import RowFile, write_row
from experiments.storage.run import Run
from experiments.storage.typed import typed
from theory.errors import Misuse

CONFIG, ENVIRONMENT = "config.json", "environment.json"
NETWORKS, MEASURES = "networks.json", "measures.csv"
FAILED, ASIDE = ".failed.json", ".damaged"
SUFFIXES = re.compile(r"(\.npz(\.damaged)?|\.failed\.json)$")  # of cells
EARLY = ("lock", "networks", ENVIRONMENT, CONFIG)  # what a run that was killed at once leaves
FORECAST, FINETUNING = "forecast.json", "finetuning.json"  # experiments.storage.seal
REPORT = "report.html"
ELSEWHERE = "run again in another folder"
Record = TypeVar("Record")


@dataclass(frozen=True)
class RunFolder(Run):
    """A run's folder, for reading and writing."""

    folder: Path

    @property
    def config(self) -> RunConfig:
        """The content of config.json; a file that is none, or was changed, is refused."""
        path = self.folder / CONFIG
        check_regular(path)
        status = path.stat()
        return _config(path.absolute(), status.st_ino, status.st_mtime_ns)

    @property
    def study(self) -> str:
        """The name of the study."""
        return self.config.study

    @property
    def options(self) -> Json:
        """The resolved config of the study."""
        return self.config.config

    @property
    def doses(self) -> tuple[int, ...]:
        """Finetuning steps after which networks are compared."""
        options = self.options
        try:
            return tuple(options.get("finetuning", options)["doses"])
        except (AttributeError, KeyError, TypeError):
            path = self.folder / CONFIG
            self.refuse_other_version(path)
            raise Misuse(f"{path} has no list of doses; {ELSEWHERE}.") from None

    @property
    def environment(self) -> Json:
        """The machine and the versions that began the run; empty before it is noted."""
        return self.record(ENVIRONMENT, dict) or {}

    def quality(self) -> Quality | None:
        """The distance of the base networks from the exact predictor; None before it is measured."""
        return self.record(NETWORKS, Quality.from_json)

    def record(self, name: str, make: Callable[[Json], Record], remedy: str = "") -> Record | None:
        """The record in a JSON file of the folder; None if there is none. A damaged one is refused, with what
        to do about it."""
        path = self.folder / name
        if not path.exists():
            return None
        remedy = remedy or f"delete it and {self.anew}"
        values = read_json(path, remedy)
        try:
            return make(values)
        except Misuse as error:
            self.refuse_other_version(path)
            raise Misuse(f"{path} is damaged ({error}); {remedy}.") from error

    def draw(self, base: int) -> int:
        """The draw of the process that a base network has learnt: each has as many networks. The worlds of a
        study are draws, too."""
        options = self.options
        several = options.get("process_seeds", 1) > 1 or options.get("worlds")
        return base // options["pretraining"]["seeds"] if several else 0

    def refuse_other_version(self, path: Path) -> None:
        """Refuse a file that cannot be read where the run is not of this version."""
        if not self.config.is_current:
            raise Misuse(
                f"{self.folder} was made by another version of finebayes: {path.name} cannot be read; read "
                f"it with that version, or {ELSEWHERE}."
            )

    def finished_cells(self) -> list[Cell]:
        """Every finished cell, sorted."""
        cells = (Cell.parse(path.stem) for path in self._cells.glob("*.npz"))
        return sorted(cell for cell in cells if cell is not None)

    def strays(self) -> list[Path]:
        """Files in cells/ that are no cells, nor were set aside: nothing reads them."""
        paths = (path for path in self._cells.glob("*") if not TEMPORARY.fullmatch(path.name))
        return sorted(path for path in paths if Cell.parse(SUFFIXES.sub("", path.name)) is None)

    def stray_sentences(self) -> list[str]:
        """That they are ignored, a sentence each."""
        return [f"{path} is ignored, as it has not the name of a cell." for path in self.strays()]

    def failures(self) -> dict[Cell, str]:
        """Failed cells and their reasons, sorted."""
        cells = (Cell.parse(path.name.removesuffix(FAILED)) for path in self._cells.glob(f"*{FAILED}"))
        reasons = {
            cell: self.record(f"cells/{cell.name}{FAILED}", lambda values: typed(Failure, values))
            for cell in cells
            if cell is not None
        }
        return {cell: failure.reason for cell, failure in sorted(reasons.items()) if failure}

    def results(self) -> set[str]:
        """The names of cells that need not be run again, by one look at the folder."""
        entries = os.listdir(self._cells) if self._cells.is_dir() else []
        return {
            name.removesuffix(FAILED).removesuffix(".npz")
            for name in entries
            if name[0] != "." and name.endswith((".npz", FAILED))
        }

    def finished(self, cell: Cell) -> bool:
        """Whether a cell need not be run again (a failed one fails again: the run is deterministic)."""
        return self.result(cell) is not None

    def result(self, cell: Cell) -> Path | None:
        """The file of a finished or failed cell; None before."""
        return next((path for path in (self.path(cell), self._reason(cell)) if path.exists()), None)

    def fail(self, cell: Cell, reason: str, once: bool = False) -> None:
        """Record why a cell has no result."""
        write_json(self._reason(cell), {"reason": reason}, once)

    def save(self, cell: Cell, content: CellContent, once: bool = False) -> None:
        """Keep a finished cell; with `once`, unless another process was first."""
        if not isinstance(content, CONTENTS[cell.kind]):
            names = " or ".join(part.__name__ for part in CONTENTS[cell.kind])
            raise Misuse(f"{cell.name} holds a {names}, got a {type(content).__name__}.")
        write_arrays(self.path(cell), content.to_arrays(), self._mark(cell), once)

    def load(self, cell: Cell) -> CellContent:
        """A finished cell's content by its kind; the arrays are read only."""
        path = self.path(cell)
        try:
            status = path.stat()
            arrays = _arrays(path.absolute(), self._mark(cell), status.st_ino, status.st_mtime_ns)
            return content_of(cell.kind, arrays)
        except FileNotFoundError:
            raise Misuse(f"{path} is missing: the cell is not finished; {self.anew}.") from None
        except Misuse as error:
            self.refuse_other_version(path)
            sentence = f"{path} is damaged ({error}); delete it and {self.anew}: no other cell is changed."
            raise DamagedCell(sentence, cell) from error

    def cut_short(self) -> list[Cell]:
        """The finished cells whose files do not end as they should, by a look at their ends."""
        return [cell for cell in self.finished_cells() if not is_whole(self.path(cell))]

    def set_aside(self, cell: Cell) -> Path | None:
        """Rename the file of a damaged cell, so that it counts as missing; None if it can be read."""
        try:
            self.load(cell)
        except DamagedCell:
            return self.path(cell).replace(f"{self.path(cell)}{ASIDE}")
        return None

    def read(self, cell: Cell) -> CellContent | None:
        """The same, or None if the cell is not finished."""
        return self.load(cell) if self.path(cell).exists() else None

    def rows(self) -> RowFile | list[Row]:
        """The saved table; empty before the first cell is scored."""
        path = self.folder / ROWS
        if not path.exists():
            return []
        check_regular(path)
        return RowFile.of(path.absolute(), self.study, functools.partial(self._refuse_rows, path))

    def _refuse_rows(self, path: Path, error: Exception) -> NoReturn:
        self.refuse_other_version(path)
        raise Misuse(
            f"{path} is damaged ({error}); delete it and {self.anew}: no cell is changed."
        ) from error

    def save_rows(self, rows: Iterable[Row]) -> None:
        """Replace the table."""
        write(self.folder / ROWS, lambda file: [write_row(file, row) for row in rows])
        if (self.folder / DONE).exists():
            write_done(self.folder)

    def path(self, cell: Cell) -> Path:
        """The file of a finished cell."""
        return self._cells / f"{cell.name}.npz"

    @property
    def _cells(self) -> Path:
        return self.folder / "cells"

    def _reason(self, cell: Cell) -> Path:
        return self._cells / f"{cell.name}{FAILED}"

    def _mark(self, cell: Cell) -> str:
        """The purpose of a cell's file: this very run, and this cell."""
        return f"{self.config.hash} {cell.name}"


@functools.lru_cache(maxsize=64)  # every cell names its run
def _config(path: Path, *status: int) -> RunConfig:
    """The content of config.json; `status` changes whenever the file does."""
    values = read_json(path, ELSEWHERE)
    if {"study", "preset", "config", "hash"} <= values.keys() and "generation" not in values:
        raise Misuse(f"{path.parent} was made by another version of finebayes; {ELSEWHERE}.")
    try:
        return RunConfig.from_json(values)
    except Misuse as error:
        raise Misuse(f"{path} is no config of a run: {error}; put it back, or {ELSEWHERE}.") from error


@functools.lru_cache(maxsize=64)  # scores, figures and the report all read the same cells
def _arrays(path: Path, made_of: str, *status: int) -> Arrays:
    """The arrays of a file, read only; `status` changes whenever the file does."""
    return read_arrays(path, made_of)


def create(
    folder: Path,
    record: Json,
    environment: Json,
    code: dict[str, str] | None = None,
    again: bool = False,
) -> RunFolder:
    """A run's folder for this record: new, or the unfinished one of the same record, made by the same code.

    With `again` the results of a run of the same record, by whatever code, are deleted. What killed writes
    left is swept; so the folder's lock is to be held.
    """
    run, ours = RunFolder(folder), RunConfig.make(record, code or {})
    if (folder / CONFIG).exists():
        refuse_another(run, RunConfig.from_json(ours), again)
        for part in (folder, folder / "cells", folder / "figures", folder / "files"):
            sweep(part)
        if not again:
            return run
        _delete_results(run)
    elif strangers := [name for name in _names(folder) if name not in EARLY]:
        raise Misuse(
            f"{folder} is not empty and holds no run (no {CONFIG}, but {strangers[0]}); choose another --out."
        )
    sweep(folder)
    write_json(folder / ENVIRONMENT, environment)
    write_json(folder / CONFIG, ours)
    return run


def _names(folder: Path) -> list[str]:
    """The names of a folder's files; of what a killed write left, the name that it was to get."""
    names = (path.name for path in folder.glob("*"))
    return sorted(left["name"] if (left := TEMPORARY.fullmatch(name)) else name for name in names)


def refuse_another(run: RunFolder, ours: RunConfig, again: bool = False) -> None:
    """Refuse a folder that holds a run of something else, or of other code."""
    theirs = run.config
    changed = theirs.differences(ours)
    if not theirs.is_current:
        changed = ["version"]
    if changed == ["code"] and not again:
        modules = theirs.changed_code(ours)
        raise Misuse(
            f"{run.folder} was made by other code: {', '.join(modules)} changed since; add --again to run it "
            "anew (its results are deleted), or choose another --out."
        )
    if changed and changed != ["code"]:
        other = "version of finebayes"
        if theirs.is_current:
            other = f"config (it differs in {', '.join(name for name in changed if name != 'code')})"
        raise Misuse(
            f"{run.folder} holds a run of another {other}; choose another --out, or omit --out to get a "
            "folder for each."
        )


def _delete_results(run: RunFolder) -> None:
    """Delete what was computed: scores and seals first, so that none outlives its cells; never networks."""
    for name in (DONE, ROWS, NETWORKS, MEASURES, FORECAST, FINETUNING, REPORT):
        (run.folder / name).unlink(missing_ok=True)
    for path in {*(run.folder / "cells").glob("*"), *(run.folder / MAKERS).glob("*.jsonl")} - {*run.strays()}:
        path.unlink()


def find(folder: str | Path, say: Callable[[str], object] = warnings.warn) -> RunFolder:
    """The run in a folder, or the only one below it; `say` is told which files in it nothing reads."""
    if not isinstance(folder, str | Path):
        raise Misuse(f"A folder is needed, like results/STUDY/HASH, got {folder!r:.60}.")
    root = Path(folder)
    if not root.is_dir():
        raise Misuse(f"There is no folder {folder}; give the folder that `finebayes run` printed.")
    runs = [root] if (root / CONFIG).exists() else sorted(path.parent for path in root.glob(f"**/{CONFIG}"))
    if not runs:
        raise Misuse(f"{folder} holds no run (no {CONFIG}); give the folder that `finebayes run` printed.")
    if len(runs) > 1:
        raise Misuse(f"{folder} holds {len(runs)} runs; give one of them: {', '.join(map(str, runs))}.")
    run = RunFolder(runs[0])
    run.config  # noqa: B018 (checked here, once)
    for sentence in run.stray_sentences():
        say(sentence)
    return run
