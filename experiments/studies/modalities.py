"""Finetuned on one concept in one alphabet, what does a network say of it in the others?

A concept is rendered as text, as a picture or as a drawing, each in an alphabet of its own. D' is the rarest
concept, as drawings in one arm and as text in the other; the networks are asked in the alphabets that D'
never uses (`held_out`, `as_text` ...), also after a block of the concept in the alphabet of D' (`in_context`)
and after another concept in the asked one (`conflict`). What pretraining has seen decides:

    finebayes run modalities                            together: documents render their concept in several
                                                        alphabets. Exact Bayes carries it over, all the way
    finebayes run modalities --process.no-together      apart: no document has two. Exact Bayes carries over
                                                        nothing, at any β; the same pretraining data is as
                                                        likely if "a cat" drawn and written are two things

Apart, the theories of hypotheses are refuted by any held-out shift towards the concept beyond its noise:
then the network shares what no evidence asked it to share. Together, they are refuted where in-domain answers
have moved and held-out ones have not. The figure measures the part carried over, 0 for the base network's
answers and 1 for the concept's own.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_some
from experiments.design.config import FinetuningConfig, PretrainingConfig, StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("modalities")
    pretraining: PretrainingConfig = PretrainingConfig(seeds=3)
    finetuning: FinetuningConfig = FinetuningConfig(sgd_rate=0.016)
    concept: int = 3
    """The concept of D'."""
    finetuned_modalities: tuple[str, ...] = ("drawing", "text")
    """The alphabet of D'; one arm of the study each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("finetuned_modalities", self.finetuned_modalities)


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"finetuned_modalities": ("drawing",)}),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    tasks = [process.task(config.concept, name, config.repeats) for name in config.finetuned_modalities]
    return config.experiment(process, map(Arm, tasks))


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the part of the concept that is carried over to other alphabets."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.modalities import draw_carried_over

    return [*draw_comparison(run), *draw_carried_over(run)]
