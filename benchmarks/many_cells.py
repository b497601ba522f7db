"""Cost of a cell beside its computing: claims and discovery by a worker, and scoring; and memory of scores.

A run of stand-in cells that take 10 ms and hold a few made-up answers. A worker by turns with a bare loop
over the same cells, which saves them, too: the difference is what claims, discovery and the note of the maker
cost. All times are the process's own (in its code and in the system's calls), without those of the disk.
Memory is that of a process of its own which scores the folder, over one that scores a part of it.

`python -m benchmarks.many_cells --cells 100000 --bases 4 --doses 1 --out FOLDER` makes one folder of so many
cells, and scores it once. FOLDER/run stays, for other commands.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import tyro

from benchmarks._timing import row
from experiments.design.options import with_options
from experiments.design.study import Study, StudyRun
from experiments.runs import work as works
from experiments.runs.cell_by_cell import Finished
from experiments.runs.environment import maker
from experiments.runs.progress import Silent
from experiments.scoring.rows import save
from experiments.scoring.scorecard import scorecard
from experiments.storage.contents import CellContent, Contexts, FinetunedCell, TheoryCell
from experiments.storage.makers import note_maker
from experiments.storage.records import Cell, CellKind, Ladder
from experiments.storage.run_folder import DONE, RunFolder, create
from experiments.system import surroundings

SCORES = """
import json, sys, time
from pathlib import Path
from experiments.scoring.rows import save
from experiments.scoring.scorecard import score_lines
from experiments.storage.run_folder import RunFolder
def peak():
    return next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
run = RunFolder(Path(sys.argv[1]))
save(run)
rows = {"rows_seconds": time.process_time(), "rows_bytes": peak()}
lines = sum(len(line.to_json()) > 0 for line in score_lines(run.rows()))
print(json.dumps(rows | {"lines": lines, "seconds": time.process_time(), "bytes": peak()}))
"""
CONTEXTS, ANSWERS, HYPOTHESES, SEEDS, RUNGS = 8, 3, 4, 2, 6
FEW = 4  # base networks of a study


def measure(
    seconds: float = 15.0, *, cells: int = 1000, takes: float = 0.01, parts: tuple[int, int] = (200, 1000)
) -> list[dict[str, Any]]:
    """Milliseconds a cell of a worker over the bare loop, and of scoring; memory a cell."""
    extra, scoring, carding = [], [], []
    end = time.perf_counter() + seconds
    while not extra or time.perf_counter() < end:
        with tempfile.TemporaryDirectory() as scratch:
            bare = _taken(lambda: _alone(_folder(Path(scratch) / "alone"), cells, takes))
            run = _folder(Path(scratch) / "work")
            worked = _taken(lambda: _worker(run, cells, takes).work())  # noqa: B023
            extra.append(1e3 * (worked - bare) / cells)
            scoring.append(1e3 * _taken(lambda: save(run)) / cells)  # noqa: B023
            carding.append(1e3 * _taken(lambda: scorecard(run.rows())) / cells)  # noqa: B023
    sums = np.sum([extra, scoring, carding], axis=0)
    between = f"{parts[0]} to {parts[1]} cells"
    memory = {
        name: (_memory(parts[1], bases) - _memory(parts[0], bases)) / (parts[1] - parts[0]) / 1e3
        for name, bases in {"one D'": None, f"D' of {FEW} base networks": FEW}.items()
    }
    return [
        row(f"claims and discovery, {cells} cells of {1e3 * takes:g} ms", extra, "ms a cell", goal="≤ 5"),
        row("rows of these cells", scoring, "ms a cell"),
        row("scorecard of these rows", carding, "ms a cell"),
        row("claims, discovery, rows and scorecard", sums, "ms a cell", goal="≤ 5"),
        *(row(f"memory of scoring, {between}, {name}", size, "kB a cell") for name, size in memory.items()),
    ]


class _StandIn(works.Worker):
    """A worker whose cells are made up."""

    takes = 0.0

    def work(self) -> None:
        with mock.patch.multiple(works, one_by_one=_make, finish=_finish):
            super().work()

    def _opened(self, job: works.Job, experiment: Any) -> Any:
        return self, None

    def _settle(self) -> None:
        pass


def _worker(run: RunFolder, cells: int, takes: float) -> _StandIn:
    job = works.Job(run, run.folder / "networks", Silent())
    job.__dict__["experiments"] = [SimpleNamespace(first_base=0, cells=lambda: _cells(cells))]
    worker = _StandIn([job], Silent())
    worker._programs = SimpleNamespace(drop=lambda _: None)  # pyright: ignore
    worker.takes = takes
    return worker


def _make(worker: _StandIn, bases: Any, run: RunFolder, cells: Any, kept: Any) -> Iterator[Finished]:
    for cell in cells:
        time.sleep(worker.takes)
        run.save(cell, _content(cell, len(run.doses)), once=True)
        note_maker(run.folder, maker(), cell.name)
        yield Finished(cell, "", [])


def _finish(made: RunFolder, *_: Any) -> None:
    for name in ("report.html", DONE):
        (made.folder / name).touch()


def _alone(run: RunFolder, cells: int, takes: float, bases: int | None = None) -> None:
    for cell in _cells(cells, bases):
        time.sleep(takes)
        run.save(cell, _content(cell, len(run.doses)))


def stand_in(path: Path, cells: int, bases: int | None = None, doses: tuple[int, ...] = ()) -> RunFolder:
    """A run of so many stand-in cells, of one D' or of D' of `bases` base networks each, not scored."""
    run = _folder(path, doses)
    with mock.patch("os.fsync"):  # nobody waits for the disk
        _alone(run, cells, 0.0, bases)
    return run


def _folder(path: Path, doses: tuple[int, ...] = ()) -> RunFolder:
    """A run's folder, with the doses of `small` where none are given."""
    study = Study.find("weird-generalisation")
    config = study.preset("small")
    config = with_options(config, {"finetuning.doses": doses or config.finetuning.doses})
    return create(path, StudyRun.make(study, "small", config).record, {})


def _cells(count: int, bases: int | None = None) -> list[Cell]:
    """So many cells, of one D' or of as many as there are with `bases` base networks each."""
    bases = bases or count // 2
    numbers = [divmod(number, bases) for number in range(count // 2)]
    kinds: list[tuple[CellKind, str]] = [("theories", ""), ("finetuned", "sgd")]
    return [Cell(kind, f"topics{arm}", base, method) for arm, base in numbers for kind, method in kinds]


def _content(cell: Cell, doses: int) -> CellContent:
    """Made-up answers: from the cell's number, so that none are alike."""
    stream = np.random.default_rng(cell.base)

    def answers(*shape: int) -> np.ndarray:
        logits = stream.normal(size=(*shape, CONTEXTS, ANSWERS))
        return (logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))).astype(np.float32)

    if cell.kind == "finetuned":
        nothing = np.zeros((SEEDS, doses))
        return FinetunedCell(answers(SEEDS, doses), answers(SEEDS, doses), nothing, nothing, {})
    groups = np.repeat(["in_domain", "held_out"], CONTEXTS // 2)
    names = [np.asarray(["?"] * CONTEXTS), np.asarray([f"a{index}" for index in range(ANSWERS)])]
    components = answers(HYPOTHESES)
    contexts = Contexts(groups, *names, components, np.zeros((HYPOTHESES, CONTEXTS)), answers(), answers())
    ladder = Ladder("linearised", "network", np.linspace(0, 1, RUNGS), answers(SEEDS, RUNGS))
    return TheoryCell(contexts, (ladder,), np.full(HYPOTHESES, 1 / HYPOTHESES), np.zeros(0))


def _taken(function: Any) -> float:
    """Seconds of the process's own, without those in which it waits."""
    start = time.process_time()
    with mock.patch("os.fsync"):
        function()
    return time.process_time() - start


def _memory(count: int, bases: int | None) -> float:
    """Bytes at most of a process that scores a folder of so many cells."""
    scratch = Path(tempfile.mkdtemp())
    try:
        return _scored(stand_in(scratch, count, bases).folder)["bytes"]
    finally:
        shutil.rmtree(scratch)


def _scored(folder: Path) -> dict[str, float]:
    """Seconds, and bytes at most, of a process that makes the rows of a folder and then its scorecard."""
    words = [sys.executable, "-c", SCORES, str(folder)]
    done = subprocess.run(words, env=surroundings.variables(), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def one_folder(out: Path, cells: int = 10000, bases: int = FEW, doses: tuple[int, ...] = ()) -> None:
    """Make a folder of so many stand-in cells, D' of `bases` base networks each, score it, and print time and
    memory."""
    run = stand_in(out / "run", cells, bases, doses)
    made = {"cells": cells, "data": cells // 2 // bases, **_scored(run.folder)}
    print(json.dumps(made | {"rows_file_bytes": (run.folder / "rows.jsonl").stat().st_size}))


if __name__ == "__main__":
    tyro.cli(one_folder)
