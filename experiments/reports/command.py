"""The command line that makes a run: its preset, and the options that differ from it. No jax."""

from collections.abc import Iterator

from experiments.design.options import flat, to_json
from experiments.design.study import StudyRun


def command_words(run: StudyRun) -> list[str]:
    """The words after `finebayes`."""
    preset = run.study.module.PRESETS.get(run.preset)
    known = dict(flat(to_json(preset))) if preset else {}
    words = ["run", run.study.file or run.study.name, *(["--preset", run.preset] if preset else [])]
    for name, value in flat(run.options):
        if name not in known or known[name] != value:
            words += _option(name.replace("_", "-"), value)
    return [*words, *(word for file in run.files for word in ("--with", file))]


def _option(name: str, value: object) -> Iterator[str]:
    """A flag and its values: --pretraining.steps 150, --finetuning.no-fresh, --topics 0 1,2."""
    section, dot, field = name.rpartition(".")
    if isinstance(value, bool):
        yield f"--{section}{dot}{'' if value else 'no-'}{field}"
        return
    yield f"--{name}"
    for part in value if isinstance(value, list) else [value]:
        yield ",".join(map(str, part)) if isinstance(part, list) else str(part)
