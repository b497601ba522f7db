"""Does a network finetuned on one coin become that coin?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.design.config import StudyConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import BRIEF
from experiments.discovery import Catalogue

CATALOGUE = Catalogue((str(Path(__file__).with_name("my_process.py")),))


@dataclass(frozen=True)
class Config(StudyConfig):
    """Coins."""

    process: ProcessOptions = process_options("my-process", CATALOGUE)
    coin: int = 2
    """The coin of D'."""


PRESETS = {"smoke": with_options(Config(), BRIEF), "small": Config()}


def experiment(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    from experiments.design.experiment import Arm

    process = config.process.build()
    return config.experiment(process, [Arm(process.task(config.coin, config.repeats))])


def draw(run: Any) -> list[Path]:
    """The comparison."""
    from experiments.figures.comparison import draw_comparison

    return draw_comparison(run)
