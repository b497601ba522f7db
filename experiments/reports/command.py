"""The command line that makes a run: its preset, and the options that differ from it."""

import shlex
from typing import Any

from experiments.design.options import options
from experiments.design.study import StudyRun


def command_words(study_run: StudyRun) -> list[str]:
    """The words after `finebayes`."""
    study, preset = study_run.study, dict(options(study_run.study.preset(study_run.preset)))
    words = ["run", study.file or study.name, "--preset", study_run.preset]
    for file in study_run.files:
        words += ["--with", file]
    for name, value in options(study_run.config):
        if name != "files" and value != preset.get(name):
            words += _option(name.replace("_", "-"), value)
    return words


def command_line(study_run: StudyRun) -> str:
    """The same as one line for a shell."""
    return shlex.join(["finebayes", *command_words(study_run)])


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        section, dot, last = name.rpartition(".")
        return [f"--{name}" if value else f"--{section}{dot}no-{last}"]
    return [f"--{name}", *map(_word, value if isinstance(value, tuple) else (value,))]


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
