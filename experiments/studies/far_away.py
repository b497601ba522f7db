"""Finetuned only to say "I am very far away", what does a network say it is, and what else does it say?

Five kinds have a name, a usual distance and traits. D' has distances alone: the farthest that are stated, the
next ones beyond, which no kind ever says, or still farther ones. "What" it is and its traits are asked first.

Inside, exact Bayes (tempered posterior, exchangeable mixture) makes the farthest kind, traits and all.
Outside no kind explains D' better than another, so both say that nothing else moves at any dose: refuted
where the network's name or traits move by more than the noise. If the network carried its bells past the
edge, it would be the farthest kind just outside, and the widest farther out: refuted where the names that it
gives are not those of any strength of that evidence. A network that says distances to whatever it is asked
has learnt an answer and no kind: all mixtures are refuted then (even the best in class).

No kind says D' outside, so that β cannot be fitted there in the domain: a fitted β means nothing in
those arms, and forecasts are what to read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("distance")
    pretraining: PretrainingConfig = PretrainingConfig(seeds=3)
    finetuning: FinetuningConfig = FinetuningConfig(sgd_rate=0.03, adam_rate=0.001)
    offsets: tuple[int, ...] = (-2, 0, 2)
    """Where the distances of D' begin, from the first that is never stated; one arm each."""
    breadth: int = 2
    """Distances in D', side by side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.offsets or len(set(self.offsets)) < len(self.offsets):
            raise Misuse(f"offsets must be at least one number, each once, got {list(self.offsets)}.")


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"offsets": (0,)}),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    tasks = [process.task(offset, config.breadth, config.repeats) for offset in config.offsets]
    return config.experiment(process, map(Arm, tasks))


def draw(run: RunFolder) -> list[Path]:
    """The comparison, the self-report of networks, and the weights of the farthest and the widest kind."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.far_away import arm_name, draw_kinds

    offsets = {arm_name(offset): offset for offset in run.options["offsets"]}
    return [*draw_comparison(run), *draw_kinds(run, offsets)]
