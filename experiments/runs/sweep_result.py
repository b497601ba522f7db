"""The result of a sweep for a notebook: run as the command line runs it, then read from its folder."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.axes import MOST_RUNS, Sweep, make_axes, over_words, refuse_settled
from experiments.design.options import flat
from experiments.design.study import DEFAULT_PRESET
from experiments.reports.command import command_words
from experiments.reports.laws import SweepLaws, sweep_laws
from experiments.reports.scores import as_frame
from experiments.reports.sweep import scores_with, summary
from experiments.runs.study_result import StudyResult, relay_command, resolve, worker_words
from experiments.runs.sweep import sweep_places
from experiments.scoring.sweep_panels import COLUMNS, LAST, Choice, plotted_axes
from experiments.scoring.sweep_table import SweepTable, read_sweep
from experiments.storage.records import Json
from experiments.storage.sweep_folder import SweepFolder, find_sweep
from theory.errors import Misuse

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class SweepResult:
    """A sweep's folder: its runs, and the scores of all of them with the values of the axes."""

    source: SweepFolder

    @property
    def folder(self) -> Path:
        """The folder on disk."""
        return self.source.folder

    @property
    def runs(self) -> dict[str, StudyResult]:
        """The finished runs by the names of their folders."""
        points = [point for point in self.source.record.points if self.source.status(point) == "finished"]
        return {point.folder: StudyResult(self.source.run(point)) for point in points}

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        """The value of every axis at every point, by the name of its run's folder."""
        return {point.folder: point.values for point in self.source.record.points}

    @property
    def failures(self) -> dict[str, str]:
        """Runs that failed, and their reasons."""
        points = self.source.record.points
        return {
            point.folder: self.source.reason(point)
            for point in points
            if self.source.status(point) == "failed"
        }

    @cached_property
    def scores(self) -> SweepTable:
        """The scorecards of all points, with what is missing."""
        return read_sweep(self.source)

    def records(self) -> list[Json]:
        """A dict for each line of each scorecard, with the values of the axes and the share learnt."""
        return self.scores.records()

    def frame(self) -> Any:
        """The same as a pandas DataFrame, or as a list of dicts where pandas is not installed."""
        return as_frame(self.records())

    def plot(
        self,
        column: str = "explained",
        by: str | Sequence[str] = (),
        *,
        theories: Sequence[str] = (),
        methods: Sequence[str] = (),
        data: Sequence[str] = (),
        group: str = "",
        dose: int | str = LAST,
    ) -> "Figure":
        """A column of the scorecard, or a curve of the study's own figures by its name, along one axis, as
        lines, or over two, as a heat map; a matplotlib figure."""
        from experiments.figures.style import style
        from experiments.figures.sweep import sweep_figure

        axes = plotted_axes(self.source.record, (by,) if isinstance(by, str) and by else tuple(by))
        scores = self.scores if column in COLUMNS else scores_with(self.source, column)
        choice = Choice(column, tuple(theories), tuple(methods), tuple(data), group, str(dose))
        with style():
            return sweep_figure(scores, choice, axes[0])

    def laws(self, of: str | Path = "") -> SweepLaws:
        """Laws of the scores in measures known before finetuning: proposed and sealed on half of the points,
        scored on the other, as `finebayes sweep FOLDER --law` writes them; of a study with measures. With the
        folder of another sweep: the laws that are sealed there, scored on the points here that it has not."""
        return sweep_laws(self.source, find_sweep(of) if of else None)

    def __repr__(self) -> str:
        return summary(self.source)


def sweep(
    study: str,
    over: Mapping[str, Iterable[Any]] | None = None,
    preset: str = DEFAULT_PRESET,
    *,
    one_at_a_time: bool = False,
    out: str | Path = "",
    networks: str | Path = "",
    files: Sequence[str | Path] = (),
    workers: int | None = None,
    again: bool = False,
    yes: bool = False,
    figures: bool = False,
    progress: bool = True,
    **options: Any,
) -> SweepResult:
    """Run a study over values of its fields, with the bytes of `finebayes sweep`; finished runs are kept.

    `over` has the values by field, {"process.style": [0.5, 1, 2]}; without it they are those that the study
    declares, one at a time. All combinations are run, or, with `one_at_a_time`, each field alone leaves the
    centre that `options` give. More than a thousand runs need `yes`. With `figures` every run is drawn and
    reported, as those of `fb.run` are. Other arguments are those of `fb.run`.
    Runs that fail are warned of and are in `failures`; a mistake raises `Misuse`, before anything is run.
    """
    given = worker_words(workers)
    centre = resolve(study, preset, files, options)
    declared = {} if over else centre.study.axes(centre.config)
    axes = make_axes(over or declared, centre.config)
    plan = Sweep(centre, axes, one_at_a_time or bool(declared))
    if not plan.one_at_a_time:
        refuse_settled(axes, dict(flat(options)))
    if plan.size > MOST_RUNS and not yes:
        raise Misuse(f"These are {plan.size} runs; give yes=True if all of them are meant, or fewer values.")
    folder, kept = sweep_places(plan, str(out), str(networks))
    words = ["sweep", *command_words(centre)[1:], *over_words(axes)]
    words += ["--out", str(folder), "--networks", str(kept), *given]
    words += ["--again"] * again + ["--yes"] * yes + ["--figures"] * figures
    words += ["--one-at-a-time"] * plan.one_at_a_time
    try:
        relay_command(words, progress)
    except Misuse as error:
        made = SweepFolder(folder)
        if not made.exists or made.record.hash != plan.record.hash or not SweepResult(made).failures:
            raise
        warnings.warn(str(error), stacklevel=2)
    return load_sweep(folder)


def load_sweep(folder: str | Path) -> SweepResult:
    """The sweep in a folder, finished or not."""
    return SweepResult(find_sweep(folder))
