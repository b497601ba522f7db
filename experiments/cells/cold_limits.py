"""The posterior in Adam's metric at zero temperature, by when Adam's second moments are taken.

    w_τ = argmin_w  τ L(w) + ½ (w - w0)ᵀ Λ_k (w - w0),      Λ_k = √v̂ + floor after k steps of Adam on D'

k = 0 are the moments at w0, before anything has moved (as `adam-gibbs` takes them). Along Adam's path
gradients fall as D' is learned, and v̂, their running mean, with them. A forecast takes τ = η × steps
whatever k is. The path is of batches of its own: a theory knows D', batch size and rate, not the order.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.design import random_streams
from experiments.design.experiment import Comparison
from experiments.storage.run_folder import Arrays
from models.finetuning.adam import Adam
from models.network import Network
from theory.base import Dataset
from theory.compute.descent import epochs
from theory.compute.devices import ShardedMap
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.proximal import Proximal
from theory.weights.diagonal_metrics import adam

UNCONVERGED = 0.05  # of the gradient at w0: a rung with more is left out
ITERATIONS = 300


class ColdLimits:
    """The ladders of every k of `sampling.moments`, cell by cell: one compiled program."""

    def __init__(self, comparison: Comparison, template: Network):
        self.comparison, self.template = comparison, template
        self.moments: tuple[int, ...] = comparison.sampling.moments
        rates = [method.learning_rate for method in comparison.methods.values() if isinstance(method, Adam)]
        if len(rates) != 1:
            raise Misuse(f"moments need Adam among the methods, got {', '.join(comparison.methods)}.")
        self.rate = rates[0]
        top = int(np.ceil(np.log2(self.rate * comparison.steps))) + 1
        self.times = np.concatenate([[0.0], 2.0 ** np.arange(-12.0, max(top, -9) + 1)]).astype(np.float32)
        self.solve = ShardedMap(self._solve, shared=2)

    def run(self, network: Network, data: Dataset, tokens: np.ndarray, where: Any) -> Arrays:
        """For the first `sampling.seeds` D'; what did not converge is nan."""
        count, key = self.comparison.sampling.seeds, jax.random.key(self.comparison.seed)
        own = [
            jax.random.fold_in(jax.random.fold_in(key, random_streams.MOMENTS), seed) for seed in range(count)
        ]
        steps = max([1, *self.moments])
        orders = np.stack([epochs(one, self.comparison.n, self.comparison.batch, steps) for one in own])
        keys = np.stack([jax.random.key_data(one) for one in own])
        some = jax.tree.map(lambda leaf: leaf[:count], data)
        rungs, residuals = self.solve(tokens, network.params, some, orders, keys)
        rungs = np.where((residuals > UNCONVERGED)[..., None, None, None], np.nan, rungs)
        betas = self.times / float(np.asarray(data.mask).sum(axis=(1, 2)).mean())
        arrays: Arrays = {}
        for index, steps in enumerate(self.moments):
            name = f"adam-gibbs/v of {steps} steps, T=0"
            arrays |= {
                f"ladder/{name}": rungs[:, index][..., where[0], where[1], :].astype(np.float32),
                f"betas/{name}": betas,
                f"times/{name}": self.times,
                f"clock/{name}": np.array("adam"),
                f"residual/{name}": residuals[:, index].astype(np.float32),
            }
        return arrays

    def _solve(self, tokens: Any, params: Any, data: Dataset, order: Any, key: Any) -> Any:
        """Answers (k, b, n, t, a) and what was left of the gradient (k, b), for one D'."""
        network = self.template.with_params(params)
        metrics = [
            adam(network, data, order[:steps], self.rate)
            if steps
            else AdamGibbs(batch=self.comparison.batch).metric(network, data, jax.random.wrap_key_data(key))
            for steps in self.moments
        ]
        betas, part = self.times / jnp.sum(data.mask), self.comparison.process.answer_tokens

        def ladder(metric: Any) -> Any:
            weights, left = Proximal(metric=metric, iterations=ITERATIONS).solve(network, data, betas)
            answers = jax.lax.map(lambda told: answers_at(told, tokens, part), network.with_params(weights))
            return answers, left

        return jax.lax.map(ladder, jax.tree.map(lambda *leaves: jnp.stack(leaves), *metrics))
