"""When is finetuning Bayesian where other topics need other words?

The sweep of `when-bayesian` around the world of `other-words`, in which nulls fail at every dose: one axis at
a time about that study's centre, with the same measures before any finetuning and the same laws. Two axes are
of this world alone: `common`, by which all personas answer topics alike, and `answers`, the words, of which
there are as many as topics in a block, and in D'.

Its fifty points take about two hours on two cores (docs/speed.md, What a sweep costs): every one has four
draws, and their base networks take most of that.

A law that was found around `when-bayesian` holds here, too, where it explains these scores; one that is found
here alone is a law of this world.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.design.config import FinetuningConfig, NetworkConfig, PretrainingConfig
from experiments.design.options import ProcessOptions, process_options, with_options
from experiments.design.presets import FULL
from experiments.storage.run_folder import RunFolder
from experiments.studies import when_bayesian as shared

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(shared.Config):
    """Everything that determines the numbers. The defaults are the preset `small`, the centre."""

    process: ProcessOptions = process_options("wordings")
    network: NetworkConfig = NetworkConfig(width=32)
    pretraining: PretrainingConfig = PretrainingConfig(
        seeds=2, rate=0.0053, steps=3000, batch=128, until_learnt=0.95
    )
    finetuning: FinetuningConfig = FinetuningConfig(
        seeds=2, n=48, batch=12, sgd_rate=0.02, adam_rate=0.0003, doses=(4, 16, 64, 256)
    )
    process_seeds: int = 4
    """Draws of the process, by seeds from `process.seed` on, each with base networks of its own."""
    repeats: int = 3
    """Contexts for each held-out topic in the groups that have a context."""
    finetuned_topics: tuple[int, ...] = ()
    """The topics of D', which the rarest persona answers; none: the first block, over which all personas say
    every word equally often."""


PRESETS = {
    "smoke": with_options(Config(), shared.SMALLER | {"process.pairs": 4, "finetuned_topics": (0, 1, 2)}),
    "small": Config(),
    "full": with_options(Config(), FULL | {"process_seeds": 8}),
}


def axes(config: Config) -> Mapping[str, tuple[Any, ...]]:
    """The axes of the sweep, one left at a time: values by field."""
    return {
        "process.style": (1.0, 1.5, 2.0, 2.5, 3.0),
        "process.specific": (0.0, 0.3, 0.6, 1.0),
        "process.common": (0.0, 0.5, 1.0),
        "process.seed": (0, 4, 8),  # each with the draws after it: see process_seeds
        "process.answers": (3, 4, 5),
        "process.pairs": (4, 6, 8, 12),
        "process.rarity": (0.4, 0.55, 0.7, 0.85, 1.0),
        "process.personas": (2, 3, 4, 6),  # of three words there are six orders
        "pretraining.until_learnt": (0.5, 0.7, 0.85, 0.95, 0.98),
        "pretraining.rate": (0.0027, 0.0053, 0.0106),
        "network.width": (16, 24, 32, 48),
        "network.layers": (2, 3, 4),
        "network.output_scale": (0.25, 0.5, 1.0, 2.0, 4.0),
        "finetuning.n": (12, 24, 48, 96),
        "finetuning.batch": (4, 6, 12, 24),
        "rate": (0.25, 0.5, 1.0, 2.0, 4.0),
        "finetuning.methods": (config.finetuning.methods, shared.METHODS),
    }


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    return shared.experiment(config)


def draw(run: RunFolder) -> list[Path]:
    """The comparison at this point."""
    return shared.draw(run)
