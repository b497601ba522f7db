"""The posterior in Adam's metric at zero temperature, by when Adam's second moments are taken.

    w_τ = argmin_w  τ L(w) + ½ (w - w0)ᵀ Λ_k (w - w0),      Λ_k = √v̂ + floor after k steps of Adam on D'

k = 0 are the moments at w0, before anything has moved (as `adam-gibbs` takes them). Along Adam's path
gradients fall as D' is learned, and v̂, their running mean, with them. A forecast takes τ = η × steps
whatever k is. The path is of batches of its own: a theory knows D', batch size and rate, not the order.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells.data import Questions
from experiments.design import random_streams
from experiments.design.experiment import Experiment
from experiments.storage.records import Ladder
from models.finetuning.adam import Adam
from models.network import Network
from theory.base import Dataset, Params
from theory.compute.descent import epochs
from theory.compute.devices import ShardedMap
from theory.contracts import name_of
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.proximal import UNCONVERGED, Proximal
from theory.weights.diagonal_metrics import adam

ITERATIONS = 300


class ColdLimits:
    """The ladders of every k of `sampling.moments`, cell by cell: one compiled program."""

    def __init__(self, experiment: Experiment, template: Network):
        assert experiment.sampling is not None
        self.experiment, self.template, self.sampling = experiment, template, experiment.sampling
        rates = [method.learning_rate for method in experiment.methods.values() if isinstance(method, Adam)]
        if len(rates) != 1:
            raise Misuse(f"moments need Adam among the methods, got {', '.join(experiment.methods)}.")
        self.rate = rates[0]
        top = int(np.ceil(np.log2(self.rate * experiment.steps))) + 1
        self.times = np.concatenate([[0.0], 2.0 ** np.arange(-12.0, max(top, -9) + 1)]).astype(np.float32)
        self.solve = ShardedMap(self._solve, shared=2)

    def run(
        self,
        network: Network,
        data: Dataset,
        tokens: np.ndarray,
        questions: Questions,
        path: tuple[int, ...],
    ) -> list[Ladder]:
        """For the first `sampling.seeds` D'; what did not converge is nan."""
        count = self.sampling.seeds
        of_order, of_metric = (
            [random_streams.stream(self.experiment.seed, number, *path, seed) for seed in range(count)]
            for number in (random_streams.MOMENTS_ORDER, random_streams.MOMENTS)
        )
        steps = max([1, *self.sampling.moments])
        orders = np.stack([epochs(k, self.experiment.n, self.experiment.batch, steps) for k in of_order])
        keys = np.stack([jax.random.key_data(k) for k in of_metric])
        first = jax.tree.map(lambda leaf: leaf[:count], data)
        rungs, residuals = self.solve(tokens, network.params, first, orders, keys)
        rungs = np.where((residuals > UNCONVERGED)[..., None, None, None], np.nan, rungs)
        betas = self.times / float(np.asarray(data.mask).sum(axis=(1, 2)).mean())
        return [
            Ladder(
                name_of(AdamGibbs),
                f"v of {steps} steps, T=0",
                betas,
                questions.at(rungs[:, index]),
                times=self.times,
                metric="adam",
                extra={"residual": residuals[:, index].astype(np.float32)},
            )
            for index, steps in enumerate(self.sampling.moments)
        ]

    def _solve(
        self, tokens: Array, params: Params, data: Dataset, order: Array, key: Array
    ) -> tuple[Array, Array]:
        """Answers (k, b, n, t, a) and what was left of the gradient (k, b), for one D'."""
        network = self.template.with_params(params)
        metrics = [
            adam(network, data, order[:steps], self.rate)
            if steps
            else AdamGibbs(batch=self.experiment.batch).metric(network, data, jax.random.wrap_key_data(key))
            for steps in self.sampling.moments
        ]
        betas, part = self.times / jnp.sum(data.mask), self.experiment.process.answer_tokens

        def ladder(metric: Params) -> tuple[Array, Array]:
            weights, left = Proximal(metric=metric, iterations=ITERATIONS).solve(network, data, betas)
            networks = network.with_params(weights)
            return jax.lax.map(lambda solved: answers_at(solved, tokens, part), networks), left

        return jax.lax.map(ladder, jax.tree.map(lambda *leaves: jnp.stack(leaves), *metrics))
