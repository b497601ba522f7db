"""Scores of a sweep whose points have large tables: read by a process for each core, and by one alone.

The points are runs of stand-in cells with made-up answers (benchmarks.many_cells). Seconds by the clock, in
turns; each process starts anew every time, as it does for a user.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks._timing import interleaved, row
from benchmarks.many_cells import stand_in
from experiments.design.axes import Sweep, make_axes
from experiments.design.study import Study, StudyRun
from experiments.scoring import scorecard, sweep_table
from experiments.scoring.rows import save
from experiments.storage import row_file
from experiments.storage.done import write_done
from experiments.storage.sweep_folder import SweepFolder, create_sweep
from experiments.system.cores import cores


def measure(seconds: float = 15.0, *, points: int = 4, cells: int = 400) -> list[dict[str, Any]]:
    """Seconds to read a sweep of so many points, of so many cells each."""
    with tempfile.TemporaryDirectory() as scratch:
        sweep = _sweep(Path(scratch), points, cells)
        size = sum((sweep.run(point).folder / "rows.jsonl").stat().st_size for point in sweep.record.points)
        many = len(cores())
        taken = interleaved({"one": _reader(sweep, 1), "all": _reader(sweep, many)}, seconds)
    what = f"{points} points of {size / points / 1e6:.0f} MB"
    return [
        row(f"{what} read by one process", taken["one"], "s"),
        row(f"{what} read by {many}", taken["all"], "s", "one process", taken["one"] / taken["all"]),
    ]


def _sweep(folder: Path, points: int, cells: int) -> SweepFolder:
    study = Study.find("weird-generalisation")
    centre = StudyRun.make(study, "small", study.preset("small"))
    axes = make_axes({"process.style": [float(number) for number in range(1, points + 1)]}, centre.config)
    sweep = create_sweep(folder, Sweep(centre, axes).record)
    for point in sweep.record.points:
        run = stand_in(folder / point.folder, cells)
        save(run)
        write_done(run.folder)
    return sweep


def _reader(sweep: SweepFolder, processes: int) -> Callable[[], sweep_table.SweepTable]:
    """A reader of the sweep by so many processes, which keeps nothing of the last time."""

    def read() -> sweep_table.SweepTable:
        scorecard._of_file.cache_clear()
        row_file._held.cache_clear()
        with mock.patch.multiple(sweep_table, cores=lambda: [*range(processes)], MANY=0):
            return sweep_table.read_sweep(sweep)

    return read
