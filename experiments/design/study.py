"""Study: a question with its config and its experiment, a module of experiments.studies or a user's own file.

A study module has a docstring (its first line is the question), a frozen dataclass `Config`, `PRESETS` of it
by name, `experiment(config)`, which declares what is pretrained, finetuned and predicted, and `draw(run)`,
which makes the figures from what is on disk. It imports no jax at the top, so that `--help` answers at once.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from experiments.design.config import StudyConfig
from experiments.design.options import from_json, options, to_json
from experiments.design.unused import check_used
from experiments.discovery import FOLDERS, ROOT, Catalogue, Entry, choose, read_file
from experiments.scoring.findings import Findings
from experiments.scoring.target import Target
from experiments.storage.files import write
from experiments.storage.records import IMPORTED, Json
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment

DEFAULT_PRESET = "small"
FILES = "files"  # the folder of a run that holds copies of the user's own files


@dataclass(frozen=True)
class Study:
    """A study by its name, or by the `file` it stands in."""

    name: str
    file: str = ""

    @classmethod
    def find(cls, given: str) -> Self:
        """A study by its name or by a path that ends in .py; a misspelt name is answered with the nearest."""
        if not given.endswith(".py"):
            if given not in Catalogue().names("studies") and Path(f"{given}.py").is_file():
                raise Misuse(f"There is no study called {given!r}; did you mean the file {given}.py?")
            return cls(Catalogue().find("studies", given).name)
        entry = read_file(given)
        if entry.kind != "studies":
            raise Misuse(f"{given} is no study: it defines no experiment(config); add it with --with.")
        return cls(entry.name, given)

    @classmethod
    def of(cls, run: RunFolder) -> Self:
        """The study of a run; one of the user's own is read from the run's copy of it."""
        if run.study == IMPORTED:
            return cls(IMPORTED)
        copy = run.folder / FILES / f"{run.study.replace('-', '_')}.py"
        if copy.exists() and read_file(str(copy)).kind == "studies":
            return cls(run.study, str(copy))
        return cls(Catalogue().find("studies", run.study).name)

    @property
    def entry(self) -> Entry:
        """Its entry in the catalogue."""
        if self.name == IMPORTED:  # it makes no run, so that it is none of the catalogue's
            path = ROOT / FOLDERS["studies"] / f"{IMPORTED.replace('-', '_')}.py"
            return Entry("studies", IMPORTED, "", path)
        return Catalogue((self.file,) if self.file else ()).find("studies", self.name)

    @property
    def module(self) -> Any:
        """The study's module: Config, PRESETS, experiment and draw."""
        module = self.entry.load()
        if self.name == IMPORTED:
            return module
        missing = [name for name in ("Config", "PRESETS", "experiment", "draw") if not hasattr(module, name)]
        if missing:
            raise Misuse(f"The study {self.name} lacks {', '.join(missing)}; see docs/extending/study.md.")
        return module

    def preset(self, name: str) -> StudyConfig:
        """The config of a preset."""
        presets = self.module.PRESETS
        if (
            not isinstance(presets, Mapping)
            or not presets
            or not all(isinstance(key, str) for key in presets)
        ):
            raise Misuse(
                f"PRESETS of {self.name} must be a dict, {{name: Config(...)}}, got {presets!r:.60}."
            )
        config = presets[choose("preset", name, presets)]
        if not isinstance(config, StudyConfig):
            raise Misuse(
                f"The preset {name} of {self.name} is a {type(config).__name__}; Config must inherit from "
                "experiments.design.config.StudyConfig."
            )
        return config

    @contextlib.contextmanager
    def reading_options(self) -> Iterator[None]:
        """Around the parser: an own Config whose fields cannot be options is told so."""
        try:
            yield
        except Exception as error:
            if isinstance(error, Misuse) or not self.entry.is_own:
                raise
            raise Misuse(
                f"{self.entry.path.name}: a field of Config is no option ({type(error).__name__}: {error}); "
                "give each a plain type and a default of that type."
            ) from error

    def experiment(self, config: StudyConfig) -> "Experiment":
        """The experiment of a config."""
        with self.entry.guard():
            made = self.module.experiment(config)
            if not hasattr(made, "cells"):
                raise Misuse(
                    f"experiment(config) returns a {type(made).__name__}; return config.experiment(...)."
                )
        return made

    def axes(self, config: StudyConfig) -> Mapping[str, Any]:
        """The axes of a sweep that the study declares, values by field; none where it has no
        `axes(config)`."""
        with self.entry.guard():
            declared = getattr(self.module, "axes", None)
            axes = declared(config) if declared else {}
            if not isinstance(axes, Mapping):
                raise Misuse(
                    f"axes(config) must return a dict, {{field: values}}, got a {type(axes).__name__}."
                )
        return axes

    def target(self, run: RunFolder) -> Target | None:
        """The hypothesis that the study asks about, where it names one (`target(options)`)."""
        with self.entry.guard():
            named = getattr(self.module, "target", None)
            return named(run.options) if named else None

    def remark(self, run: RunFolder) -> str:
        """A sentence of the study's own that opens its answer (`remark(run)`); "" without one."""
        with self.entry.guard():
            named = getattr(self.module, "remark", None)
            return named(run) if named else ""

    def findings(self, run: RunFolder) -> Findings | None:
        """The study's own answer, where it has one (`findings(run)`); None: that of the scorecard."""
        with self.entry.guard():
            named = getattr(self.module, "findings", None)
            return named(run) if named else None

    def draw(self, run: RunFolder) -> list[Path]:
        """The files of its figures, drawn from what is on disk."""
        with self.entry.guard():
            return list(self.module.draw(run))


@dataclass(frozen=True)
class StudyRun:
    """A study with its config: what a run folder is made for. It can be sent to another process as it is."""

    study: Study
    preset: str
    options: Json
    files: tuple[str, ...] = ()

    @classmethod
    def make(cls, study: Study, preset: str, config: StudyConfig) -> Self:
        """A run of a config; the file of a process of the user's own is among its files."""
        for file in config.files:
            if read_file(file).kind == "studies":
                raise Misuse(f"{file} is a study, which is run by itself: finebayes run {file}.")
        process = [str(config.process.entry.path)] * config.process.entry.is_own
        files = {Path(file).absolute(): file for file in (*process, *config.files)}
        return cls(study, preset, to_json(dataclasses.replace(config, files=())), tuple(files.values()))

    @classmethod
    def of(cls, run: RunFolder) -> Self:
        """The run that a folder holds, with the user's own files as they were."""
        study, preset = Study.of(run), run.config.preset
        if study.name == IMPORTED:
            raise Misuse(f"{run.folder} holds an imported table; import it again: finebayes import TABLE.")
        copies = [str(run.folder / FILES / entry.file) for entry in run.config.files]
        made = cls(study, preset, run.options, tuple(file for file in copies if file != study.file))
        try:
            made.config  # noqa: B018
        except Misuse:
            run.refuse_other_version(run.folder / "config.json")
            raise
        return made

    @property
    def config(self) -> StudyConfig:
        """The config, as the study's own dataclass."""
        config = from_json(self.study.preset(self.preset), self.options)
        return dataclasses.replace(config, files=self.files)

    @property
    def catalogue(self) -> Catalogue:
        """Ours and the user's own files, that of the study included."""
        return Catalogue((*self.files, *([self.study.file] if self.study.file else [])))

    @property
    def record(self) -> Json:
        """The content of config.json: own files count by their content."""
        record = {"study": self.study.name, "preset": self.preset, "config": self.options}
        digests = self.catalogue.digests()
        return record | ({"files": digests} if digests else {})

    def experiments(self) -> "list[Experiment]":
        """The experiment of every draw of the process, and of every group of its base networks."""
        config = self.config
        made = [self.study.experiment(draw) for draw in config.draws()]
        if plan := made[0].inside or made[0].axioms:
            usual = dict(options(self.study.preset(self.preset)))
            check_used(self.study.name, dict(options(config)), usual, plan.unused)
        parts = [part for experiment in made for part in experiment.groups(config.pretraining.groups)]
        return [
            dataclasses.replace(part, first_base=number * part.base_seeds)
            for number, part in enumerate(parts)
        ]

    def keep_files(self, folder: Path) -> None:
        """Copy the user's own files into the run's folder, from which it is drawn, reported and run again."""
        keep_files(self.catalogue, folder)


def keep_files(catalogue: Catalogue, folder: Path) -> None:
    """Copy the user's own files into a run's folder."""
    for entry in catalogue.own_entries:
        copy = folder / FILES / entry.path.name
        if not copy.exists():
            content = entry.content
            write(copy, lambda file, content=content: file.write(content))
