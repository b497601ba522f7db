"""Parts that the programs of several plans of the inside share."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from experiments.design.experiment import Experiment
from models.network import Network, build, first

SEED = 1000  # of the untrained network


def untrained_network(experiment: Experiment) -> Network:
    """A network that was never trained, a baseline of probes."""
    process = experiment.process
    return first(build(experiment.shape, process.vocabulary, process.length, [SEED]))


def stacked(experiment: Experiment, measured: Sequence[Any]) -> dict[str, np.ndarray]:
    """Arrays (m, s, d, ...) by name, of dataclasses of arrays, one for each network of
    `FinetunedPrograms.pairs`."""
    shape = len(experiment.methods), experiment.seeds, len(experiment.doses)

    def stack(name: str) -> np.ndarray:
        every = np.array([getattr(part, name) for part in measured], np.float32)
        return every.reshape(*shape, *every.shape[1:])

    return {entry.name: stack(entry.name) for entry in fields(measured[0])}
