"""How far does Adam's metric make a posterior over weights right for Adam: which moments, what temperature?

The networks of weird-generalisation are finetuned by Adam. A step of Adam divides by √v̂, so posteriors
localised in the metric Λ = √v̂ are compared with isotropic ones: sampled at several temperatures with moments
at the base weights, and in the limit of zero temperature with those after 0, 1, 4 ... steps of Adam. If the
metric is all that is wrong with the isotropic posterior, moments taken at a dose explain the shift there with
τ = η × steps, nothing fitted. If they do so at small doses alone, Adam is no descent in any one metric.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_some
from experiments.design.config import FinetuningConfig, SamplingConfig
from experiments.design.options import with_options
from experiments.design.presets import MANY_CHAINS, SHORT_CHAINS, SMOKE
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, with Adam's metric taken at several times."""

    finetuning: FinetuningConfig = FinetuningConfig(methods=("adam",))
    """The finetuned networks; Adam must be among the methods."""
    sampling: SamplingConfig = SamplingConfig(temperatures=(0.0001,))
    adam_temperatures: tuple[float, ...] = (0.00001, 0.0001, 0.001)
    """Temperatures of the posteriors in Adam's metric."""
    moments: tuple[int, ...] = (0, 1, 4, 16, 64, 128)
    """Steps of Adam after which its second moments are taken, for the limits of zero temperature."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "adam" not in self.finetuning.methods:
            given = ", ".join(self.finetuning.methods)
            raise Misuse(f"finetuning.methods must have adam among them, got {given}.")
        check_some("sampling.temperatures", self.sampling.temperatures)
        check_some("moments", self.moments)


PRESETS = {
    "smoke": with_options(
        Config(),
        SMOKE
        | SHORT_CHAINS
        | {"finetuned_topics": ((0,),), "adam_temperatures": (0.001,), "moments": (0, 8)},
    ),
    "small": Config(),
    "full": with_options(Config(), MANY_CHAINS),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    process = config.process.build()
    made = config.experiment(process, shared.arms(config, process))
    assert made.sampling is not None  # temperatures are given
    sampling = replace(
        made.sampling, adam_temperatures=config.adam_temperatures, moments=tuple(config.moments)
    )
    return replace(made, sampling=sampling)


def draw(run: RunFolder) -> list[Path]:
    """The figures of weird-generalisation."""
    return shared.draw(run)
