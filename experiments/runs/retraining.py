"""Networks pretrained from scratch on D and a share of D', kept and found like base networks.

They are base networks of another process: one with documents of D' among its samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cells.data import FinetuningData
from experiments.design.experiment import Arm, Experiment
from experiments.design.retraining import Retraining
from experiments.runs.base_networks import BaseNetworks
from experiments.runs.pretraining import template
from experiments.runs.progress import Progress
from theory.base import Params
from theory.latent.blend import Blend


@dataclass(frozen=True)
class BlendedProcess:
    """A process with a share of the `documents` of a D' among its samples, for pretraining alone."""

    process: Any
    share: float
    documents: tuple[tuple[int, ...], ...]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "process":  # before there are fields, as in copies
            raise AttributeError(name)
        return getattr(self.process, name)

    def distribution(self) -> Blend:
        """The process, with documents of D' among its samples."""
        documents = jnp.asarray(np.array(self.documents, np.int32))
        return Blend.of(self.process.distribution(), documents, self.share)


def retrained_experiments(experiment: Experiment, arm: Arm) -> Iterator[Experiment]:
    """For every share the experiment whose base networks are the retrained ones."""
    untrained = template(experiment.process, experiment.shape)
    data = FinetuningData(experiment).finetuning(arm, untrained).data
    documents = tuple(tuple(document) for document in np.asarray(data.tokens)[0].tolist())
    for share in experiment.retraining.shares:
        process: Any = BlendedProcess(experiment.process, share, documents)
        yield replace(
            experiment,
            process=process,
            base_seeds=min(experiment.retraining.bases, experiment.base_seeds),
            retraining=Retraining(),
        )


def pretrain_again(experiment: Experiment, arm: Arm, networks: BaseNetworks, progress: Progress) -> None:
    """Train the networks of every share that are not there yet."""
    for made in retrained_experiments(experiment, arm):
        process: Any = made.process
        progress.say(f"pretraining from scratch on D and {process.share:g} of D′ ({arm.name})")
        networks.pretrained(made, progress)


def retrained_weights(experiment: Experiment, arm: Arm, networks: BaseNetworks, row: int) -> Params:
    """Weights of the networks of every share (r, ...), those of base network `row`."""
    stacks = [networks.load(made).params for made in retrained_experiments(experiment, arm)]
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf)[row] for leaf in leaves]), *stacks)
