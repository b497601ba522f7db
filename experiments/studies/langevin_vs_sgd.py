"""Where is plain gradient descent a Langevin posterior over weights, and where is it not?

The networks of weird-generalisation are finetuned by SGD with batches of several sizes, from barely to long
past what D' can teach, and posteriors localised at the base weights are sampled at temperatures from low to
high, in the identity metric, in the Fisher metric of pretraining and in Adam's. All are compared at matched
in-domain performance (fitted) and at matched learning-rate time τ = η × steps (forecast). If SGD sampled a
posterior, some temperature would explain its shift at every dose, and the same one at every batch size; if it
is a noisy path to a point, the lowest explains most, and the remainder is noise of the order of D' (the noise
ceiling), which grows as batches shrink.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.design.checks import check_some
from experiments.design.config import FinetuningConfig, SamplingConfig
from experiments.design.options import Ints, with_options
from experiments.design.presets import MANY_CHAINS, SHORT_CHAINS, SMOKE
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Experiment


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, with batch sizes and more temperatures."""

    finetuning: FinetuningConfig = FinetuningConfig(
        methods=("sgd",), doses=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    )
    sampling: SamplingConfig = SamplingConfig(temperatures=(0.00001, 0.0001, 0.001, 0.01, 0.1))
    batches: tuple[int, ...] = (2, 8, 32)
    """Batch sizes of SGD; one arm of the study each (`finetuning.batch` is not used)."""
    finetuned_topics: tuple[Ints, ...] = ((0, 1, 2),)
    """The topics of D', like 0,1,2."""
    times: tuple[float, ...] = (0.0, 0.008, 0.025, 0.08, 0.25, 0.8, 2.5)
    """Strengths τ = βN/γ of the posteriors in the identity and Fisher metrics."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_some("batches", self.batches)
        for batch in self.batches:
            if not 1 <= batch <= self.finetuning.n:
                raise Misuse(f"batches must be from 1 to finetuning.n = {self.finetuning.n}, got {batch}.")
        check_some("sampling.temperatures", self.sampling.temperatures)
        check_some("times", self.times)


PRESETS = {
    "smoke": with_options(
        Config(),
        SMOKE | SHORT_CHAINS | {"batches": (4,), "finetuned_topics": ((0,),), "times": (0.0, 0.03, 0.25)},
    ),
    "small": Config(),
    "full": with_options(Config(), MANY_CHAINS),
}


def experiment(config: Config) -> "Experiment":
    """The experiment of a config: what is pretrained, finetuned and predicted."""
    process = config.process.build()
    largest = with_options(config, {"finetuning.batch": max(config.batches)})
    made = largest.experiment(process, shared.arms(config, process, config.batches))
    assert made.sampling is not None  # temperatures are given
    return replace(made, sampling=replace(made.sampling, times=config.times, fisher=True))


def draw(run: RunFolder) -> list[Path]:
    """The figures of weird-generalisation."""
    return shared.draw(run)
