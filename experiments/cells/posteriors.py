"""The Langevin side of a comparison: posteriors over weights, sampled over a ladder of strengths, and judged.

A cell `langevin-ARM-BASE` holds, for the first finetuning seeds of an arm, the answers of
`langevin-posterior` at every temperature and of `adam-gibbs` at the coldest (or at all of
`adam_temperatures`), the health of every posterior, and the limits T → 0 of
`experiments.cells.cold_limits`, if asked for.
A temperature T is told by what it costs: networks drawn from the localised prior alone are T nats (mean KL of
a position) from the base (theory.weights.tuning); strengths are told by τ = βN/γ. Every other chain of a
posterior takes half the step: their difference is part of the R-hat, and of the gate.

    pilot     short chains pick each step, as a share of where the curvature of D' makes it unstable
    rounds    every posterior is sampled; those whose chains miss the gate get as many chains again, pooled
              with the first, until the rounds are used up. What is still missed then is said
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cells.chains import ChainPrograms
from experiments.cells.cold_limits import ColdLimits
from experiments.design import random_streams
from experiments.design.experiment import Comparison
from experiments.design.sampling import Sampling
from experiments.storage.run_folder import Arrays
from models.network import Network
from theory.base import Dataset
from theory.divergence.kl import kl
from theory.mcmc.diagnostics import Diagnostics, diagnose
from theory.weights.tuning import StepChoice, choose_step, prior_precision_for, stable_step

SHARES = 0.85 * 2.0 ** -np.arange(0.0, 1.5, 0.5)  # of the step at which the stiffest direction is unstable
PILOT_WARMUP, PILOT_STEPS = 24, 16

HEALTH = tuple(name for name in Diagnostics.__annotations__ if name != "nonfinite")


class Target(NamedTuple):
    """One D': γ and Λ of every set, the largest curvature λ (b,) of its likelihoods in units of the prior,
    and where predictions are compared."""

    data: Dataset
    gammas: list[float]
    metrics: list[Any]
    curvatures: list[np.ndarray]
    shared: tuple[Any, ...]
    where: Any


class Row(NamedTuple):
    """A chain to be run: of which set, at which τ, with which step."""

    set: int
    time: float
    step: float


class Posteriors:
    """The posteriors of a comparison, cell by cell."""

    def __init__(self, comparison: Comparison, template: Network, rows: int):
        self.comparison = comparison
        self.sampling: Sampling = comparison.sampling
        self.sets = self.sampling.sets()
        self.rungs = [
            (index, rung) for index, each in enumerate(self.sets) for rung in range(len(each.times))
        ]
        longest = [self.sampling.times[-1], self.sampling.adam_times[-1], *([0.0] * self.sampling.fisher)]
        plan, posteriors = self.sampling.plan, len(self.rungs)
        self.programs = ChainPrograms(comparison, template, rows, plan, longest, posteriors)
        self.cold = ColdLimits(comparison, template) if self.sampling.moments else None

    def compile(self) -> None:
        """Compile the large program ahead of its first call."""
        self.programs.compile()

    def run(self, network: Network, data: Dataset, tokens: np.ndarray, where: Any) -> Arrays:
        """Ladders and health of every set, for the first `sampling.seeds` D'."""
        mask = np.zeros(tokens.shape, bool)
        mask[where] = True
        seeds = []
        for seed in range(self.sampling.seeds):
            one = jax.tree.map(lambda leaf: leaf[seed], data)  # noqa: B023
            target = self._localise(network, one, (tokens, mask, network.params), where)
            choices = self._pilot(target, seed)
            seeds.append((target, choices, self._sample(target, choices, seed)))
        limits = self.cold.run(network, data, tokens, where) if self.cold else {}
        return self._told(seeds) | limits

    def _localise(self, network: Network, data: Dataset, shared: tuple[Any, ...], where: Any) -> Target:
        prepared = self.programs.prepare(network.params, data)
        gammas, metrics, curvatures = [], [], []
        for each in self.sets:
            metric, costs, bend = jax.tree.map(lambda leaf: leaf[each.metric], prepared)  # noqa: B023
            if each.metric == 2:  # as curved as in the identity metric: the same τ then go as far
                ratio = bend / prepared[2][0]
                metric, bend = jax.tree.map(lambda leaf: leaf * ratio, metric), bend / ratio  # noqa: B023
            gammas.append(prior_precision_for(costs, [each.temperature], metric)[0])
            metrics.append(metric)
            curvatures.append(np.asarray(each.times) * bend)
        return Target(data, gammas, metrics, curvatures, shared, where)

    def _pilot(self, target: Target, seed: int) -> list[StepChoice]:
        """A step for every posterior. Of neighbouring strengths the strongest is tried, with as many shares
        of its limit as they are (one more run of the same program); the others take the share it gets."""
        rows, groups = [], []
        for index, (each, curved) in enumerate(zip(self.sets, target.curvatures, strict=True)):
            for top in range(len(each.times), 0, -len(SHARES)):
                rungs = range(max(top - len(SHARES), 0), top)
                steps = [Row(index, each.times[top - 1], h) for h in stable_step(curved[top - 1], SHARES)]
                groups.append((index, rungs))
                rows += steps[: len(rungs)]
        plan = self.sampling.plan
        last = min(plan.warmup + PILOT_STEPS, plan.steps)
        told = self._chains(
            target, rows, (max(plan.warmup - PILOT_WARMUP, 0), last), (random_streams.TUNING, seed)
        )
        accepted = iter([float(one["acceptance"]) for one in told])
        chosen = {}
        for index, rungs in groups:
            seen = [next(accepted) for _ in rungs]
            for rung in rungs:
                steps = stable_step(target.curvatures[index][rung], SHARES[: len(rungs)])
                chosen[index, rung] = choose_step(list(steps), seen)
        return [chosen[place] for place in self.rungs]

    def _sample(self, target: Target, choices: list[StepChoice], seed: int) -> list["Judged"]:
        """Every posterior, judged after the last of its rounds."""
        chains: list[list[Any]] = [[] for _ in self.rungs]
        judged: dict[int, Judged] = {}
        wanted = list(range(len(self.rungs)))
        for turn in range(self.sampling.rounds):
            order = [(place, chain) for place in wanted for chain in range(self.sampling.chains)]
            rows = []
            for place, chain in order:
                index, rung = self.rungs[place]
                step = choices[place].step_size / (1 + chain % 2)
                rows.append(Row(index, self.sets[index].times[rung], step))
            span = (0, self.sampling.plan.steps)
            for (place, _), out in zip(
                order, self._chains(target, rows, span, (random_streams.CHAINS, seed, turn)), strict=True
            ):
                chains[place].append(out)
            for place in wanted:
                temperature = self.sets[self.rungs[place][0]].temperature
                judged[place] = self._judge(chains[place], target.where, temperature)
            wanted = [place for place in wanted if judged[place].problems]
            if not wanted:
                break
        return [judged[place] for place in range(len(self.rungs))]

    def _chains(self, target: Target, rows: list[Row], span: tuple[int, int], stream: Any) -> list[Any]:
        """What every chain keeps, a few at a time: the last batch is filled up with its last chain."""
        counted = float(np.asarray(target.data.mask).sum())
        key = jax.random.fold_in(jax.random.key(self.comparison.seed), stream[0])
        random = np.random.default_rng([*np.asarray(jax.random.key_data(key)).tolist(), *stream[1:]])
        keys = random.integers(0, 2**32, (len(rows), 2), dtype=np.uint32)
        size, kept = self.programs.together, []
        for first in range(0, len(rows), size):
            chosen = np.minimum(np.arange(first, first + size), len(rows) - 1)
            sets, times, step = (
                np.array(column) for column in zip(*[rows[row] for row in chosen], strict=True)
            )
            gamma = np.array(target.gammas)[sets]
            numbers = [column.astype(np.float32) for column in (times * gamma / counted, gamma, step)]
            metric = jax.tree.map(lambda *leaves: np.stack([leaves[each] for each in sets]), *target.metrics)  # noqa: B023
            data = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (size, *leaf.shape)), target.data)
            out = self.programs.run(
                *target.shared, np.array(span, np.int32), data, *numbers, metric, keys[chosen]
            )
            for row in range(min(size, len(rows) - first)):
                kept.append(jax.tree.map(lambda leaf: leaf[row], out))  # noqa: B023
        return kept

    @np.errstate(invalid="ignore")  # a lost chain is nan, which the gate finds
    def _judge(self, chains: list[Any], where: Any, temperature: float) -> "Judged":
        """Half a step is judged against the shift, and T where there is almost none."""
        told, base = np.stack([one["told"][where] for one in chains]), jnp.asarray(chains[0]["base"][where])
        average = _mean(told)
        whole, half = jnp.asarray(_mean(told[::2])), jnp.asarray(_mean(told[1::2]))
        shift = float(np.mean(kl(jnp.asarray(average), base)))
        health = diagnose(
            np.stack([one["watched"] for one in chains]),
            acceptance=np.min([one["acceptance"] for one in chains]),
            halved_step=float(np.mean(kl(half, whole))) / (shift + temperature),
            gradient_noise=0.0,  # gradients are of the whole D'
            drift=np.mean([one["drift"] for one in chains]),
            base_loss_change=np.mean([one["base_change"] for one in chains]),
        )
        first = np.array([one["nonfinite"] for one in chains])
        if health.nonfinite is None and (first >= 0).any():
            chain = int(np.argmax(first >= 0))
            health = replace(health, nonfinite=(chain, int(first[chain])))
        problems = " ".join(health.problems(self.sampling.thresholds))
        return Judged(average, [getattr(health, name) for name in HEALTH], problems, len(chains))

    def _told(self, seeds: list[tuple[Target, list[StepChoice], list["Judged"]]]) -> Arrays:
        """What is written: axes s seeds, b strengths, c contexts, a answers."""
        counted = float(np.asarray(seeds[0][0].data.mask).sum())
        arrays: Arrays = {}
        for index, each in enumerate(self.sets):
            places = [place for place, (owner, _) in enumerate(self.rungs) if owner == index]
            gammas = [target.gammas[index] for target, _, _ in seeds]
            choices = [[chosen[place] for place in places] for _, chosen, _ in seeds]
            judged = [[told[place] for place in places] for _, _, told in seeds]
            told = {
                "ladder": np.array([[one.average for one in row] for row in judged], np.float32),
                "gamma": np.array(gammas),
                "betas": np.asarray(each.times) * np.mean(gammas) / counted,
                "times": np.asarray(each.times),
                "steps": np.array([[choice.step_size for choice in row] for row in choices]),
                "pilot": np.array(
                    [[(choice.acceptance, choice.warmup) for choice in row] for row in choices]
                ),
                "reasons": np.array([[choice.reason for choice in row] for row in choices], np.str_),
                "health": np.array([[one.health for one in row] for row in judged], np.float32),
                "problems": np.array([[one.problems for one in row] for row in judged], np.str_),
                "chains": np.array([[one.chains for one in row] for row in judged]),
            }
            if each.metric < 2:
                told["clock"] = np.array(("identity", "adam")[each.metric])
            arrays |= {f"{kind}/{each.theory}/{each.prior}": value for kind, value in told.items()}
        return arrays


class Judged(NamedTuple):
    """A sampled posterior: its average prediction (log, c × a), its health, what is wrong, chains taken."""

    average: np.ndarray
    health: list[float]
    problems: str
    chains: int


def _mean(told: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(told, axis=0) - np.log(len(told))
