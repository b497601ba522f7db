"""Replays: theories that follow a way of finetuning step by step, each at every dose out of one run.

They are finetuned by the method in its own coordinates: only the network is expanded, the product of LoRA's
factors, say, is not. Nothing is fitted. Beside them stands every other theory's strength at the doses,
without a
fitted number, the method's learning-rate time, which tells the strength of theories over weights, and, where
it is asked for, the KL between two orders of D' as the theory `noise` predicts it.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells.answers import AnswerPrograms, first_seed
from experiments.cells.candidates import Candidate
from experiments.cells.data import Finetuning, Questions
from experiments.cells.program_store import ProgramStore, of_method
from experiments.design import random_streams
from experiments.design.experiment import Arm, Experiment
from experiments.storage.contents import ORDER_NOISE, ReplayCell
from models.finetuning.method import ExtraData, FinetuningRun, Method
from models.network import Network
from theory.base import Dataset, Params
from theory.contracts import name_of
from theory.theories.linearised import Linearised
from theory.theories.tempered_posterior import TemperedPosterior
from theory.weights.taylor import orders, relative_size

LINEAR = name_of(Linearised)


class ReplayPrograms:
    """One compiled program for each way of finetuning, of all theories that replay it; one for all reads the
    orders of the displacements, where measures are wanted."""

    def __init__(
        self,
        experiment: Experiment,
        template: Network,
        answers: AnswerPrograms,
        candidates: list[Candidate],
        store: ProgramStore,
    ):
        self.experiment, self.template, self.answers = experiment, template, answers
        self.candidates = candidates
        self.noise = next((candidate.form for candidate in candidates if candidate.kind == "noise"), None)
        self.replay = {
            name: store.sharded(
                of_method("replay", method, experiment.doses),
                functools.partial(self._replay, method),
                shared=2,
            )
            for name, method in experiment.methods.items()
            if self._followers(method) or self.noise
        }
        self.orders = store.sharded("orders", self._orders, shared=2)

    def run(
        self, method: str, arm: Arm, network: Network, finetuning: Finetuning, questions: Questions
    ) -> ReplayCell:
        """Predictions and forecasts of strengths for a method, from one base network."""
        seeds = np.arange(self.experiment.seeds, dtype=np.int32)
        tokens = self.answers.padded(questions.tokens)
        # the noise of an order counts every document, so what pads a smaller D' would be noise
        data = finetuning.data if self.noise else finetuning.padded(self.experiment.n)
        inputs = network.params, tokens, data, finetuning.order, seeds
        answers, updates, terms, linear = (
            self.replay[method](*inputs) if method in self.replay else ({}, {}, {}, None)
        )
        if linear is not None:
            terms |= self.orders(network.params, tokens, linear)
        training = self.experiment.training(method, arm)
        scale = self.experiment.scale(answers_per_document_set(finetuning.data))
        strengths = {
            f"{candidate.theory}/{prior}": strength
            for candidate in self.candidates
            for prior in candidate.priors
            if (strength := candidate.form.strength(training, scale)) is not None
        }
        return ReplayCell(
            predictions={theory: questions.at(log_probs) for theory, log_probs in answers.items()},
            strengths=strengths,
            times=dict(training.times),
            update=first_seed(updates),
            measures={
                name: (values[..., questions.rows, questions.positions] if values.ndim > 2 else values)
                for name, values in terms.items()
            },
        )

    def _followers(self, method: Method) -> dict[str, Any]:
        """The theories that follow a method."""
        forms = {
            candidate.theory: candidate.form for candidate in self.candidates if candidate.kind == "replay"
        }
        return {name: form for name, form in forms.items() if method.by_document or not form.by_document}

    def _replay(
        self, method: Method, params: Params, tokens: Array, data: Dataset, order: Array, seed: Array
    ) -> tuple[dict[str, Array], Params, dict[str, Array], Params]:
        """Answers of the theories that replay the method, the update of the first of them, the noise of
        orders, and the weights of the linearised network, where these are wanted."""
        network, extra = self.template.with_params(params), extra_data(self.experiment, method, data, seed)
        run = FinetuningRun(data, order, method, self.experiment.doses, extra)
        ends = {theory: form.follow(network, run) for theory, form in self._followers(method).items()}
        answers = {theory: self.answers.stacked(stacked, tokens) for theory, (stacked, _) in ends.items()}
        _, weights = next(iter(ends.values()), (None, None))
        terms = self._noise(method, network, data, tokens, order.shape[-1], seed)
        updates = {} if weights is None else jax.tree.map(lambda after, leaf: after - leaf, weights, params)
        linear = ends[LINEAR][1] if self.experiment.measures and LINEAR in ends else None
        return answers, updates, terms, linear

    def _orders(self, params: Params, tokens: Array, linear: Params) -> dict[str, Array]:
        """Measures of the displacements to the weights of a linearised network after every dose."""
        network = self.template.with_params(params)
        first, second = orders(network, linear, tokens, self.answers.part)
        return {
            "first_order": first,
            "second_order": second,
            "relative_step": relative_size(network, linear),
        }

    def _noise(
        self, method: Method, network: Network, data: Dataset, tokens: Array, batch: int, seed: Array
    ) -> dict[str, Array]:
        """The predicted KL (d, n, t) between two orders of D', of a method whose steps it can follow."""
        known = method.recipe(self.experiment.doses, batch) if self.noise else None
        if self.noise is None or known is None:
            return {}
        key = random_streams.stream(self.experiment.seed, random_streams.ORDER_NOISE, seed)
        part = self.answers.part
        return {ORDER_NOISE: self.noise.between_orders(network, data, tokens, part, *known, key)}


def answers_per_document_set(data: Dataset) -> float:
    """Answers that one D' counts, over which β sums (mean over finetuning seeds)."""
    return float(data.mask.sum(axis=(1, 2)).mean())


def extra_data(experiment: Experiment, method: Method, data: Dataset, seed: Array) -> ExtraData:
    """Documents of pretraining for every step, and the exact tempered posterior, where a method asks."""
    replay = teacher = None
    process = experiment.process.distribution()
    if "replay" in method.needs:
        key = random_streams.stream(experiment.seed, random_streams.REPLAY, seed)
        source = process if experiment.replayed is None else experiment.replayed
        tokens = source.sample(key, experiment.steps * experiment.batch)
        tokens = tokens.reshape(experiment.steps, experiment.batch, -1)
        replay = Dataset(tokens, jnp.broadcast_to(experiment.process.answer_mask(), tokens.shape))
    if "teacher" in method.needs:
        teacher = TemperedPosterior().predict(process, data, experiment.teacher_strength)
    return ExtraData(replay, teacher, random_streams.stream(experiment.seed, random_streams.FACTORS, seed))
