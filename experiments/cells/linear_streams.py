"""The linearised network read inside: streams to first order in the weights, after the same finetuning.

    x(w0) + J_x (w - w0)    x the stream at every depth, w the weights of `theory.theories.linearised`

Its replay follows a method by its own steps, as for answers (experiments.cells.replays); what it says of a
belief is what the base network's probe reads in these streams. Nothing is fitted.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.cells.data import Finetuning
from experiments.cells.replays import extra_data
from experiments.design.experiment import Experiment
from models.finetuning.method import FinetuningRun, Method
from models.inside import streams
from models.network import Network
from theory.base import Dataset, Params, Tokens
from theory.compute.devices import ShardedMap
from theory.theories.linearised import Linearised


class LinearStreams:
    """One compiled program for each way of finetuning; seeds are its rows."""

    def __init__(self, experiment: Experiment, template: Network):
        self.experiment, self.template = experiment, template
        self.replay = {
            name: ShardedMap(functools.partial(self._replay, method), shared=1)
            for name, method in experiment.methods.items()
        }

    def weights(self, network: Network, finetuning: Finetuning) -> Iterator[Params]:
        """Weights of the linearised network by method, seed and dose."""
        experiment = self.experiment
        data, seeds = finetuning.padded(experiment.n), np.arange(experiment.seeds, dtype=np.int32)
        for method in experiment.methods:
            moved = self.replay[method](network.params, data, finetuning.order, seeds)
            for seed, dose in np.ndindex(experiment.seeds, len(experiment.doses)):
                yield jax.tree.map(lambda leaf, s=seed, d=dose: jnp.asarray(leaf[s, d]), moved)

    def _replay(self, method: Method, params: Params, data: Dataset, order: Array, seed: Array) -> Params:
        extra = extra_data(self.experiment, method, data, seed)
        run = FinetuningRun(data, order, method, self.experiment.doses, extra)
        return Linearised().follow(self.template.with_params(params), run)[1]


@jax.jit
def linear_streams(network: Network, weights: Params, tokens: Tokens) -> Float[Array, "n l t d"]:
    """Streams at other weights, to first order about the network's own."""
    moved = jax.tree.map(jnp.subtract, weights, network.params)
    value, slope = jax.jvp(
        lambda params: streams(network.with_params(params), tokens), (network.params,), (moved,)
    )
    return value + slope
