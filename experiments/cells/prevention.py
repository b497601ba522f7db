"""Networks that are finetuned under steering, which is removed when they are asked (preventative steering).

    log-odds of k after D' = log-odds before + β × evidence(D')

and nats of steering are in both terms outside of the evidence: exact Bayes learns as much of D' whatever the
prior is at which steering puts it. A learner that goes to where its answers fit D' learns less by what is
there already.
"""

import functools

import jax
import numpy as np
from jaxtyping import Array

from experiments.cells.data import Finetuning
from experiments.cells.replays import extra_data
from experiments.design.experiment import Experiment
from models.editing.directed import Directed
from models.finetuning.method import Method, finetune
from models.network import Network
from theory.base import Dataset, Params
from theory.compute.devices import ShardedMap


class PreventionPrograms:
    """One compiled program for each way of finetuning; seeds and steerings are its rows."""

    def __init__(self, experiment: Experiment, template: Network):
        self.experiment, self.template = experiment, template
        self.finetune = {
            name: ShardedMap(functools.partial(self._finetune, method), shared=1)
            for name, method in experiment.methods.items()
        }

    def networks(
        self, method: str, network: Network, finetuning: Finetuning, directions: np.ndarray
    ) -> Params:
        """Weights (s, y, d, ...) after every dose, steered along directions (y, l, v, d) all the while."""
        seeds, ways = self.experiment.seeds, len(directions)
        data, order = finetuning.padded(self.experiment.n), finetuning.order
        rows = np.repeat(np.arange(seeds), ways)
        params = self.finetune[method](
            network.params,
            jax.tree.map(lambda leaf: leaf[rows], data),
            order[rows],
            rows.astype(np.int32),
            np.tile(directions, (seeds, 1, 1, 1)),
        )
        return jax.tree.map(lambda leaf: leaf.reshape(seeds, ways, *leaf.shape[1:]), params)

    def _finetune(
        self, method: Method, params: Params, data: Dataset, order: Array, seed: Array, directions: Array
    ) -> Params:
        network = Directed(self.template.with_params(params), directions)
        extra = extra_data(self.experiment, method, data, seed)
        return finetune(network, data, order, method, self.experiment.doses, extra)[0]
