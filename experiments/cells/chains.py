"""Chains of posteriors over weights, and what must be known before: the compiled programs.

Every chain of every posterior of every cell is a row of the same program: strength, prior precision,
metric, step and stream are its arguments. What is kept is in `KEPT`; samples are not.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.design import random_streams
from experiments.design.experiment import Experiment
from models.network import Network
from theory.base import Dataset
from theory.compute.devices import ShardedMap, batch_per_device
from theory.divergence.kl import answers_at, kl
from theory.mcmc.chains import Plan, joint, log_mean_exp, mean, nonfinite, trace
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.langevin_posterior import LangevinPosterior
from theory.weights.diagonal_metrics import fisher
from theory.weights.tuning import curvature, prior_costs

WATCHED = 24  # answers whose log-probabilities are the observables of R-hat and effective sample size
BASE_DOCUMENTS = 64

KEPT = {
    "predictions": "log of the average prediction over the samples (rows, t, a)",
    "base": "the base network's prediction (rows, t, a)",
    "watched": "log-probabilities of the first answer at some contexts, every sample (samples, o)",
    "acceptance": "mean of what a Metropolis check of the steps would have said",
    "drift": "mean ‖w - w0‖ in standard deviations of the prior",
    "base_change": "mean KL (nats) of a sample's predictions from the base network's",
    "nonfinite": "number of the first sample that is not finite, or -1",
}


class ChainPrograms:
    """`run` for chains, `prepare` for what a cell must know before: both compiled once."""

    def __init__(
        self,
        experiment: Experiment,
        template: Network,
        rows: int,
        plan: Plan,
        longest: list[float],
        posteriors: int,
    ):
        self.experiment, self.template, self.rows, self.plan = experiment, template, rows, plan
        self.together = together(template.size, posteriors)
        self.longest = longest  # the longest τ in each metric: identity, Adam's and, if asked for, Fisher's
        self.run = ShardedMap(self._chain, shared=4)
        self._metrics = ShardedMap(self._metrics_of, shared=1)
        self._costs = ShardedMap(self._costs_of, shared=2)

    def compile(self) -> None:
        """Compile the programs ahead of their first call, that of the chains for `together` rows."""
        experiment, shape, chains = self.experiment, jax.ShapeDtypeStruct, self.together
        tokens = (self.rows, experiment.process.length)
        documents = (chains, experiment.n, experiment.process.length)
        params = self.template.params
        metric = jax.tree.map(lambda leaf: shape((chains, *leaf.shape), np.float32), params)
        self.run.compile(
            shape(tokens, np.int32),
            shape(tokens, np.bool_),
            params,
            shape((2,), np.int32),
            Dataset(shape(documents, np.int32), shape(documents, np.bool_)),
            *[shape((chains,), np.float32)] * 3,
            metric,
            shape((chains, 2), np.uint32),
        )
        single = Dataset(*(shape(documents[1:], kind) for kind in (np.int32, np.bool_)))
        self._metrics.compile(params, jax.tree.map(lambda leaf: shape((1, *leaf.shape), leaf.dtype), single))
        count = len(self.longest)
        rows = jax.tree.map(lambda leaf: shape((count, *leaf.shape), np.float32), params)
        self._costs.compile(params, single, rows, shape((count,), np.float32))

    def prepare(self, params: Any, data: Dataset) -> tuple[Any, Any, Any]:
        """Stacked over metrics: Λ, the cost of the prior by its width, the curvature of D'."""
        stacked = self._metrics(params, jax.tree.map(lambda leaf: leaf[None], data))
        metrics = jax.tree.map(lambda leaf: leaf[0], stacked)
        return metrics, *self._costs(params, data, metrics, np.array(self.longest, np.float32))

    def _base_documents(self) -> Dataset:
        key = random_streams.stream(self.experiment.seed, random_streams.BASE_COST)
        tokens = self.experiment.process.distribution().sample(key, BASE_DOCUMENTS)
        return Dataset(tokens, jnp.ones(tokens.shape, bool))

    def _metrics_of(self, params: Any, data: Dataset) -> Any:
        network = self.template.with_params(params)
        key = random_streams.stream(self.experiment.seed, random_streams.METRIC)
        metrics = [jax.tree.map(jnp.ones_like, params)]
        metrics.append(AdamGibbs(batch=self.experiment.batch).metric(network, data, key))
        if len(self.longest) > len(metrics):
            metrics.append(fisher(network, self._base_documents()))
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *metrics)

    def _costs_of(self, params: Any, data: Dataset, metric: Any, longest: Any) -> Any:
        network = self.template.with_params(params)
        noise, start = (
            random_streams.stream(self.experiment.seed, number)
            for number in (random_streams.BASE_COST_NOISE, random_streams.CURVATURE)
        )
        costs = prior_costs(network, self._base_documents(), metric, noise)
        return costs, curvature(network, data, metric, longest, start)

    def _chain(
        self,
        tokens: Any,
        mask: Any,
        params: Any,
        span: Any,
        data: Dataset,
        beta: Any,
        gamma: Any,
        step: Any,
        metric: Any,
        key: Any,
    ) -> Any:
        """One chain of one posterior, from the first to the last step of `span`."""
        network = self.template.with_params(params)
        theory = LangevinPosterior(gamma, metric, step, plan=self.plan)
        posterior = theory.posterior(network, data, beta)
        part = self.experiment.process.answer_tokens
        weights = posterior.weights()
        read: Callable[[Any], Any] = lambda state: answers_at(  # noqa: E731
            network.with_params(posterior.params(state.z)), tokens, part
        )
        base = answers_at(network, tokens, part)

        def distance(state: Any) -> Any:
            scale = posterior.scale()
            return jnp.sqrt(
                sum(jnp.sum(((state.z[name] - weights[name]) / scale[name]) ** 2) for name in weights)
            )

        shown = jnp.nonzero(jnp.ravel(mask), size=WATCHED, fill_value=0)[0]
        answers = {
            "predictions": log_mean_exp(lambda answers: answers),
            "watched": trace(lambda answers: answers.reshape(-1, base.shape[-1])[shown, 0]),
            "base_change": mean(
                lambda answers: jnp.sum(jnp.where(mask, kl(base, answers), 0.0)) / jnp.sum(mask)
            ),
        }
        streams = {
            "answers": joint(read, answers),
            "acceptance": mean(lambda state: state.accept_prob),
            "drift": mean(distance),
            "nonfinite": nonfinite(),
        }
        kept = theory.chain(posterior, key, streams, span[0], span[1])
        return kept.pop("answers") | kept | {"base": base}


def together(size: int, posteriors: int) -> int:
    """The number of chains of networks of `size` weights in one call, so that few of its rows are idle."""
    most = len(jax.devices()) * (batch_per_device(size) or posteriors)
    return -(-posteriors // -(-posteriors // most))
