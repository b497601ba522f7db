"""Runs and sweeps whose cells are made by workers: their folders are begun here, and followed to the end."""

from pathlib import Path

from experiments.design.axes import Sweep
from experiments.design.experiment import Experiment
from experiments.design.study import StudyRun
from experiments.runs.crew import Crew, Watch
from experiments.runs.environment import fix_settings
from experiments.runs.job import Job
from experiments.runs.progress import Progress
from experiments.runs.run import all_code, create_run, places, prepare, refuse_unconverged
from experiments.runs.sweep import check_points
from experiments.runs.sweep_executor import Settings
from experiments.scoring.sweep_table import read_sweep, write_scores
from experiments.storage.files import locked
from experiments.storage.manifests import RunConfig
from experiments.storage.run_folder import CONFIG, RunFolder, refuse_another
from experiments.storage.sweep_folder import SweepFolder, create_sweep
from experiments.storage.workplace import note_networks
from theory.errors import Misuse


def run_with_workers(
    study_run: StudyRun, crew: Crew, out: str = "", networks: str = "", again: bool = False
) -> RunFolder:
    """A run whose cells a crew makes; without any worker, its folder for workers that others start."""
    progress = Progress()
    folder, kept = places(study_run, out, networks)
    made, experiments = _begin(study_run, folder, kept, progress, again)
    if crew.count:
        watch = Watch([Job(made, kept, progress)], _count(experiments), progress)
        crew.work(folder, kept, watch)
    return made


def sweep_with_workers(sweep: Sweep, crew: Crew, folder: Path, settings: Settings) -> SweepFolder:
    """The same of a sweep; points that cannot begin have failed."""
    progress, kept = Progress(), settings.networks
    for sentence in fix_settings():
        progress.say(sentence)
    checked = check_points(sweep)
    made = SweepFolder(folder)
    if not made.exists or made.record.hash != sweep.record.hash:
        with locked(folder):
            made = create_sweep(folder, sweep.record)
    jobs, count = [], 0
    for part in checked:
        made.begin(part.point)
        folder = made.run(part.point).folder
        try:
            run, experiments = _begin(part.run, folder, kept, progress, settings.again)
        except Misuse as error:
            made.fail(part.point, str(error))
            continue
        jobs.append(Job(run, kept, progress, made, part.point, figures=settings.figures))
        count += _count(experiments)
    if not crew.count:
        return made
    crew.work(made.folder, kept, Watch(jobs, count, progress), ["--figures"] * settings.figures)
    for job in jobs if settings.strict else ():
        try:
            refuse_unconverged(job.made)
        except Misuse as error:
            assert job.point is not None
            made.fail(job.point, str(error))
    write_scores(made, read_sweep(made))
    return made


def _begin(
    study_run: StudyRun, folder: Path, networks: Path, progress: Progress, again: bool
) -> tuple[RunFolder, list[Experiment]]:
    """A run's folder, which others may be at already, with a note for workers."""
    experiments, made = prepare(study_run, progress), RunFolder(folder)
    if (folder / CONFIG).exists() and not again:
        values = RunConfig.make(study_run.record, all_code(study_run, experiments))
        refuse_another(made, RunConfig.from_json(values))
    else:
        with locked(folder):
            made = create_run(folder, study_run, experiments, progress, again)
    note_networks(made, networks)
    return made, experiments


def _count(experiments: list[Experiment]) -> int:
    return sum(len(experiment.cells()) for experiment in experiments)
