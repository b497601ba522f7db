"""A sweep as text: every run with the values of its axes, how far it is, and what to call next. No jax."""

import contextlib
import shlex

from experiments.design.axes import short_names
from experiments.design.study import Study
from experiments.reports.sentences import aligned
from experiments.scoring.sweep_curves import curve_names, read_curves
from experiments.scoring.sweep_panels import COLUMNS, label
from experiments.scoring.sweep_table import SweepTable, read_sweep
from experiments.storage.sweep_folder import SCORES, SweepFolder, SweepPoint
from theory.errors import Misuse


def summary(sweep: SweepFolder) -> str:
    """A sweep as text: every run with its values, how far it is, and what to call next."""
    record = sweep.record
    names = short_names([axis.field for axis in record.axes])
    table = [[*names.values(), "run", "learnt", "status"]]
    for point in record.points:
        words = [label(point.values[axis.field]) for axis in record.axes]
        table.append([*words, point.folder, *_state(sweep, point)])
    folder = shlex.quote(str(sweep.folder))
    return "\n".join(
        [
            aligned(table),
            "",
            f"scores  {sweep.folder / SCORES}",
            f"folder  {sweep.folder}",
            f"draw    finebayes sweep {folder} --plot explained --by {record.axes[0].field}",
        ]
    )


def scores_with(sweep: SweepFolder, column: str) -> SweepTable:
    """The scores of a sweep with a column that is to be plotted. One that no scorecard has may be a curve of
    the study's own figures, which are then drawn of the finished runs that have none."""
    if column not in COLUMNS:
        for point in sweep.record.points:
            run = sweep.run(point)
            if sweep.status(point) != "finished":
                continue
            if not (run.folder / "figures").is_dir():
                with contextlib.suppress(Misuse):  # what cannot be drawn has no curve
                    Study.of(run).draw(run)
            if column not in curve_names(read_curves(run.folder)):  # refused with the nearest name
                break
    return read_sweep(sweep)


def _state(sweep: SweepFolder, point: SweepPoint) -> tuple[str, str]:
    """The share of inference learnt in a run, and how far the run is, with what failed of it."""
    run, status = sweep.run(point), sweep.status(point)
    try:
        quality, failures = run.quality(), list(run.failures().values())
        reason = sweep.reason(point) or (f"{len(failures)} cells failed: {failures[0]}" if failures else "")
    except Misuse as error:  # a damaged file
        quality, reason = None, str(error)
    return f"{quality.learnt:.2f}" if quality else "", ": ".join(filter(None, [status, reason]))
