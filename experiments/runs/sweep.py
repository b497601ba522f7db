"""A sweep from its axes to its table of scores: every point is checked, then run as `finebayes run` does.

The runs of a sweep share one folder of base networks. A run that is finished is not run again, one that was
killed goes on, and one that failed is tried again. A failure is noted beside the run's folder, and the other
runs go on. A point is made by an `Executor`.
"""

import contextlib
import itertools
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax

from experiments.cells.candidates import candidates
from experiments.design.axes import Sweep, short_names
from experiments.design.study import StudyRun
from experiments.reports.sentences import aligned
from experiments.runs.base_networks import BaseNetworks
from experiments.runs.code_digests import run_code
from experiments.runs.environment import fix_settings
from experiments.runs.plan import Estimate, estimate
from experiments.runs.progress import Progress
from experiments.runs.run import RESULTS
from experiments.runs.sweep_executor import Executor, InThisProcess, Settings, by_shape, shapes_of
from experiments.runs.sweep_progress import SweepProgress
from experiments.scoring.sweep_panels import label
from experiments.scoring.sweep_table import read_sweep, write_scores
from experiments.storage.files import locked
from experiments.storage.manifests import RunConfig
from experiments.storage.run_folder import REPORT, RunFolder
from experiments.storage.sweep_folder import SweepFolder, SweepPoint, create_sweep
from theory.errors import Misuse

SWEEPS = RESULTS / "sweeps"


@dataclass(frozen=True)
class CheckedPoint:
    """A point that can be run: its base networks by the names of their files, their trainings, which are the
    same where they end sooner or later, the hash of its config and code, and what it takes."""

    point: SweepPoint
    run: StudyRun
    networks: tuple[str, ...]
    trainings: tuple[str, ...]
    hash: str
    estimate: Estimate


def check_points(sweep: Sweep) -> list[CheckedPoint]:
    """Every point with what it needs, in the order in which they are run, those that share programs after
    each other; whatever is wrong with one of them is refused, before any is run."""
    checked, kept = [], BaseNetworks(Path())
    for point in sweep.record.in_order:
        study_run = sweep.points[point.folder][1]
        try:
            experiments = study_run.experiments()
            candidates(experiments[0])
        except Misuse as error:
            raise Misuse(f"At {sweep.title(point.values)}: {error}") from error
        code = run_code(study_run.study.module.__name__, experiments[0])
        checked.append(
            CheckedPoint(
                point,
                study_run,
                tuple(kept.path(experiment).name for experiment in experiments),
                tuple(kept.end_path(experiment).name for experiment in experiments),
                RunConfig.make(study_run.record, code)["hash"],
                estimate(experiments[0], len(experiments)),
            )
        )
    return [*itertools.chain(*by_shape(checked, lambda part: shapes_of(part.run)))]


def sweep_places(sweep: Sweep, out: str, networks: str) -> tuple[Path, Path]:
    """The sweep's folder, and the folder of base networks."""
    folder = Path(out) if out else SWEEPS / sweep.centre.study.name / sweep.record.hash
    return folder, Path(networks) if networks else (folder if out else RESULTS) / "networks"


def run_sweep(
    sweep: Sweep,
    folder: Path,
    settings: Settings,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> SweepFolder:
    """Everything `finebayes sweep` does after its options are parsed; finished runs are not run again."""
    shown = SweepProgress(sweep.size, progress or Progress())
    for sentence in fix_settings():
        shown.say(sentence)
    checked, executor = check_points(sweep), executor or InThisProcess()
    with locked(folder):
        made = create_sweep(folder, sweep.record)
        shown.say(f"{sweep.size} runs of {sweep.centre.study.name} ({sweep.centre.preset}) in {folder}")
        for part in checked:
            if is_finished(made, part, settings.figures) and not settings.again:
                shown.ended(part.point.folder, "was finished before")
            else:
                _run_point(made, part, settings, executor, shown)
        write_scores(made, read_sweep(made))
    return made


def _run_point(
    sweep: SweepFolder, checked: CheckedPoint, settings: Settings, executor: Executor, shown: SweepProgress
) -> None:
    """Run a point, and note why it failed if it does: the others are run, whatever it ends with."""
    point, began, reason, made = checked.point, time.monotonic(), "", sweep.run(checked.point)
    sweep.begin(point)
    with shown.running(point.folder) as progress:
        try:
            executor(checked.run, made.folder, settings, progress)
        except Misuse as error:
            reason = str(error)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
    if reason:
        sweep.fail(point, reason)
        shown.ended(point.folder, f"failed: {reason}", failed=True)
    else:
        shown.ended(point.folder, f"{time.monotonic() - began:.0f} s{_outcome(made)}")


def is_finished(sweep: SweepFolder, checked: CheckedPoint, figures: bool = False) -> bool:
    """Whether a point's run is finished, by the code that there is now; with its `figures`, if they are
    wanted."""
    run = sweep.run(checked.point)
    with contextlib.suppress(Misuse):  # of a damaged config, which running it again says
        finished = sweep.status(checked.point) == "finished" and run.config.hash == checked.hash
        return finished and (not figures or (run.folder / REPORT).exists())
    return False


def refuse_failed(sweep: SweepFolder) -> None:
    """Raise `Misuse` where runs of a sweep have failed."""
    points = sweep.record.points
    failed = [point.folder for point in points if sweep.status(point) == "failed"]
    if failed:
        more = f" and {len(failed) - 3} more" * (len(failed) > 3)
        raise Misuse(
            f"{len(failed)} of {len(points)} runs failed: {'; '.join(failed[:3])}{more}; see above for why. "
            "The others are kept; the same command tries these again."
        )


def _outcome(run: RunFolder) -> str:
    """The share of inference learnt in a finished run, and how many cells failed, in words."""
    quality, failures = run.quality(), len(run.failures())
    learnt = f", learnt {quality.learnt:.2f}" if quality else ""
    return learnt + f", {failures} cell{'s' * (failures > 1)} failed" * bool(failures)


def dry_run(sweep: Sweep, folder: Path, networks: Path) -> str:
    """The plan of a sweep: every point, the base networks that they share, and estimates of time and disk."""
    fix_settings()
    checked, made = check_points(sweep), SweepFolder(folder)
    files = list(dict.fromkeys(name for part in checked for name in part.networks))
    trained = [name for name in files if (networks / name).exists()]
    names = short_names([axis.field for axis in sweep.axes])
    table = [[*names.values(), "run", "base networks", "status"]]
    for part in checked:
        words = [label(part.point.values[axis.field]) for axis in sweep.axes]
        sets = ", ".join(str(1 + files.index(name)) for name in part.networks)
        status = "finished" if is_finished(made, part) else ""
        table.append([*words, part.point.folder, sets, status])
    missing = [part for part in checked if not is_finished(made, part)]
    seconds = estimated_seconds(missing, trained)
    disk = sum(part.estimate.disk for part in checked)
    return "\n".join(
        [
            aligned(table),
            "",
            f"runs                {len(checked)}, of which {len(checked) - len(missing)} are finished",
            f"base networks       {len(files)} sets, of which {len(trained)} are trained",
            f"estimated time      {_duration(seconds)} on {len(jax.devices())} device(s)",
            f"estimated disk      {disk / 1e6:.0f} MB",
            f"folder              {folder}",
        ]
    )


def estimated_seconds(missing: Sequence[CheckedPoint], trained: Collection[str]) -> float:
    """Seconds of points that follow each other: base networks that are not `trained` are trained once, and of
    points of one shape the first compiles."""
    training = {
        part.trainings: part.estimate.pretraining for part in missing if not {*part.networks} <= {*trained}
    }
    first = [next(parts) for _, parts in itertools.groupby(missing, lambda part: shapes_of(part.run))]
    compiling = sum(part.estimate.compiling for part in first)
    return sum(training.values()) + compiling + sum(part.estimate.others for part in missing)


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds > 5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
