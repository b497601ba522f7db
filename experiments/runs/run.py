"""A run from its config to the last file: lock, base networks, cells, rows, figures, report."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from experiments.cells.candidates import candidates
from experiments.cells.programs import Executors
from experiments.design.experiment import Experiment
from experiments.design.study import StudyRun
from experiments.own_files import blaming
from experiments.reports.expectations import forecast_text
from experiments.reports.html import write_report
from experiments.reports.sentences import aligned
from experiments.reports.state import caveats
from experiments.reports.summary import answer, findings_text, last_scores, on_target, printed_table
from experiments.runs.base_networks import BaseNetworks
from experiments.runs.cell_by_cell import Finished, one_by_one
from experiments.runs.code_digests import run_code
from experiments.runs.device_check import refuse_other_values
from experiments.runs.early_figure import DrawEarly, EarlyFigure
from experiments.runs.environment import compile_fast, environment, fix_settings
from experiments.runs.plan import plan
from experiments.runs.pretraining import template
from experiments.runs.progress import Progress
from experiments.runs.retraining import pretrain_again
from experiments.scoring import inference
from experiments.scoring.convergence import convergence_report
from experiments.scoring.forecasts import forecasts
from experiments.scoring.measures import records
from experiments.scoring.rows import save, table
from experiments.scoring.scorecard import scorecard
from experiments.storage import seal
from experiments.storage.done import write_done
from experiments.storage.files import as_csv, digest, locked, write_json, write_text
from experiments.storage.makers import unlike_makers
from experiments.storage.manifests import Quality
from experiments.storage.records import UNSCORED, Cell
from experiments.storage.run_folder import DONE, MEASURES, NETWORKS, REPORT, RunFolder, create
from experiments.storage.workplace import refuse_workers
from theory.errors import Misuse

RESULTS = Path("results")
SHORT = "Explained at the last dose, with intervals of 95 %; all doses and groups: finebayes score {}"


def run(
    study_run: StudyRun,
    out: str = "",
    networks: str = "",
    draw: Callable[[RunFolder], list[Path]] | None = None,
    progress: Progress | None = None,
    again: bool = False,
    show: bool = False,
    early: DrawEarly | None = None,
    executors: Executors | None = None,
    figures: bool = True,
) -> RunFolder:
    """Everything `finebayes run` does after its options are parsed; finished parts are not redone.

    `out` is the run's folder (default: results/STUDY/HASH), `networks` that of base networks. `draw` stands
    for the study's own, and `early` draws a first figure while the run goes on; without `figures` none is
    drawn, and no report is written. `executors` hold what runs before have compiled. With `again` the
    folder's results are deleted first. With `show` the summary is printed when the report is written, also
    where drawing fails.
    """
    progress = progress or Progress()
    experiments = prepare(study_run, progress)
    folder, kept = places(study_run, out, networks)
    with locked(folder):
        made = create_run(folder, study_run, experiments, progress, again)
        (folder / DONE).unlink(missing_ok=True)
        progress.say(f"{study_run.study.name} ({study_run.preset}) in {folder}")
        sealed = seal.check(made)
        run_cells(experiments, made, BaseNetworks(kept), progress, early=early, executors=executors)
        if sealed:
            progress.say(f"the forecasts are those sealed on {sealed.made} ({sealed.hash})")
        drawing = (draw or study_run.study.draw) if figures else None
        finish(made, experiments, BaseNetworks(kept), drawing, progress, show)
    return made


def finish(
    made: RunFolder,
    experiments: list[Experiment],
    bases: BaseNetworks,
    draw: Callable[[RunFolder], list[Path]] | None,
    progress: Progress,
    show: bool = False,
) -> None:
    """Score a run of which no cell is missing, and where it is to be drawn write its report, too."""
    progress.say("scoring")
    save(made)
    if made.quality() is None:
        for experiment in experiments:
            if not bases.path(experiment).exists():  # deleted since
                bases.pretrained(experiment, progress)
        quality = Quality.together([bases.quality(experiment) for experiment in experiments])
        write_json(made.folder / NETWORKS, quality.to_json(inference.by_group(made)))
    _write_measures(made)
    # every cell is finished and scored; pictures can be redrawn
    write_done(made.folder)
    if draw is None:
        return
    progress.say("drawing")
    try:
        if table(made) or any(map(made.cells, UNSCORED)):
            draw(made)
    finally:
        write_report(made)
        if show:
            print(summary(made))


def refuse_unconverged(made: RunFolder) -> None:
    """Raise `Misuse` where chains behind a theory have not converged."""
    report = convergence_report(made)
    if report.problems:
        cell, theory, time, sentence = report.problems[0]
        raise Misuse(f"Strict: {report.sentence} The first: {cell}, {theory} at τ = {time:g}: {sentence}")


def summary(made: RunFolder) -> str:
    """A run as text: its answer, a short table, failures, convergence of chains, and its files."""
    figures = sorted((made.folder / "figures").glob("*.png"))
    figure = made.folder / "figures" / f"{made.study}.png"
    first = figure if figure.exists() else next(iter(figures), "(nothing to draw)")
    report = convergence_report(made)
    lines = scorecard(table(made))
    scored, findings = last_scores(lines), findings_text(made)
    sentences = [] if findings else [*caveats(made), *answer(scored, on_target(made, lines))]
    return "\n".join(
        [
            *([findings] if findings else []),
            *(f"{sentence}\n" for sentence in sentences),
            *([aligned(printed_table(scored)), f"\n{SHORT.format(made.folder)}"] if scored else []),
            *(f"failed: {cell.name}: {reason}" for cell, reason in made.failures().items()),
            *([f"\nCONVERGENCE: {report.sentence}"] if report.sentence else []),
            *(f"\n{sentence}" for sentence in unlike_makers(made.folder)),
            f"\nfigure  {first}\nreport  {made.folder / REPORT}\nfolder  {made.folder}",
        ]
    )


def dry_run(study_run: StudyRun) -> str:
    """The plan of a run, without running it."""
    experiments = prepare(study_run, Progress())
    return plan(experiments[0], len(experiments), study_run.record)


def forecast(study_run: StudyRun, out: str = "", networks: str = "", again: bool = False) -> str:
    """Everything `finebayes forecast` does: the predictions of all theories, sealed before any finetuning."""
    from experiments.figures.forecast import draw_forecast  # with matplotlib, which a run has elsewhere

    progress = Progress()
    experiments = prepare(study_run, progress)
    folder, kept = places(study_run, out, networks)
    with locked(folder):
        made = create_run(folder, study_run, experiments, progress, again)
        progress.say(f"forecasts of {study_run.study.name} ({study_run.preset}) in {folder}")
        seal.refuse_late(made)
        run_cells(experiments, made, BaseNetworks(kept), progress, only=lambda cell: cell.is_forecast)
        sealed = seal.seal(made)
        _write_measures(made)
    expected = forecasts(made)
    write_text(folder / "forecasts.csv", as_csv([asdict(line) for line in expected]))
    drawn = draw_forecast(made, expected)
    failed = [f"failed: {cell.name}: {reason}" for cell, reason in made.failures().items()]
    return "\n".join(
        [
            forecast_text(expected),
            "",
            *failed,
            f"sealed  {sealed.cells} cells on {sealed.made}\nseal    {sealed.hash}\nfolder  {folder}",
            *(f"figure  {path}" for path in drawn[:1]),
            "\nThe same options with `finebayes run` finetune and score exactly these forecasts.",
        ]
    )


def prepare(study_run: StudyRun, progress: Progress) -> list[Experiment]:
    """The experiments of a run, one for each draw of the process; whatever is wrong with them is refused
    here, before anything is written."""
    for sentence in fix_settings():
        progress.say(sentence)
    if not study_run.config.optimise:
        compile_fast()
    refuse_other_values()
    experiments = study_run.experiments()
    candidates(experiments[0])
    return experiments


def _write_measures(made: RunFolder) -> None:
    """Write the measures known before finetuning, as a table, where the experiment asks for them."""
    if known := records(made):
        write_text(made.folder / MEASURES, as_csv(known))


def all_code(study_run: StudyRun, experiments: list[Experiment]) -> dict[str, str]:
    """Digests by module of what makes the numbers of a run."""
    study = study_run.study.module.__name__
    return {name: sha for experiment in experiments for name, sha in run_code(study, experiment).items()}


def create_run(
    folder: Path,
    study_run: StudyRun,
    experiments: list[Experiment],
    progress: Progress,
    again: bool,
) -> RunFolder:
    """The run's folder with copies of the user's own files; says which files in it nothing reads."""
    code = all_code(study_run, experiments)
    refuse_workers(RunFolder(folder))
    made = create(folder, study_run.record, environment(), code, again)
    study_run.keep_files(folder)
    for sentence in made.stray_sentences():
        progress.say(escape(sentence))
    return made


def places(study_run: StudyRun, out: str, networks: str) -> tuple[Path, Path]:
    """The run's folder, and the folder of base networks."""
    folder = Path(out) if out else RESULTS / study_run.study.name / digest(study_run.record)
    return folder, Path(networks) if networks else (folder if out else RESULTS) / "networks"


@blaming()
def run_cells(
    experiments: list[Experiment],
    made: RunFolder,
    networks: BaseNetworks,
    progress: Progress,
    only: Callable[[Cell], bool] = lambda cell: True,
    early: DrawEarly | None = None,
    executors: Executors | None = None,
) -> None:
    """Run every cell that is not finished, draw by draw; the first finetuning notes its time. `early` draws a
    first figure when the cells of a base network are finished."""

    def noted(cells: list[Cell]) -> Iterator[Cell]:
        for cell in cells:
            if not cell.is_forecast:
                seal.begin(made)
            yield cell

    draws = []  # experiment, the number of its cells, those that are not finished
    for experiment in experiments:
        cells = [cell for cell in experiment.cells() if only(cell)]
        draws.append((experiment, len(cells), [cell for cell in cells if not made.finished(cell)]))
    count, todo = sum(count for _, count, _ in draws), [cell for *_, cells in draws for cell in cells]
    if len(todo) < count:
        progress.say(f"{count - len(todo)} of {count} cells were finished before")
    unfinished = [(experiment, count, cells) for experiment, count, cells in draws if cells]
    figure = EarlyFigure(early, made, progress, count, len(todo)) if early else None

    def again(experiment: Experiment, cells: list[Cell]) -> None:
        """Pretrain the networks that unfinished cells of retrained ones need."""
        for arm in dict.fromkeys(cell.arm for cell in cells if cell.kind == "retrained"):
            pretrain_again(experiment, experiment.arm(arm), networks, progress)

    executors = executors or Executors()
    for experiment, count, cells in unfinished:
        if len(experiments) > 1:
            progress.say(_part(experiment, experiments))
        executor = executors.of(experiment, template(experiment.process, experiment.shape))
        bases = networks.pretrained(experiment, progress, meanwhile=executor.compile)
        again(experiment, cells)
        finished = one_by_one(executor, bases, made, noted(cells), networks)
        _follow(finished, progress, count, len(cells), figure)


def _part(experiment: Experiment, experiments: list[Experiment]) -> str:
    """The part of a run that an experiment is: a draw of the process, or a group of base networks."""
    count = sum(not other.first_seed for other in experiments)
    draw, group = divmod(experiments.index(experiment), len(experiments) // count)
    words = [f"draw {draw + 1} of {count} of the process"] * (count > 1)
    if len(experiments) > count:
        words.append(f"group {group + 1} of {len(experiments) // count} of base networks")
    return ", ".join(words)


def _follow(
    finished: Iterator[Finished], progress: Progress, count: int, missing: int, figure: EarlyFigure | None
) -> None:
    """Show cells as they finish, `missing` of them out of `count`."""
    if figure:
        figure.begin()
    with progress.cells(count, count - missing) as advance:
        for done in finished:
            advance(done.cell.name, done.failure)
            if figure:
                figure.finished(done.cell)
            for line in done.tuning:
                progress.say(f"        {line}")
