"""Posteriors over weights, sampled over a ladder of strengths, with their convergence diagnostics.

A cell holds, for the first finetuning seeds of an arm, the answers of every ladder of
`experiments.design.sampling`, the diagnostics of every posterior, and the limits T → 0 of
`experiments.cells.cold_limits`, if asked for. A temperature T is the cost of the localised prior: networks
sampled from
it alone are T nats (mean KL of a position) from the base network (theory.weights.tuning); strengths are
learning-rate
times τ = βN/γ. Every other chain of a posterior takes half the step: their difference is part of the R-hat
and of the diagnostics.

    tuning    short chains choose each step, as a share of where the curvature of D' makes it unstable
    rounds    every posterior is sampled; those whose chains have not converged get as many chains again,
    pooled with
              the first, until the rounds are used up. What has not converged then carries a sentence
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cells.chains import ChainPrograms
from experiments.cells.cold_limits import ColdLimits
from experiments.cells.data import Questions
from experiments.design import random_streams
from experiments.design.experiment import Experiment
from experiments.design.sampling import FISHER
from experiments.storage.contents import PosteriorCell
from experiments.storage.records import Arrays, Ladder
from models.network import Network
from theory.base import Dataset, Params
from theory.divergence.kl import kl
from theory.mcmc.diagnostics import Diagnostics, diagnose
from theory.weights.tuning import StepChoice, choose_step, prior_precision_for, stable_step

SHARES = 0.85 * 2.0 ** -np.arange(0.0, 1.5, 0.5)  # of the step at which the stiffest direction is unstable
TUNING_WARMUP, TUNING_STEPS = 24, 16

DIAGNOSTICS = tuple(name for name in Diagnostics.__annotations__ if name != "nonfinite")


@dataclass(frozen=True)
class Target:
    """One D' from one base network: γ and Λ of every set, the largest curvature λ (b,) of its likelihoods
    in units of
    the prior, and the contexts (padded tokens, mask of answers) on which predictions are compared."""

    data: Dataset
    gammas: list[float]
    metrics: list[Params]
    curvatures: list[np.ndarray]
    params: Params
    tokens: np.ndarray
    mask: np.ndarray
    questions: Questions


class ChainRow(NamedTuple):
    """A chain to be run: of which set, at which τ, with which step."""

    set: int
    time: float
    step: float


@dataclass(frozen=True)
class SampledPosterior:
    """One posterior: its average prediction (log, c × a), its diagnostics, a sentence for what has not
    converged,
    the number of chains, and the watched log-probabilities of every sample (chains, samples, observables)."""

    average: np.ndarray
    diagnostics: list[float]
    problems: str
    chains: int
    samples: np.ndarray


class PosteriorPrograms:
    """The posteriors of an experiment, cell by cell."""

    def __init__(self, experiment: Experiment, template: Network, rows: int):
        assert experiment.sampling is not None
        self.experiment, self.sampling, self.rows = experiment, experiment.sampling, rows
        self.sets = self.sampling.sets()
        self.rungs = [
            (index, rung) for index, ladder in enumerate(self.sets) for rung in range(len(ladder.times))
        ]
        longest = [self.sampling.times[-1], self.sampling.adam_times[-1], *([0.0] * self.sampling.fisher)]
        plan, posteriors = self.sampling.plan, len(self.rungs)
        self.programs = ChainPrograms(experiment, template, rows, plan, longest, posteriors)
        self.cold = ColdLimits(experiment, template) if self.sampling.moments else None

    def compile(self) -> None:
        """Compile the large program ahead of its first call."""
        self.programs.compile()

    def run(
        self, network: Network, data: Dataset, questions: Questions, path: tuple[int, ...]
    ) -> PosteriorCell:
        """Ladders and diagnostics of every set, for the D' of the first `sampling.seeds` seeds. The cell's
        random streams are those of `path`."""
        tokens = np.pad(questions.tokens, ((0, self.rows - len(questions.tokens)), (0, 0)))
        targets, choices, posteriors = [], [], []
        for seed in range(self.sampling.seeds):
            target = self._localise(network, jax.tree.map(lambda leaf: leaf[seed], data), tokens, questions)  # noqa: B023
            targets.append(target)
            choices.append(self._tune(target, [*path, seed]))
            posteriors.append(self._sample(target, choices[-1], [*path, seed]))
        ladders = [self._ladder(index, targets, choices, posteriors) for index in range(len(self.sets))]
        limits = self.cold.run(network, data, tokens, questions, path) if self.cold else []
        return PosteriorCell((*ladders, *limits))

    def _localise(self, network: Network, data: Dataset, tokens: np.ndarray, questions: Questions) -> Target:
        prepared = self.programs.prepare(network.params, data)
        gammas, metrics, curvatures = [], [], []
        for ladder in self.sets:
            metric, costs, curvature = jax.tree.map(lambda leaf: leaf[ladder.metric], prepared)  # noqa: B023
            if ladder.metric == FISHER:  # as curved as in the identity metric: the same τ then go as far
                ratio = curvature / prepared[2][0]
                metric, curvature = jax.tree.map(lambda leaf: leaf * ratio, metric), curvature / ratio  # noqa: B023
            gammas.append(prior_precision_for(costs, [ladder.temperature], metric)[0])
            metrics.append(metric)
            curvatures.append(np.asarray(ladder.times) * curvature)
        mask = questions.mask(self.rows)
        return Target(data, gammas, metrics, curvatures, network.params, tokens, mask, questions)

    def _tune(self, target: Target, path: list[int]) -> list[StepChoice]:
        """A step for every posterior. Of neighbouring strengths the strongest is tried, with as many shares
        of its
        limit as there are strengths (one more run of the same program); the others take the share it gets."""
        rows, groups = [], []
        for index, (ladder, curvatures) in enumerate(zip(self.sets, target.curvatures, strict=True)):
            for top in range(len(ladder.times), 0, -len(SHARES)):
                rungs = range(max(top - len(SHARES), 0), top)
                steps = [
                    ChainRow(index, ladder.times[top - 1], h)
                    for h in stable_step(curvatures[top - 1], SHARES)
                ]
                groups.append((index, rungs))
                rows += steps[: len(rungs)]
        plan = self.sampling.plan
        last = min(plan.warmup + TUNING_STEPS, plan.steps)
        span = (max(plan.warmup - TUNING_WARMUP, 0), last)
        chains = self._chains(target, rows, span, random_streams.TUNING, path)
        acceptances = iter([float(chain["acceptance"]) for chain in chains])
        chosen = {}
        for index, rungs in groups:
            seen = [next(acceptances) for _ in rungs]
            for rung in rungs:
                steps = stable_step(target.curvatures[index][rung], SHARES[: len(rungs)])
                chosen[index, rung] = choose_step(list(steps), seen)
        return [chosen[rung] for rung in self.rungs]

    def _sample(self, target: Target, choices: list[StepChoice], path: list[int]) -> list[SampledPosterior]:
        """Every posterior, judged after the last of its rounds."""
        chains: list[list[Arrays]] = [[] for _ in self.rungs]
        posteriors: dict[int, SampledPosterior] = {}
        missing = list(range(len(self.rungs)))
        for turn in range(self.sampling.rounds):
            order = [(number, chain) for number in missing for chain in range(self.sampling.chains)]
            rows = []
            for number, chain in order:
                index, rung = self.rungs[number]
                step = choices[number].step_size / (1 + chain % 2)
                rows.append(ChainRow(index, self.sets[index].times[rung], step))
            span = (0, self.sampling.plan.steps)
            finished = self._chains(target, rows, span, random_streams.CHAINS, [*path, turn])
            for (number, _), chain in zip(order, finished, strict=True):
                chains[number].append(chain)
            for number in missing:
                temperature = self.sets[self.rungs[number][0]].temperature
                posteriors[number] = self._judge(chains[number], target.questions, temperature)
            missing = [number for number in missing if posteriors[number].problems]
            if not missing:
                break
        return [posteriors[number] for number in range(len(self.rungs))]

    def _chains(
        self, target: Target, rows: list[ChainRow], span: tuple[int, int], stream: int, path: list[int]
    ) -> list[Arrays]:
        """The kept quantities of every chain, a few chains at a time: the last batch is filled up with its
        last
        chain, so that one program serves all."""
        answers = float(np.asarray(target.data.mask).sum())
        key = random_streams.stream(self.experiment.seed, stream)
        random = np.random.default_rng([*np.asarray(jax.random.key_data(key)).tolist(), *path])
        keys = random.integers(0, 2**32, (len(rows), 2), dtype=np.uint32)
        size, kept = self.programs.together, []
        for first in range(0, len(rows), size):
            chosen = np.minimum(np.arange(first, first + size), len(rows) - 1)
            sets, times, step = (
                np.array(column) for column in zip(*[rows[row] for row in chosen], strict=True)
            )
            gamma = np.array(target.gammas)[sets]
            numbers = [column.astype(np.float32) for column in (times * gamma / answers, gamma, step)]
            metrics = [target.metrics[index] for index in sets]
            metric = jax.tree.map(lambda *leaves: np.stack(leaves), *metrics)
            data = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (size, *leaf.shape)), target.data)
            shared = target.tokens, target.mask, target.params, np.array(span, np.int32)
            out = self.programs.run(*shared, data, *numbers, metric, keys[chosen])
            for row in range(min(size, len(rows) - first)):
                kept.append(jax.tree.map(lambda leaf: leaf[row], out))  # noqa: B023
        return kept

    @np.errstate(invalid="ignore")  # a diverged chain is nan, which the diagnostics find
    def _judge(self, chains: list[Arrays], questions: Questions, temperature: float) -> SampledPosterior:
        """Half a step is judged against the shift, and T where there is almost none."""
        predictions = np.stack(
            [chain["predictions"][questions.rows, questions.positions] for chain in chains]
        )
        base = jnp.asarray(chains[0]["base"][questions.rows, questions.positions])
        average = _mean(predictions)
        whole, half = jnp.asarray(_mean(predictions[::2])), jnp.asarray(_mean(predictions[1::2]))
        shift = float(np.mean(kl(jnp.asarray(average), base)))
        samples = np.stack([chain["watched"] for chain in chains])
        diagnostics = diagnose(
            samples,
            acceptance=np.min([chain["acceptance"] for chain in chains]),
            halved_step=float(np.mean(kl(half, whole))) / (shift + temperature),
            gradient_noise=0.0,  # gradients are of the whole D'
            drift=np.mean([chain["drift"] for chain in chains]),
            base_loss_change=np.mean([chain["base_change"] for chain in chains]),
        )
        first = np.array([chain["nonfinite"] for chain in chains])
        if diagnostics.nonfinite is None and (first >= 0).any():
            chain = int(np.argmax(first >= 0))
            diagnostics = replace(diagnostics, nonfinite=(chain, int(first[chain])))
        problems = " ".join(diagnostics.problems(self.sampling.thresholds))
        values = [getattr(diagnostics, name) for name in DIAGNOSTICS]
        return SampledPosterior(average, values, problems, len(chains), samples.astype(np.float32))

    def _ladder(
        self,
        index: int,
        targets: list[Target],
        choices: list[list[StepChoice]],
        posteriors: list[list[SampledPosterior]],
    ) -> Ladder:
        """A set over finetuning seeds (s) and strengths (b). Posteriors may have different numbers of
        chains: the
        missing samples (s, b, chains, samples, observables) are nan."""
        ladder = self.sets[index]
        numbers = [number for number, (owner, _) in enumerate(self.rungs) if owner == index]
        answers = float(np.asarray(targets[0].data.mask).sum())
        gammas = np.array([target.gammas[index] for target in targets])
        steps = [[seed[number] for number in numbers] for seed in choices]
        sampled = [[seed[number] for number in numbers] for seed in posteriors]
        most = max(posterior.chains for row in sampled for posterior in row)

        def filled(samples: np.ndarray) -> np.ndarray:
            return np.pad(samples, ((0, most - len(samples)), (0, 0), (0, 0)), constant_values=np.nan)

        return Ladder(
            ladder.theory,
            ladder.prior,
            np.asarray(ladder.times) * np.mean(gammas) / answers,
            np.array([[posterior.average for posterior in row] for row in sampled], np.float32),
            problems=np.array([[posterior.problems for posterior in row] for row in sampled], np.str_),
            diagnostics=np.array(
                [[posterior.diagnostics for posterior in row] for row in sampled], np.float32
            ),
            times=np.asarray(ladder.times),
            metric=ladder.metric_name,
            extra={
                "gamma": gammas,
                "steps": np.array([[choice.step_size for choice in row] for row in steps]),
                "tuning": np.array([[(choice.acceptance, choice.warmup) for choice in row] for row in steps]),
                "reasons": np.array([[choice.reason for choice in row] for row in steps], np.str_),
                "chains": np.array([[posterior.chains for posterior in row] for row in sampled]),
                "samples": np.array([[filled(posterior.samples) for posterior in row] for row in sampled]),
            },
        )


def _mean(log_probs: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(log_probs, axis=0) - np.log(len(log_probs))
