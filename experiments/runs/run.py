"""A run from its config to the last file: lock, base networks, cells, rows, figures, report."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from experiments.cells.candidates import candidates
from experiments.cells.programs import Executor
from experiments.design.experiment import Experiment
from experiments.design.study import StudyRun
from experiments.own_files import blaming
from experiments.reports.expectations import forecast_text
from experiments.reports.html import write_report
from experiments.reports.sentences import SELECTED, scorecard_text
from experiments.runs.base_networks import BaseNetworks
from experiments.runs.environment import compile_fast, environment
from experiments.runs.plan import plan
from experiments.runs.pretraining import template
from experiments.runs.progress import Progress
from experiments.runs.workers import Finished, one_by_one, side_by_side
from experiments.scoring.convergence import convergence_report
from experiments.scoring.forecasts import forecasts
from experiments.scoring.rows import rows
from experiments.scoring.scorecard import scorecard
from experiments.storage import seal
from experiments.storage.files import as_csv, digest, locked, write, write_json, write_text
from experiments.storage.records import Cell
from experiments.storage.run_folder import RunFolder, create
from theory.errors import Misuse

RESULTS = Path("results")


def run(
    study_run: StudyRun,
    out: str = "",
    networks: str = "",
    jobs: int = 1,
    draw: Callable[[RunFolder], list[Path]] | None = None,
    progress: Progress | None = None,
) -> RunFolder:
    """Everything `finebayes run` does after its options are parsed; finished parts are not redone.

    `out` is the run's folder (default: results/STUDY/HASH), `networks` that of base networks. `draw` stands
    for the study's own.
    """
    if jobs < 1:
        raise Misuse(f"jobs must be at least 1, got {jobs}.")
    experiment = prepare(study_run)
    folder, kept = places(study_run, out, networks)
    progress = progress or Progress()
    with locked(folder):
        made = create(folder, study_run.record, environment())
        study_run.keep_files(folder)
        (folder / "DONE").unlink(missing_ok=True)
        progress.say(f"{study_run.study.name} ({study_run.preset}) in {folder}")
        sealed = seal.check(made)
        run_cells(experiment, made, BaseNetworks(kept), progress, (study_run, jobs) if jobs > 1 else None)
        if sealed:
            progress.say(f"the forecasts are those sealed on {sealed.made} ({sealed.hash})")
        progress.say("scoring")
        made.save_rows(rows(made))
        if not (path := folder / "networks.json").exists():
            write_json(path, BaseNetworks(kept).quality(experiment).to_json())
        # every cell is finished and scored; pictures can be redrawn
        write(folder / "DONE", lambda file: None)
        progress.say("drawing")
        if made.rows():
            (draw or study_run.study.draw)(made)
        write_report(made)
    return made


def refuse_unconverged(made: RunFolder) -> None:
    """Raise `Misuse` where chains behind a theory have not converged."""
    report = convergence_report(made)
    if report.problems:
        cell, theory, time, sentence = report.problems[0]
        raise Misuse(f"Strict: {report.sentence} The first: {cell}, {theory} at τ = {time:g}: {sentence}")


def summary(made: RunFolder) -> str:
    """The findings of a run as text: scorecard, failures, convergence of chains, and its files."""
    figures = sorted((made.folder / "figures").glob("*.png"))
    figure = made.folder / "figures" / f"{made.study}.png"
    first = figure if figure.exists() else next(iter(figures), "(nothing to draw)")
    report = convergence_report(made)
    return "\n".join(
        [
            scorecard_text(scorecard(made.rows())),
            f"\n{SELECTED}",
            *(f"failed: {cell.name}: {reason}" for cell, reason in made.failures().items()),
            *([f"\nCONVERGENCE: {report.sentence}"] if report.sentence else []),
            f"\nfigure  {first}\nreport  {made.folder / 'report.html'}\nfolder  {made.folder}",
        ]
    )


def dry_run(study_run: StudyRun) -> str:
    """The plan of a run, without running it."""
    return plan(prepare(study_run), study_run.record)


def forecast(study_run: StudyRun, out: str = "", networks: str = "") -> str:
    """Everything `finebayes forecast` does: the predictions of all theories, sealed before any finetuning."""
    experiment = prepare(study_run)
    folder, kept = places(study_run, out, networks)
    progress = Progress()
    with locked(folder):
        made = create(folder, study_run.record, environment())
        study_run.keep_files(folder)
        progress.say(f"forecasts of {study_run.study.name} ({study_run.preset}) in {folder}")
        seal.refuse_late(made)
        run_cells(experiment, made, BaseNetworks(kept), progress, only=lambda cell: cell.is_forecast)
        sealed = seal.seal(made)
    expected = forecasts(made)
    write_text(folder / "forecasts.csv", as_csv([asdict(line) for line in expected]))
    failed = [f"failed: {cell.name}: {reason}" for cell, reason in made.failures().items()]
    return "\n".join(
        [
            forecast_text(expected),
            "",
            *failed,
            f"sealed  {sealed.cells} cells on {sealed.made}\nseal    {sealed.hash}\nfolder  {folder}",
            "\nThe same options with `finebayes run` finetune and score exactly these forecasts.",
        ]
    )


def prepare(study_run: StudyRun) -> Experiment:
    """The experiment of a run; whatever is wrong with it is refused here, before anything is written."""
    if not study_run.config.optimise:
        compile_fast()
    experiment = study_run.experiment()
    candidates(experiment)
    return experiment


def places(study_run: StudyRun, out: str, networks: str) -> tuple[Path, Path]:
    """The run's folder, and the folder of base networks."""
    folder = Path(out) if out else RESULTS / study_run.study.name / digest(study_run.record)
    return folder, Path(networks) if networks else (folder if out else RESULTS) / "networks"


@blaming()
def run_cells(
    experiment: Experiment,
    made: RunFolder,
    networks: BaseNetworks,
    progress: Progress,
    workers: tuple[StudyRun, int] | None = None,
    only: Callable[[Cell], bool] = lambda cell: True,
) -> None:
    """Run every cell that is not finished; the first finetuning notes its time. `workers` are a run and a
    number of processes, where cells are to run side by side."""
    wanted = [cell for cell in experiment.cells() if only(cell)]
    missing = [cell for cell in wanted if not made.finished(cell)]
    if not missing:
        return

    def noted(cells: list[Cell]) -> Iterator[Cell]:
        for cell in cells:
            if not cell.is_forecast:
                seal.begin(made)
            yield cell

    finished: Iterator[Finished]
    if workers:
        networks.pretrained(experiment, progress)
        study_run, jobs = workers
        finished = side_by_side(study_run, networks.folder, made, list(noted(missing)), jobs)
    else:
        executor = Executor(experiment, template(experiment.process, experiment.shape))
        bases = networks.pretrained(experiment, progress, meanwhile=executor.compile)
        finished = one_by_one(executor, bases, made, noted(missing))
    with progress.cells(len(wanted), len(wanted) - len(missing)) as advance:
        for done in finished:
            advance(done.cell.name, done.failure)
            for line in done.tuning:
                progress.say(f"        {line}")
