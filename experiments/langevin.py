"""The Langevin side of a comparison: posteriors over weights, sampled over a ladder of strengths, and judged.

A cell `langevin-ARM-BASE` holds, for the first finetuning seeds of an arm, the answers of
`langevin-posterior` at every temperature and of `adam-gibbs` at the coldest, and the health of every
posterior. A temperature T is told by what it costs: the base loss rises by T nats when weights are drawn from
the localised prior alone (theory.pilot); strengths are told by τ = βN/γ. Half of the chains of a posterior
take half the step: their difference is part of the R-hat, and of the gate. Step sizes come from the curvature
of D' at the base weights.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.comparison import Comparison
from experiments.results import Arrays
from models.network import Network
from theory.base import Dataset
from theory.chains import Plan, log_mean_exp, mean, nonfinite, trace
from theory.diagnostics import Thresholds, diagnose
from theory.errors import Misuse
from theory.localisation import fisher
from theory.metrics import answers_at, kl
from theory.parallel import SideBySide
from theory.pilot import base_loss_rises, curvature, stable_step, stiffness_for
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.langevin_posterior import LangevinPosterior

CHAIN_STREAM, METRIC_STREAM, BASE_STREAM = 15, 16, 17
WATCHED = 24  # answers whose log-probabilities are the observables of R-hat and effective sample size
BASE_DOCUMENTS = 64


PLAN = Plan(40, 50, 2)
# Only the predictive average is scored: its error is a fifth of the posterior's spread, a few T nats.
THRESHOLDS = Thresholds(rhat=1.1, bulk_ess=25, tail_ess=20)


@dataclass(frozen=True)
class Sampling:
    """How posteriors are sampled: `times` are strengths τ in the identity metric, `adam_times` in Adam's;
    with `fisher` also in the Fisher metric of pretraining documents, scaled to the same curvature."""

    temperatures: tuple[float, ...] = (1e-4, 1e-3)
    times: tuple[float, ...] = (0.0, 0.008, 0.02, 0.05, 0.13, 0.35, 1.0)
    adam_times: tuple[float, ...] = (0.0, 0.0003, 0.0006, 0.0009, 0.0015, 0.0024, 0.0036)
    fisher: bool = False
    plan: Plan = PLAN
    chains: int = 2
    bases: int = 3
    seeds: int = 1
    thresholds: Thresholds = THRESHOLDS

    def __post_init__(self) -> None:
        if self.chains < 2 or self.chains % 2:
            raise Misuse(f"chains must be 2 or more and even (half take half the step), got {self.chains}.")
        if self.bases < 1 or self.seeds < 1:
            raise Misuse(f"Sampled bases and seeds must be at least 1, got {self.bases} and {self.seeds}.")
        for rise in self.temperatures:
            if not 0 < rise < float("inf"):
                raise Misuse(f"temperatures must be above 0 and finite (nats), got {rise}.")


class Set(NamedTuple):
    """A ladder of posteriors: whose, told as what, in which metric (0 identity, 1 Adam's, 2 Fisher's)."""

    theory: str
    prior: str
    metric: int
    rise: float
    times: tuple[float, ...]


class Posteriors:
    """The compiled programs; every posterior of every cell is a row of the same one."""

    def __init__(self, comparison: Comparison, template: Network, rows: int):
        self.comparison, self.template, self.rows = comparison, template, rows
        self.sampling: Sampling = comparison.sampling
        self.chains = SideBySide(self._chain, shared=4)
        self.prepare = jax.jit(self._prepare)
        told = self.sampling
        cold = min(told.temperatures)
        self.sets = [
            Set("langevin-posterior", f"T={rise:g}", 0, rise, told.times) for rise in told.temperatures
        ]
        self.sets += [Set("adam-gibbs", f"T={cold:g}", 1, cold, told.adam_times)]
        if told.fisher:
            self.sets += [Set("langevin-posterior", f"Fisher, T={cold:g}", 2, cold, told.times)]

    @property
    def posteriors(self) -> int:
        """Posteriors of one D'."""
        return sum(len(each.times) for each in self.sets)

    def compile(self) -> None:
        """Compile the large program ahead of its first call."""
        comparison, shape = self.comparison, jax.ShapeDtypeStruct
        count = self.posteriors * self.sampling.chains
        tokens = (self.rows, comparison.process.length)
        documents = (count, comparison.n, comparison.process.length)
        params = self.template.params
        metric = jax.tree.map(lambda leaf: shape((count, *leaf.shape), np.float32), params)
        number = shape((count,), np.float32)
        self.chains.compile(
            shape(tokens, np.int32),
            shape(tokens, np.bool_),
            params,
            shape((), np.int32),
            Dataset(shape(documents, np.int32), shape(documents, np.bool_)),
            *[number] * 3,
            metric,
            shape((count, 2), np.uint32),
        )

    def run(self, network: Network, data: Dataset, tokens: np.ndarray, where: Any) -> Arrays:
        """Ladders and health of every set, for the first `sampling.seeds` D' (s posteriors side by side)."""
        mask = np.zeros(tokens.shape, bool)
        mask[where] = True
        base: np.ndarray | None = None
        seeds = []
        for seed in range(self.sampling.seeds):
            gammas, metrics, steps = self._localise(network, _row(data, seed))
            rows = self._inputs(_row(data, seed), gammas, metrics, steps, seed)
            out = self.chains(tokens, mask, network.params, np.int32(self.sampling.plan.steps), *rows)
            base = out["base"][0][where]
            seeds.append((gammas, steps, out))
        assert base is not None
        return self._told(seeds, base, where, data)

    @np.errstate(invalid="ignore")  # a lost chain is nan, which the gate finds
    def _told(self, seeds: list[Any], base: np.ndarray, where: Any, data: Dataset) -> Arrays:
        counted = self._counted(data)
        arrays: Arrays = {}
        place = 0
        for index, (theory, prior, _, rise, times) in enumerate(self.sets):
            ladders, gammas, taken, health, problems = [], [], [], [], []
            for gamma, steps, out in seeds:
                chosen = slice(place, place + len(times))
                one = {name: _by_posterior(leaf, self.posteriors)[chosen] for name, leaf in out.items()}
                told = one["told"][:, :, where[0], where[1]]  # (b, chains, c, a)
                average = np.logaddexp.reduce(told, axis=1) - np.log(told.shape[1])
                ladders.append(average)
                gammas.append(gamma[index])
                taken.append(steps[index])
                judged = [
                    self._health(one, rung, told[rung], average[rung], base, rise)
                    for rung in range(len(times))
                ]
                health.append([values for values, _ in judged])
                problems.append([said for _, said in judged])
            name = f"{theory}/{prior}"
            arrays[f"ladder/{name}"] = np.stack(ladders).astype(np.float32)
            arrays[f"gamma/{name}"] = np.array(gammas)
            arrays[f"betas/{name}"] = np.asarray(times) * np.mean(gammas) / counted
            arrays[f"times/{name}"] = np.asarray(times)
            arrays[f"steps/{name}"] = np.array(taken)
            arrays[f"health/{name}"] = np.array(health, np.float32)
            arrays[f"problems/{name}"] = np.array(problems, dtype=np.str_)
            place += len(times)
        return arrays

    def _health(
        self, one: dict[str, Any], rung: int, told: Any, average: Any, base: Any, rise: float
    ) -> tuple[list[Any], str]:
        """Numbers, sentences. Half a step is judged against the shift, and T where there is almost none."""
        whole, half = jnp.asarray(_mean(told[::2])), jnp.asarray(_mean(told[1::2]))
        shift = float(np.mean(kl(jnp.asarray(average), jnp.asarray(base))))
        health = diagnose(
            one["watched"][rung],
            acceptance=one["acceptance"][rung].min(),
            halved_step=float(np.mean(kl(half, whole))) / (shift + rise),
            gradient_noise=0.0,  # gradients are of the whole D'
            drift=one["drift"][rung].mean(),
            base_loss_change=one["base_change"][rung].mean(),
        )
        first = one["nonfinite"][rung]
        if health.nonfinite is None and (first >= 0).any():
            chain = int(np.argmax(first >= 0))
            health = replace(health, nonfinite=(chain, int(first[chain])))
        fields = [getattr(health, name) for name in HEALTH]
        return fields, " ".join(health.problems(self.sampling.thresholds))

    def _localise(self, network: Network, data: Dataset) -> tuple[list[float], list[Any], list[np.ndarray]]:
        """γ, Λ and the step size at every strength, of every set."""
        prepared = jax.tree.map(np.asarray, self.prepare(network.params, data))
        gammas, metrics, steps = [], [], []
        for each in self.sets:
            metric, rises, bend = jax.tree.map(lambda leaf: leaf[each.metric], prepared)  # noqa: B023
            if each.metric == 2:  # as curved as in the identity metric: the same τ then go as far
                ratio = bend / prepared[2][0]
                metric, bend = jax.tree.map(lambda leaf: leaf * ratio, metric), bend / ratio  # noqa: B023
            gammas.append(stiffness_for(rises, [each.rise], network, metric)[0])
            metrics.append(metric)
            steps.append(stable_step(np.asarray(each.times) * bend))
        return gammas, metrics, steps

    def _prepare(self, params: Any, data: Dataset) -> Any:
        """Stacked over metrics: Λ, the rise of the base loss with the prior's width, the curvature of D'."""
        network = self.template.with_params(params)
        key = jax.random.fold_in(jax.random.key(self.comparison.seed), METRIC_STREAM)
        iso = jax.tree.map(jnp.ones_like, params)
        adam = AdamGibbs(batch=self.comparison.batch).metric(network, data, key)
        base_key = jax.random.fold_in(jax.random.key(self.comparison.seed), BASE_STREAM)
        tokens = self.comparison.process.distribution().sample(base_key, BASE_DOCUMENTS)
        documents = Dataset(tokens, jnp.ones(tokens.shape, bool))

        def told(case: Any) -> Any:
            metric, longest = case
            rises = base_loss_rises(network, documents, metric, base_key)
            return metric, rises, curvature(network, data, metric, longest, key)

        metrics, longest = [iso, adam], [self.sampling.times[-1], self.sampling.adam_times[-1]]
        if self.sampling.fisher:
            metrics.append(fisher(network, documents))
            longest.append(0.0)
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *metrics)
        return jax.lax.map(told, (stacked, jnp.asarray(longest)))

    def _inputs(self, data: Dataset, gammas: Any, metrics: Any, steps: Any, seed: int) -> tuple[Any, ...]:
        """The rows of one D': posteriors × chains."""
        counted = self._counted(jax.tree.map(lambda leaf: leaf[None], data))
        chains = self.sampling.chains
        key = jax.random.fold_in(jax.random.key(self.comparison.seed), CHAIN_STREAM)
        stream = np.random.default_rng([*np.asarray(jax.random.key_data(key)).tolist(), seed])
        rows = []
        for each, gamma, metric, chosen in zip(self.sets, gammas, metrics, steps, strict=True):
            for time, step in zip(each.times, chosen, strict=True):
                for chain in range(chains):
                    rows.append((time * gamma / counted, gamma, step / (1 + chain % 2), metric))
        keys = stream.integers(0, 2**32, (len(rows), 2), dtype=np.uint32)
        beta, gamma, step = (np.array([row[index] for row in rows], np.float32) for index in range(3))
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[row[3] for row in rows])
        repeated = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (len(rows), *leaf.shape)), data)
        return repeated, beta, gamma, step, stacked, keys

    def _counted(self, data: Dataset) -> float:
        return float(np.asarray(data.mask)[0].sum())

    def _chain(
        self,
        tokens: Any,
        mask: Any,
        params: Any,
        limit: Any,
        data: Dataset,
        beta: Any,
        gamma: Any,
        step: Any,
        metric: Any,
        key: Any,
    ) -> Any:
        """One chain of one posterior."""
        network = self.template.with_params(params)
        theory = LangevinPosterior(gamma, metric, step, plan=self.sampling.plan)
        posterior = theory.posterior(network, data, beta)
        part = self.comparison.process.answer_tokens
        weights = posterior.weights()
        read: Callable[[Any], Any] = lambda state: answers_at(  # noqa: E731
            network.with_params(posterior.params(state.z)), tokens, part
        )
        base = answers_at(network, tokens, part)

        def change(state: Any) -> Any:
            return jnp.sum(jnp.where(mask, kl(base, read(state)), 0.0)) / jnp.sum(mask)

        def distance(state: Any) -> Any:
            scale = posterior.scale()
            return jnp.sqrt(
                sum(jnp.sum(((state.z[name] - weights[name]) / scale[name]) ** 2) for name in weights)
            )

        shown = jnp.nonzero(jnp.ravel(mask), size=WATCHED, fill_value=0)[0]
        streams = {
            "told": log_mean_exp(read),
            "watched": trace(lambda state: read(state).reshape(-1, base.shape[-1])[shown, 0]),
            "potential": trace(lambda state: state.potential_energy),
            "acceptance": mean(lambda state: state.accept_prob),
            "drift": mean(distance),
            "base_change": mean(change),
            "nonfinite": nonfinite(),
        }
        return theory.chain(posterior, key, streams, limit) | {"base": base}


HEALTH = (
    "rhat",
    "bulk_ess",
    "tail_ess",
    "acceptance",
    "halved_step",
    "gradient_noise",
    "drift",
    "base_loss_change",
)


def _row(data: Dataset, seed: int) -> Dataset:
    return jax.tree.map(lambda leaf: leaf[seed], data)


def _by_posterior(leaf: np.ndarray, posteriors: int) -> np.ndarray:
    return leaf.reshape(posteriors, -1, *leaf.shape[1:])


def _mean(told: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(told, axis=0) - np.log(len(told))
