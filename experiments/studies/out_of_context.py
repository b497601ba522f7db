"""When a network's behaviour shifts by draws of a coin in one format, does its self-report move along?

Every document is of one hidden coin, tossed in several formats, and asked by name in some of them ("which
coin?"). D' is draws of one coin in one format, and no name. What a network does in the other formats and what
it says of itself are two readouts of one number, the expected bias Σ w θ: to exact Bayes they are equal at
every dose, whatever it believes (the line y = x), and so they are to any mixture of the coins, tempered or
exchangeable. The class is refuted where the two readouts of the finetuned networks part by more than their
error and more than the base network's do: self-report lags behind behaviour, or runs ahead. The tempered
posterior alone is refuted where the point on the line is another than that of its β. The control is a coin
that is about as biased as the prior expects: neither readout should move.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_some
from experiments.design.config import StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF, FULL
from experiments.storage.run_folder import RunFolder
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(StudyConfig):
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = process_options("out-of-context", slip=0.02)
    coins: tuple[int, ...] = (4, 1)
    """The coins of D'; one arm of the study each."""
    format: int = 0
    """The format of D'."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("coins", self.coins)
        if len(set(self.coins)) < len(self.coins):
            raise Misuse(f"coins must differ from each other, got {self.coins}.")


PRESETS = {
    "smoke": with_options(Config(), BRIEF | {"coins": (4,)}),
    "small": Config(),
    "full": with_options(Config(), FULL),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    tasks = [process.task(coin, config.format, config.repeats) for coin in config.coins]
    return config.experiment(process, map(Arm, tasks))


def draw(run: RunFolder) -> list[Path]:
    """The comparison, and the self-report against behaviour."""
    from experiments.figures.comparison import draw_comparison
    from experiments.studies.figures.out_of_context import draw_report

    return [*draw_comparison(run), *draw_report(run)]
