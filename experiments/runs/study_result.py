"""The result of a study for a notebook: run as the command line runs it, then read from its folder.

A study runs in a process of its own, so that its bytes are those of the command line whatever the notebook
has done with jax. An interrupted call leaves a folder, from which the same call goes on.
"""

import dataclasses
import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.design.checks import check_counts, check_numbers
from experiments.design.options import flat, with_options
from experiments.design.study import DEFAULT_PRESET, Study, StudyRun
from experiments.reports.arviz_export import to_arviz
from experiments.reports.command import command_words
from experiments.reports.html import summary_html
from experiments.reports.scores import Scores
from experiments.runs.progress import relay
from experiments.runs.run import places
from experiments.storage.records import Json, ScoreLine
from experiments.storage.run_folder import DONE, REPORT, RunFolder, find
from experiments.system import surroundings
from theory.errors import Misuse

COLOURS = ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE")  # a notebook asks for them: no plain lines then
PATIENCE = 10.0  # seconds that an interrupted run has to end by itself


@dataclass(frozen=True, eq=False, repr=False)
class StudyResult(Scores):
    """A study's folder: its scores, its figures and report on disk, and its chains."""

    source: RunFolder

    @property
    def folder(self) -> Path:
        """The folder on disk."""
        return self.source.folder

    @property
    def figures(self) -> list[Path]:
        """The figures on disk."""
        return sorted((self.folder / "figures").glob("*.png"))

    @property
    def report(self) -> Path:
        """The report on disk."""
        return self.folder / REPORT

    @property
    def failures(self) -> dict[str, str]:
        """Failed cells and their reasons."""
        return {cell.name: reason for cell, reason in self.source.failures().items()}

    @property
    def _unscored(self) -> str:
        return "it scores no theories" if (self.folder / DONE).exists() else super()._unscored

    def _scored(self) -> list[ScoreLine]:
        if not self.lines and (self.folder / DONE).exists():
            raise Misuse(
                f"{self.source.study} scores no theories; its figures and its numbers (CSV) are in "
                f"{self.folder / 'figures'}, and the report has all."
            )
        return super()._scored()

    def to_arviz(self, theory: str = "") -> dict[str, Any]:
        """The watched samples of every sampled posterior as ArviZ data, by name (extra `export`)."""
        return to_arviz(self.source, theory)

    def _repr_html_(self) -> str:
        return summary_html(self.source)


def run(
    study: str,
    preset: str = DEFAULT_PRESET,
    *,
    out: str | Path = "",
    networks: str | Path = "",
    files: Sequence[str | Path] = (),
    workers: int | None = None,
    again: bool = False,
    progress: bool = True,
    **options: Any,
) -> StudyResult:
    """Run a study by its name or its file, with the bytes of `finebayes run`; finished parts are not redone.

    Options are nested as on the command line: `finetuning={"doses": (1, 8)}`, `process={"rarity": 0.5}`.
    `files` are theories, processes, methods and samplers of one's own (`--with`). `out` is the folder of the
    run (default: results/STUDY/HASH), `networks` that of base networks; with `again` the results in it are
    deleted first, whatever code made them. Raises `Misuse` with the sentence of the command line.
    """
    given = worker_words(workers)
    study_run = resolve(study, preset, files, options)
    folder, kept = places(study_run, str(out), str(networks))
    words = ["--out", str(folder), "--networks", str(kept), *given, *["--again"] * again]
    relay_command([*command_words(study_run), *words], progress)
    return load(folder)


def worker_words(workers: int | None) -> list[str]:
    """The option of the command line for a number of workers."""
    if workers is None:
        return []
    check_counts(workers=workers)
    return ["--workers", str(workers)]


def resolve(study: str, preset: str, files: Sequence[str | Path], options: Json) -> StudyRun:
    """The run of a study that a notebook asks for, with its options checked."""
    if isinstance(files, str | Path):
        raise Misuse(f"files must be a list, got {files!r:.60}; write files=[...].")
    declared, named = Study.find(str(study)), dict(flat(options))
    check_numbers(named.items())
    try:
        json.dumps(options)
    except TypeError:
        raise Misuse(
            "Options of a study are plain values, as on the command line; a theory of your own goes into a "
            "file, files=['my_theory.py'], or to fb.compare."
        ) from None
    config = with_options(declared.preset(preset), named)
    config = dataclasses.replace(config, files=tuple(map(str, files)))
    return StudyRun.make(declared, preset, config)


def load(folder: str | Path) -> StudyResult:
    """The result in a folder that a run has made, or in the only one below it."""
    return StudyResult(find(folder))


def relay_command(words: Sequence[str], progress: bool) -> None:
    """Run the command line in a process of its own and show its progress; a failure raises its sentence."""
    variables = surroundings.variables(COLUMNS="1000", PYTHONIOENCODING="utf-8")
    kept = {name: value for name, value in variables.items() if name not in COLOURS}
    process = subprocess.Popen(
        surroundings.command_line(*words),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=kept,
    )
    assert process.stderr is not None
    try:
        last = relay(process.stderr, progress)
        process.wait()
    except BaseException:  # Ctrl-C: the run keeps what is finished
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    finally:
        process.stderr.close()
    if process.returncode:
        raise Misuse(last or f"The run ended with status {process.returncode}.")
