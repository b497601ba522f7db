"""How far does Adam's metric make a posterior over weights right for Adam: which moments, what temperature?

The networks of weird-generalisation are finetuned by Adam. A step of Adam divides by √v̂, so posteriors
localised in the metric Λ = √v̂ are compared with isotropic ones: sampled at several temperatures with moments
at the base weights, and in the limit of zero temperature with those after 0, 1, 4 ... steps of Adam. If the
metric is all that is wrong with the isotropic posterior, moments taken at a dose explain the shift there with
τ = η × steps, nothing fitted. If they do so at small doses alone, Adam is no descent in any one metric.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.design.config import SMOKE
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, with Adam's metric taken at several times."""

    methods: tuple[str, ...] = ("adam",)
    """Ways of finetuning; Adam must be among them."""
    temperatures: tuple[float, ...] = (0.0001,)
    """Temperatures of the isotropic posteriors: mean KL (nats) of the localised prior from the base."""
    adam_temperatures: tuple[float, ...] = (0.00001, 0.0001, 0.001)
    """Temperatures of the posteriors in Adam's metric."""
    moments: tuple[int, ...] = (0, 1, 4, 16, 64, 128)
    """Steps of Adam after which its second moments are taken, for the limits of zero temperature."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "adam" not in self.methods:
            raise Misuse(f"methods must have adam among them, got {', '.join(self.methods)}.")
        if not self.temperatures or not self.moments:
            raise Misuse("temperatures and moments need at least one entry each, got none.")


PRESETS = {
    "smoke": Config(
        **SMOKE
        | {
            "temperatures": (0.001,),
            "warmup": 10,
            "samples": 12,
            "rounds": 1,
            "sampled_bases": 1,
            "batch": 4,
        },
        finetuned_topics=("0",),
        adam_temperatures=(0.001,),
        moments=(0, 8),
    ),
    "small": Config(),
    "full": Config(base_seeds=6, seeds=10, chains=4, samples=200, sampled_seeds=2, repeats=16),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    told = shared.comparison(config)
    sampling = replace(
        told.sampling, adam_temperatures=config.adam_temperatures, moments=tuple(config.moments)
    )
    return replace(told, sampling=sampling)


def draw(run: RunFolder) -> list[Path]:
    """The figures of weird-generalisation."""
    return shared.draw(run)
