"""When is finetuning Bayesian?

One run is one point: networks learn a process, are finetuned on one persona's answers to three topics, and
theories are scored on the topics that D' never asks. `finebayes sweep when-bayesian` leaves this centre along
one axis at a time: how far personas answer alike across topics, how well base networks infer, their size,
depth and output scale, D', step sizes and the way of finetuning. Every point also holds what is known before
any finetuning and might explain the scores (docs/theory.md, section 8). `finebayes sweep FOLDER --law` then
proposes which one or two of these order the scores of each theory on half of the points, seals that, and
scores it on the other half.

The question has an answer of that form where a sealed law explains most of the other half (R² of 0.9 or
more); it has none that these measures know where the interval of R² holds 0, or a rival is as good.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.checks import check_rates
from experiments.design.config import FinetuningConfig, NetworkConfig, PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import FULL, SMOKE
from experiments.storage.run_folder import RunFolder
from experiments.studies.data.methods import five_methods
from experiments.studies.data.tasks import opened_task

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment

METHODS = ("sgd", "momentum", "adam", "lora", "head-only")


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`, the centre."""

    process: ProcessOptions = process_options("persona-topics", pairs=8, style=2.0)
    network: NetworkConfig = NetworkConfig(width=24)
    pretraining: PretrainingConfig = PretrainingConfig(seeds=4, rate=0.006, steps=3000, until_learnt=0.95)
    finetuning: FinetuningConfig = FinetuningConfig(seeds=2, doses=(2, 4, 8, 16, 32, 128))
    process_seeds: int = 2
    theories: tuple[str, ...] = ("linearised", "proximal", "tempered-posterior", "exchangeable-mixture")
    """Theories to score, by name."""
    finetuned_topics: tuple[int, ...] = (0, 1, 2)
    """The topics of D', which the rarest persona answers; none: those that the process would take."""
    rate: float = 1.0
    """Factor of the step sizes of all ways of finetuning."""
    momentum: float = 0.9
    """Decay μ of momentum, which takes the step size (1 - μ) × that of SGD."""
    head_rate: float = 0.01
    """Step size of SGD on the read-out alone."""
    rank: int = 4
    """Rank of LoRA."""
    lora_rate: float = 0.001
    """Step size of Adam on the factors of LoRA."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates("", rate=self.rate, head_rate=self.head_rate, lora_rate=self.lora_rate)


SMALLER = SMOKE | {
    "network.width": 8,
    "process_seeds": 1,
    "finetuning.methods": ("sgd",),
    "theories": ("linearised", "tempered-posterior"),
}
PRESETS = {
    "smoke": with_options(Config(), SMALLER),
    "small": Config(),
    "full": with_options(Config(), FULL | {"process_seeds": 4}),
}


def axes(config: Config) -> Mapping[str, tuple[Any, ...]]:
    """The axes of the sweep, one left at a time: values by field. Those that share compiled programs follow
    each other."""
    return {
        "process.style": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
        "process.specific": (0.0, 0.3, 0.6, 1.0, 1.5, 2.0),
        "process.seed": tuple(range(0, 12, 2)),  # each with the draws after it: see process_seeds
        "process.rarity": (0.3, 0.45, 0.6, 0.7, 0.8, 1.0),
        "pretraining.rate": (0.0015, 0.003, 0.006, 0.012, 0.024),
        "pretraining.until_learnt": (0.3, 0.5, 0.7, 0.85, 0.95, 0.98),
        "rate": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
        "finetuning.n": (16, 24, 32, 48, 64, 128),
        "finetuning.batch": (1, 2, 4, 8, 16, 32),
        "finetuning.methods": (config.finetuning.methods, METHODS),
        "process.pairs": (4, 6, 8, 10, 12, 16),
        "process.personas": (2, 3, 4, 5, 8, 12),
        "network.width": (8, 12, 16, 24, 32, 48),
        "network.layers": (1, 2, 3, 4),
        "network.output_scale": (0.25, 0.5, 1.0, 1.5, 2.0, 4.0),
    }


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    methods = five_methods(config, config.rate)
    task = opened_task(process, config.repeats, topics=config.finetuned_topics or None)
    return config.experiment(process, [Arm(task)], methods, measures=True)


def draw(run: RunFolder) -> list[Path]:
    """The comparison at this point."""
    from experiments.figures.comparison import draw_comparison

    return draw_comparison(run)
