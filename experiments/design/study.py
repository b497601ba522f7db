"""Study: a question with its config and its experiment, as a module of `experiments.studies` or a file of
one's own.

A study module has a docstring (its first line is the question), a frozen dataclass `Config`, `PRESETS` of
it by name,
`experiment(config)` which says what is pretrained, finetuned and predicted, and `draw(run)` which makes the
figures from what is on disk. It imports no jax at the top, so that `--help` answers at once.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from experiments.design.config import StudyConfig
from experiments.design.options import from_json, to_json
from experiments.discovery import Catalogue, choose, read_file
from experiments.storage.records import Json
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
            return cls(Catalogue().find("studies", given).name)
        entry = read_file(given)
        if entry.kind != "studies":
            raise Misuse(f"{given} is no study: it defines no experiment(config); add it with --with.")
        return cls(entry.name, given)

    @classmethod
    def of(cls, run: RunFolder) -> Self:
        """The study of a run; one of the user's own is read from the run's copy of it."""
        copy = run.folder / FILES / f"{run.study.replace('-', '_')}.py"
        return (
            cls(run.study, str(copy)) if copy.exists() else cls(Catalogue().find("studies", run.study).name)
        )

    @property
    def module(self) -> Any:
        """The study's module: Config, PRESETS, experiment and draw."""
        module = Catalogue((self.file,) if self.file else ()).load("studies", self.name)
        missing = [name for name in ("Config", "PRESETS", "experiment", "draw") if not hasattr(module, name)]
        if missing:
            raise Misuse(f"The study {self.name} lacks {', '.join(missing)}; see docs/extending/study.md.")
        return module

    def preset(self, name: str) -> StudyConfig:
        """The config of a preset."""
        presets = self.module.PRESETS
        return presets[choose("preset", name, presets)]


@dataclass(frozen=True)
class StudyRun:
    """A study with its config: what a run folder is made for. It can be sent to another process as it is."""

    study: Study
    preset: str
    options: Json
    files: tuple[str, ...] = ()

    @classmethod
    def make(cls, study: Study, preset: str, config: StudyConfig) -> Self:
        """A run of a config."""
        return cls(study, preset, to_json(dataclasses.replace(config, files=())), config.files)

    @classmethod
    def of(cls, run: RunFolder) -> Self:
        """The run that a folder holds, with the user's own files as they were."""
        study, record = Study.of(run), run.config
        copies = [str(run.folder / FILES / entry["file"]) for entry in record.get("files", [])]
        return cls(study, record["preset"], run.options, tuple(file for file in copies if file != study.file))

    @property
    def config(self) -> StudyConfig:
        """The config, as the study's own dataclass."""
        config = from_json(self.study.preset(self.preset), self.options)
        return dataclasses.replace(config, files=self.files)

    @property
    def record(self) -> Json:
        """What config.json holds: own files count by their content."""
        catalogue = Catalogue((*self.files, *([self.study.file] if self.study.file else [])))
        record = {"study": self.study.name, "preset": self.preset, "config": self.options}
        return record | ({"files": catalogue.digests()} if catalogue.files else {})

    def experiment(self) -> "Experiment":
        """What is pretrained, finetuned and predicted."""
        return self.study.module.experiment(self.config)

    def keep_files(self, folder: Path) -> None:
        """Copy the user's own files into the run's folder, from which it is drawn, reported and run again."""
        for file in (*self.files, *([self.study.file] if self.study.file else [])):
            copy = folder / FILES / Path(file).name
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(Path(file).read_bytes())
