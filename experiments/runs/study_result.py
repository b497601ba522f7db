"""The result of a study for a notebook: run it as the command line does, then read its folder as records
and figures.

A study runs in a process of its own, so that its bytes are those of the command line whatever the notebook
has done with jax, and an interrupted cell leaves a folder that the same call goes on with.
"""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.options import flat, with_options
from experiments.design.study import DEFAULT_PRESET, Study, StudyRun
from experiments.discovery import ROOT
from experiments.reports.command import command_words
from experiments.runs.progress import relay
from experiments.scoring.rows import table
from experiments.scoring.scorecard import scorecard
from experiments.storage.files import digest
from experiments.storage.records import Json, Row, ScoreLine
from experiments.storage.run_folder import RunFolder, find
from theory.errors import Misuse

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table as rows of text, the first of them its header: prints aligned, and as HTML in a notebook."""

    rows: list[list[str]]

    def __str__(self) -> str:
        from experiments.reports.sentences import aligned

        return aligned(self.rows)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from experiments.reports.markup import html_table

        return html_table(self.rows)


@dataclass(frozen=True)
class StudyResult:
    """A study's folder: its scores as records, its figures, its report, its chains."""

    folder: RunFolder

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.folder

    @cached_property
    def rows(self) -> list[Row]:
        """One row for each base network, method, D', dose, theory, grade and group, values by seed."""
        return table(self.folder)

    @cached_property
    def lines(self) -> list[ScoreLine]:
        """One line for each method, D', dose, theory, prior, grade and group, over all networks."""
        return scorecard(self.rows)

    def frame(self):
        """The lines as a pandas DataFrame, or as a list of dicts where pandas is not installed."""
        return as_frame([dataclasses.asdict(line) for line in self.lines])

    def table(self, group: str | None = None) -> Table:
        """Theories × doses on a group of contexts (default: the one judged first, held-out): explained ±
        s.e."""
        from experiments.reports.tables import dose_table

        return Table(dose_table(self.lines, group))

    def figure(self) -> "Figure":
        """The main figure of the comparison, as a matplotlib figure."""
        from experiments.figures.comparison import main_figure

        return main_figure(self.folder)

    @property
    def figures(self) -> list[Path]:
        """The figures on disk."""
        return sorted((self.path / "figures").glob("*.png"))

    @property
    def report(self) -> Path:
        """The report on disk."""
        return self.path / "report.html"

    def to_arviz(self, theory: str | None = None):
        """The watched samples of every sampled posterior as ArviZ data (extra `export`)."""
        from experiments.reports.arviz_export import to_arviz

        return to_arviz(self.folder, theory)

    def _repr_html_(self) -> str:
        from experiments.reports.html import summary_html

        return summary_html(self.folder)


def run(
    study: str,
    preset: str = DEFAULT_PRESET,
    *,
    out: str | Path = "",
    networks: str | Path = "",
    files: Sequence[str | Path] = (),
    jobs: int = 1,
    progress: bool = True,
    **options: Any,
) -> StudyResult:
    """Run a study by its name or its file, with the bytes of `finebayes run`; finished parts are not redone.

    Options are nested as on the command line: `finetuning={"doses": (1, 8)}`, `process={"rarity": 0.5}`.
    `files` are a user's own theories, processes, methods and samplers.
    """
    found = Study.find(study)
    own = tuple(str(file) for file in files)
    config = dataclasses.replace(with_options(found.preset(preset), dict(flat(options))), files=own)
    study_run = StudyRun.make(found, preset, config)
    folder = Path(out) if out else Path("results") / found.name / digest(study_run.record)
    words = [*command_words(study_run), "--out", str(folder), "--jobs", str(jobs)]
    words += ["--networks", str(networks or ("results/networks" if not out else folder / "networks"))]
    relay_command(words, progress)
    return load(folder)


def load(folder: str | Path) -> StudyResult:
    """The result in a folder that a run has made, or in the only one below it."""
    return StudyResult(find(str(folder)))


def relay_command(words: Sequence[str], progress: bool) -> None:
    """Run the command line in a process of its own and show its progress; a failure raises its sentence."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        assert process.stderr is not None
        last = relay(process.stderr, progress)
        process.wait()
    except BaseException:  # an interrupted cell: the folder is kept, and the run goes on from there
        process.terminate()
        process.wait()
        raise
    if process.returncode:
        raise Misuse(last.removeprefix("finebayes: ") or f"The run ended with status {process.returncode}.")


def as_frame(records: list[Json]):
    """Records as a pandas DataFrame, or as they are where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        return records
    return pandas.DataFrame(records)
