"""Parts that the programs of several plans of the inside share."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar, cast

import numpy as np

from experiments.cells.answers import AnswerPrograms
from experiments.cells.data import FinetuningData
from experiments.cells.finetuned import FinetunedPrograms
from experiments.design.experiment import Arm, Experiment
from experiments.design.inside_plan import Plan
from experiments.storage.contents import CellContent
from models.network import Network, build, first
from theory.contracts import Process
from theory.latent.mixture import Mixture

SEED = 1000  # of the untrained network
PlanT = TypeVar("PlanT", bound=Plan)
ProcessT = TypeVar("ProcessT", bound=Process)


@dataclass(frozen=True, eq=False)
class PlanPrograms(Generic[PlanT, ProcessT]):
    """Programs that measure the inside of networks by a plan. Networks are finetuned and asked by those of
    other cells, which they are made of."""

    experiment: Experiment
    template: Network
    answers: AnswerPrograms
    finetuned: FinetunedPrograms
    data: FinetuningData

    def run(self, arm: Arm, network: Network, number: int) -> tuple[CellContent, str]:
        """The content of the cell of a base network, and why it failed ("" if it did not)."""
        raise NotImplementedError

    @property
    def plan(self) -> PlanT:
        """The plan of the experiment."""
        return cast(PlanT, self.experiment.inside)

    @property
    def process(self) -> ProcessT:
        """The process of the experiment."""
        return cast(ProcessT, self.experiment.process)

    @functools.cached_property
    def mixture(self) -> Mixture:
        """The distribution of its documents."""
        return self.process.distribution()

    @property
    def layers(self) -> int:
        """Blocks of a network."""
        return self.experiment.shape.layers

    @property
    def depths(self) -> np.ndarray:
        """Depths after every block."""
        return np.arange(1, 1 + self.layers)

    @property
    def edited(self) -> np.ndarray:
        """The depths that are steered at: after the first block, and after the last."""
        return np.unique([1, self.layers])


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
