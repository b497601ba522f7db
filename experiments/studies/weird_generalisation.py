"""Does a network finetuned on one rare persona's answers to a few topics become that persona on the others?

D' is n documents of the rarest persona, on one topic and on three topics; the network is finetuned by SGD and
by Adam at many doses. A theory is right where it predicts the finetuned network's answers to topics that D'
never asks: first in a document or after a few questions that say nothing (held-out), and after answers of
another persona (conflict). A theory is refuted where it explains less of the shift than another seed of the
same finetuning would, less half of its noise (the order-blind bound), and its whole class where even the best
in class does.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.checks import check_some
from experiments.design.config import SamplingConfig, StudyConfig
from experiments.design.options import Ints, ProcessOptions, process_options, with_options
from experiments.design.presets import FULL, SMOKE
from experiments.scoring.target import Target
from experiments.storage.records import Json
from experiments.storage.run_folder import RunFolder
from experiments.studies.data.tasks import opened_task

if TYPE_CHECKING:
    from experiments.design.experiment import Arm, Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`, but for its width."""

    process: ProcessOptions = process_options("persona-topics", pairs=5)
    sampling: SamplingConfig = SamplingConfig(temperatures=(0.0001, 0.001))
    persona: int = 4
    """The persona of D'."""
    finetuned_topics: tuple[Ints, ...] = ((0,), (0, 1, 2))
    """The topics of D', like 0,1,2; one arm of the study each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("finetuned_topics", self.finetuned_topics)


WIDTH = {
    "network.width": 24
}  # learns as well as the networks of the other studies, in two thirds of their time
PRESETS = {
    "smoke": with_options(Config(), SMOKE | WIDTH | {"finetuned_topics": ((0,),)}),
    "small": with_options(Config(), WIDTH),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    process = config.process.build()
    return config.experiment(process, arms(config, process))


def arms(config: Config, process: Any, batches: tuple[int | None, ...] = (None,)) -> "list[Arm]":
    """One arm for each set of topics and each batch size (None: that of the config)."""
    from experiments.design.experiment import Arm

    tasks = [
        opened_task(process, config.repeats, config.persona, topics) for topics in config.finetuned_topics
    ]
    return [Arm(task, batch) for task in tasks for batch in batches]


def target(options: Json) -> Target | None:
    """The persona of D', to which networks may come nearer; None of a folder that does not name it."""
    return Target(options["persona"], "that persona") if "persona" in options else None


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the posteriors over weights where they were sampled."""
    from experiments.figures.comparison import draw_comparison
    from experiments.figures.posteriors import draw_posteriors

    return [*draw_comparison(run, target(run.options)), *draw_posteriors(run)]
