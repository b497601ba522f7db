"""A job: a run at which workers are, alone or as a point of a sweep, and how far it is."""

import contextlib
import functools
from dataclasses import dataclass, field
from pathlib import Path

from experiments.design.experiment import Experiment
from experiments.design.study import StudyRun
from experiments.runs.base_networks import BaseNetworks
from experiments.runs.progress import Progress
from experiments.runs.run import all_code, prepare
from experiments.runs.sweep_executor import shapes_of
from experiments.storage import seal
from experiments.storage.claims import Claims
from experiments.storage.records import Cell
from experiments.storage.run_folder import DONE, REPORT, RunFolder
from experiments.storage.sweep_folder import SweepFolder, SweepPoint
from experiments.storage.workplace import CLAIMS, join
from theory.errors import Misuse


@dataclass
class Job:
    """A run at which workers are; `point` is its point where it is one of a sweep, and is drawn where
    `figures` are wanted of it."""

    made: RunFolder
    networks: Path
    progress: Progress
    sweep: SweepFolder | None = None
    point: SweepPoint | None = None
    figures: bool = True
    checked: bool = field(default=False, init=False)
    mended: bool = field(default=False, init=False)

    @functools.cached_property
    def claims(self) -> Claims:
        """Those of the run."""
        return Claims(self.made.folder / CLAIMS)

    @functools.cached_property
    def kept(self) -> BaseNetworks:
        """The base networks."""
        return BaseNetworks(self.networks)

    @functools.cached_property
    def study_run(self) -> StudyRun:
        """The run for which the folder was made."""
        return StudyRun.of(self.made)

    @functools.cached_property
    def experiments(self) -> list[Experiment]:
        """One for each draw of the process; refused where other code has begun the run."""
        experiments = prepare(self.study_run, self.progress)
        join(self.made, self.study_run.record, all_code(self.study_run, experiments))
        seal.check(self.made)
        return experiments

    @functools.cached_property
    def shapes(self) -> object:
        """The shapes by which it shares programs with other runs; None where its config cannot be read."""
        with contextlib.suppress(Misuse):  # which working at it says
            return shapes_of(self.study_run)
        return None

    @property
    def is_held(self) -> bool:
        """Whether somebody is at one of its cells, or trains its base networks."""
        return bool(self.claims.names() or self._trained & self.kept.names())

    @functools.cached_property
    def _trained(self) -> set[str]:
        """The names of its base networks; none where it cannot be run, which working at it says."""
        with contextlib.suppress(Exception):
            return {self.kept.path(experiment).stem for experiment in self.experiments}
        return set()

    def missing(self, experiment: Experiment) -> list[Cell]:
        """The cells that are neither finished nor failed."""
        results = self.made.results()
        return [cell for cell in experiment.cells() if cell.name not in results]

    @property
    def is_finished(self) -> bool:
        """Whether it is scored, and drawn and reported where that is wanted."""
        names = (DONE, REPORT) if self.figures else (DONE,)
        return all((self.made.folder / name).exists() for name in names)

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be done for it: it is finished, or failed as a point of a sweep."""
        if self.sweep is not None and self.point is not None and self.sweep.status(self.point) == "failed":
            return True
        if not self.is_finished:
            return False
        if not self.checked:  # somebody may have deleted a cell, or cut it short
            self.checked = True
            if self.made.cut_short() or any(self.missing(experiment) for experiment in self.experiments):
                (self.made.folder / DONE).unlink(missing_ok=True)
        return self.is_finished
