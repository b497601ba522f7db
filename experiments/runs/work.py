"""Workers: processes that take cells which nobody holds, of runs and sweeps, until none is missing.

Any number of them may be at the same folders, on any machine that sees these. What they agree by are claims
(experiments.storage.claims): of a cell, of base networks (by their hash, in the folder of networks), and of
`finish`, the scoring and drawing of a run. A worker goes on with programs that it has compiled, then takes
programs that nobody is at; it begins with runs at which nobody is, of a shape that no other begins with.
Whatever it is killed at, it costs the cell, or the chunk of pretraining, that it was at.
"""

import contextlib
import os
import time
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.markup import escape

from experiments.cells.programs import Executor
from experiments.design.experiment import Experiment
from experiments.own_files import blaming
from experiments.runs import environment
from experiments.runs.cell_by_cell import one_by_one
from experiments.runs.environment import compile_fast
from experiments.runs.job import Job
from experiments.runs.pretraining import template
from experiments.runs.progress import Progress
from experiments.runs.retraining import retrained_experiments
from experiments.runs.run import finish
from experiments.runs.sweep_executor import InThisProcess, by_shape, own_optimisations
from experiments.scoring.sweep_table import read_sweep, write_scores
from experiments.storage import seal
from experiments.storage.archive import DamagedCell
from experiments.storage.claims import Claims
from experiments.storage.files import locked
from experiments.storage.records import Cell
from experiments.storage.run_folder import DONE, find
from experiments.storage.sweep_folder import SweepFolder
from experiments.storage.workplace import CLAIMS, networks_of
from experiments.system.cores import cores, divided, keep_to
from models.network import Network
from theory.errors import Misuse

ThingT = TypeVar("ThingT")

FIRST, LONGEST = 0.5, 5.0  # seconds between two looks at what others hold
FINISH, SCORES = "finish", "scores"


def work(
    folders: Sequence[str],
    networks: str = "",
    share: tuple[int, int] = (1, 1),
    figures: bool = False,
    scores: bool = True,
) -> None:
    """Everything `finebayes work` does: returns when no cell of these runs and sweeps is missing.

    `share` (k, n) is the k-th of n shares of the cores. The runs of a sweep are drawn where `figures` are
    wanted; other runs always are. `scores` says whether to write the scores of sweeps in the end.
    """
    progress = Progress()
    sweeps = [SweepFolder(Path(folder)) for folder in folders if SweepFolder(Path(folder)).exists]
    Worker(jobs_of(folders, networks, progress, figures), progress, share).work()
    for sweep in sweeps if scores else ():
        claim = Claims(sweep.folder / CLAIMS).take(SCORES)
        if claim is not None:
            with claim:
                write_scores(sweep, read_sweep(sweep))


def jobs_of(folders: Sequence[str], networks: str, progress: Progress, figures: bool = False) -> list[Job]:
    """The runs in folders, those of sweeps included; refused where base networks are not to be seen."""
    jobs = []
    for folder in folders:
        sweep = SweepFolder(Path(folder))
        points = sweep.record.in_order if sweep.exists else ()
        if missing := [point.folder for point in points if sweep.status(point) == "missing"]:
            raise Misuse(
                f"{len(missing)} of {len(points)} runs of {folder} have no folder yet (first {missing[0]}); "
                "begin the sweep with --workers, which makes them."
            )
        runs = [(sweep.run(point), sweep, point) for point in points]
        runs = runs or [(find(folder, lambda sentence: progress.say(escape(sentence))), None, None)]
        for made, of, point in runs:
            kept = Path(networks) if networks else networks_of(made)
            if not kept.is_dir():
                raise Misuse(
                    f"{kept}, where the base networks of {made.folder} are kept, is not there on this "
                    "machine; mount it where the others see it, or give --networks."
                )
            jobs.append(Job(made, kept, progress, of, point, figures=figures or of is None))
    return jobs


class Worker:
    """A process that works at jobs until all of them are over."""

    def __init__(self, jobs: Sequence[Job], progress: Progress, share: tuple[int, int] = (1, 1)):
        self.jobs, self.progress, self._share = jobs, progress, share
        self.rank = share[0] - 1 if share[1] > 1 else int(os.environ.get("SLURM_ARRAY_TASK_ID") or 0)
        self._programs = InThisProcess()
        self._compiled: set[tuple[Path, int, str, str]] = set()
        self._open: tuple[Job | None, dict[int, Executor], dict[int, Network]] = None, {}, {}

    def work(self) -> None:
        """Take what nobody holds; wait for what others hold, and take over what they leave."""
        pause, every = FIRST, self._parted()
        while jobs := [job for job in every if not job.is_over]:
            if any(map(self._advance, self._in_order(jobs))):
                pause = FIRST
                continue
            if pause == FIRST:
                self.progress.say(f"all that is missing in {len(jobs)} run(s) is held by other workers")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)

    def _parted(self) -> list[Job]:
        """All jobs in an order that begins elsewhere for every worker, with other programs if there are."""
        groups = by_shape(self.jobs, lambda job: job.shapes) if len(self.jobs) > 1 else [[*self.jobs]]
        later = self.rank // max(1, len(groups))  # of those that begin with the same programs
        return [job for group in self._turned(groups) for job in self._turned(group, later)]

    def _in_order(self, jobs: Sequence[Job]) -> list[Job]:
        """Order jobs: those at which nobody is come first, with the programs of this worker, then with those
        of no other worker, which would compile them at the same time."""
        if len(jobs) < 2:
            return [*jobs]
        held = {job.made.folder: job.is_held for job in jobs}
        elsewhere = [job.shapes for job in jobs if held[job.made.folder]]

        def order(job: Job) -> tuple[bool, bool, bool]:
            return held[job.made.folder], job.shapes != self._programs.shapes, job.shapes in elsewhere

        return sorted(jobs, key=order)

    def _turned(self, things: Sequence[ThingT], rank: int | None = None) -> list[ThingT]:
        """Things in an order that begins elsewhere for every worker: those that start at once part."""
        first = (self.rank if rank is None else rank) % len(things) if things else 0
        return [*things[first:], *things[:first]]

    def _advance(self, job: Job) -> bool:
        """Make what nobody holds of a run; whether there was any. A run of a sweep may fail alone."""
        try:
            with locked(job.made.folder, shared=True), own_optimisations():
                self._programs.drop(job.study_run)
                if not job.study_run.config.optimise:
                    compile_fast()
                self._settle()
                return self._make(job)
        except (OSError, MemoryError):  # of this machine, not of the run
            raise
        except Exception as error:
            if job.sweep is None or job.point is None:
                raise
            reason = str(error) if isinstance(error, Misuse) else f"{type(error).__name__}: {error}"
            job.sweep.fail(job.point, reason)
            self.progress.say(f"{job.point.folder} failed: {reason}")
            return True

    def _settle(self) -> None:
        """Keep to a share of the cores, once the compiler's settings are made and jax has seen all cores, so
        that programs are those of a process with all of them."""
        environment.maker()
        part, of = self._share
        if of > 1:
            keep_to(divided(cores(), of)[part - 1])
            self._share = 1, 1

    @blaming()
    def _make(self, job: Job) -> bool:
        worked = self._mend(job, () if job.mended else job.made.cut_short())
        job.mended = True
        for experiment in job.experiments:
            if missing := job.missing(experiment):
                (job.made.folder / DONE).unlink(missing_ok=True)
                worked |= self._make_cells(job, experiment, missing)
        if any(job.missing(experiment) for experiment in job.experiments):
            return worked
        claim = job.claims.take(FINISH)
        if claim is None:
            return worked
        with claim:
            try:
                if not job.is_finished:
                    draw = job.study_run.study.draw if job.figures else None
                    finish(job.made, job.experiments, job.kept, draw, self.progress)
            except DamagedCell as damaged:
                return self._mend(job, [damaged.cell])
        with contextlib.suppress(OSError):  # others look at it still
            job.claims.folder.rmdir()
        return True

    def _mend(self, job: Job, cells: Iterable[Cell]) -> bool:
        """Set damaged cells aside, so that they are missing, and made again; whether there was any."""
        mended = False
        for cell in cells:
            claim = job.claims.take(cell.name)
            if claim is None:  # another does that
                continue
            with claim:
                if aside := job.made.set_aside(cell):
                    (job.made.folder / DONE).unlink(missing_ok=True)
                    path = job.made.path(cell)
                    self.progress.say(f"{path} is damaged; it is kept as {aside.name}, and made again")
                    mended = True
        return mended

    def _make_cells(self, job: Job, experiment: Experiment, missing: list[Cell]) -> bool:
        """Make cells of a draw of the process, whose base networks are trained where nobody does that."""
        opened = self._opened(job, experiment)
        if opened is None:
            return False
        cells = self._with_networks(job, experiment, missing)
        count, worked = len(experiment.cells()), False
        with (
            contextlib.closing(self._claimed(job, experiment, cells)) as claimed,
            self.progress.cells(count, count - len(missing)) as advance,
        ):
            for done in one_by_one(*opened, job.made, claimed, job.kept):
                worked = True
                advance(done.cell.name, done.failure)
        return worked

    def _claimed(self, job: Job, experiment: Experiment, cells: list[Cell]) -> Generator[Cell, None, None]:
        """Cells that nobody holds, which this process holds until the next one is wanted."""
        programs: dict[tuple[str, str], list[Cell]] = {}
        for cell in cells:
            programs.setdefault((cell.kind, cell.method), []).append(cell)

        def order(program: tuple[str, str]) -> tuple[bool, bool]:
            compiled = (job.made.folder, experiment.first_base, *program) in self._compiled
            return not compiled, program in held

        while programs:
            names = job.claims.names()
            held = {(cell.kind, cell.method) for name in names if (cell := Cell.parse(name))}
            program = min(self._turned(list(programs)), key=order)
            for cell in programs.pop(program):
                claim = job.claims.take(cell.name)
                if claim is None:
                    continue
                with claim:
                    if not job.made.finished(cell):  # by another since
                        self._compiled.add((job.made.folder, experiment.first_base, *program))
                        if not cell.is_forecast:
                            seal.begin(job.made)
                        yield cell

    def _with_networks(self, job: Job, experiment: Experiment, cells: list[Cell]) -> list[Cell]:
        """The cells whose retrained networks are there, or were trained now."""
        waiting = set()
        for arm in dict.fromkeys(cell.arm for cell in cells if cell.kind == "retrained"):
            for made in retrained_experiments(experiment, experiment.arm(arm)):
                if job.kept.attempt(made, self.progress) is None:
                    waiting.add(arm)
        return [cell for cell in cells if cell.kind != "retrained" or cell.arm not in waiting]

    def _opened(self, job: Job, experiment: Experiment) -> tuple[Executor, Network] | None:
        """The programs and the base networks of a draw; None while another process trains these."""
        if self._open[0] is not job:
            self._open = job, {}, {}
        _, executors, networks = self._open
        if experiment.first_base not in networks:
            if job.kept.is_free(experiment):  # else another process trains, and this one may look often
                self._executor(executors, experiment)
            executor = executors.get(experiment.first_base)
            meanwhile = executor.compile if executor else lambda: None
            bases = job.kept.attempt(experiment, self.progress, meanwhile)
            if bases is None:
                return None
            networks[experiment.first_base] = bases
        return self._executor(executors, experiment), networks[experiment.first_base]

    def _executor(self, executors: dict[int, Executor], experiment: Experiment) -> Executor:
        if experiment.first_base not in executors:
            untrained = template(experiment.process, experiment.shape)
            executors[experiment.first_base] = self._programs.executors.of(experiment, untrained)
        return executors[experiment.first_base]
