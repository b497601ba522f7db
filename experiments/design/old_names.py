"""Old option names: the flat names of earlier versions are answered with the nested ones."""

import dataclasses

from experiments.design.config import StudyConfig
from experiments.design.options import options
from theory.errors import Misuse

RENAMED = {
    "base-seeds": "pretraining.seeds",
    "seeds": "finetuning.seeds",
    "pretraining-rate": "pretraining.rate",
    "pretraining-steps": "pretraining.steps",
    "pretraining-batch": "pretraining.batch",
    "batch": "finetuning.batch",
    "process-seed": "process.seed",
    "sampled-bases": "sampling.bases",
    "sampled-seeds": "sampling.seeds",
    "draws": "sampling.samples",
    "new": "process.fresh",
}


def refuse_old_names(arguments: list[str], config: StudyConfig) -> None:
    """Answer an option that stands in one of the sections now with its new name."""
    names = [name.replace("_", "-") for name, _ in options(config)]
    known = {*names, *(field.name.replace("_", "-") for field in dataclasses.fields(config))}
    nested = {name.rpartition(".")[2]: name for name in reversed(names) if "." in name}
    for word in arguments:
        name = word.removeprefix("--").partition("=")[0].replace("_", "-").removeprefix("no-")
        if word.startswith("--") and name not in known:
            new = RENAMED.get(name, nested.get(name))
            if new in names:
                raise Misuse(f"There is no option --{name}; it is --{new} now.")
