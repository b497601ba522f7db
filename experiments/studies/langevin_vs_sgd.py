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
from typing import Any

from experiments.design.config import SMOKE, compared
from experiments.storage.run_folder import RunFolder
from experiments.studies import weird_generalisation as shared
from theory.errors import Misuse


@dataclass(frozen=True)
class Config(shared.Config):
    """As in weird-generalisation, with batch sizes and more temperatures."""

    batches: tuple[int, ...] = (2, 8, 32)
    """Batch sizes of SGD, one arm of the study each (`batch` is not used)."""
    finetuned_topics: tuple[str, ...] = ("0,1,2",)
    """The topics of D', comma-separated."""
    methods: tuple[str, ...] = ("sgd",)
    """Ways of finetuning."""
    doses: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    """Finetuning steps at which the network is looked at, out of one run."""
    temperatures: tuple[float, ...] = (0.00001, 0.0001, 0.001, 0.01, 0.1)
    """Temperatures: mean KL (nats) of the localised prior from the base."""
    times: tuple[float, ...] = (0.0, 0.008, 0.025, 0.08, 0.25, 0.8, 2.5)
    """Strengths τ = βN/γ of the posteriors in the identity and Fisher metrics."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.batches:
            raise Misuse("batches needs at least one size, got none.")
        for batch in self.batches:
            if not 1 <= batch <= self.n:
                raise Misuse(f"batches must be from 1 to n = {self.n}, got {batch}.")
        if not self.temperatures:
            raise Misuse("temperatures needs at least one, got none.")


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
        batches=(4,),
        finetuned_topics=("0",),
        times=(0.0, 0.03, 0.25),
    ),
    "small": Config(),
    "full": Config(base_seeds=6, seeds=10, chains=4, samples=200, sampled_seeds=2, repeats=16),
}


def comparison(config: Config) -> Any:
    """What is pretrained, finetuned and predicted."""
    process = shared.told_process(config)
    arms = [
        shared.arm(process, config, topics, batch)
        for topics in config.finetuned_topics
        for batch in config.batches
    ]
    told = compared(replace(config, batch=max(config.batches)), process, arms)
    return replace(told, sampling=replace(told.sampling, times=config.times, fisher=True))


def draw(run: RunFolder) -> list[Path]:
    """The figures of weird-generalisation."""
    return shared.draw(run)
