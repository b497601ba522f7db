"""Finetuned networks: every dose of every finetuning seed, a replica that met the same D' in another order,
and the swap of read-outs with the base network, which tells where finetuning moved the answers."""

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells.answers import AnswerPrograms, first_seed
from experiments.cells.data import Finetuning, Questions
from experiments.cells.large import LargePrograms, is_large
from experiments.cells.program_store import ProgramStore, of_method
from experiments.cells.replays import extra_data
from experiments.design.experiment import Experiment
from experiments.scoring.fits import divergence
from experiments.storage.contents import FinetunedCell
from models.finetuning.method import Method, finetune
from models.inside import exchanged
from models.network import Network
from theory.base import Dataset, Params
from theory.divergence.kl import answer_loss, answers_at


class FinetunedPrograms:
    """One compiled program for each way of finetuning; seeds and replicas are its rows."""

    def __init__(
        self, experiment: Experiment, template: Network, answers: AnswerPrograms, store: ProgramStore
    ):
        self.experiment, self.template, self.answers = experiment, template, answers
        self.finetune = {
            name: store.sharded(
                of_method("finetune", method, experiment.doses),
                functools.partial(self._finetune, method),
                shared=1,
            )
            for name, method in experiment.methods.items()
        }
        large = is_large(experiment, template)
        self.large = LargePrograms(experiment, template, answers) if large else None

    def run(
        self, method: str, network: Network, finetuning: Finetuning, questions: Questions
    ) -> FinetunedCell:
        """The networks finetuned by a method, from one base network."""
        if self.large is not None:
            data = finetuning.padded(self.experiment.n)
            return self.large.run(method, network, data, finetuning, questions)
        count = self.experiment.seeds
        params, losses, data_loss = self.networks(method, network, finetuning)
        tokens = self.answers.padded(questions.tokens)
        answers = questions.at(self.answers.read(tokens, params))
        updates = jax.tree.map(lambda after, before: after - np.asarray(before), params, network.params)
        squares = [
            np.sum(np.square(leaf), axis=tuple(range(2, leaf.ndim))) for leaf in jax.tree.leaves(updates)
        ]
        swapped = questions.at(self.answers.read(tokens, swap(params, network.params)))
        missed = np.maximum(divergence(np.concatenate([answers[:count]] * 2), swapped), 0)
        return FinetunedCell(
            finetuned=answers[:count],
            replica=answers[count:],
            loss=losses[:count].astype(np.float32),
            distance=np.sqrt(sum(squares))[:count].astype(np.float32),
            update=first_seed(updates),
            observed=self.answers.observed(questions, jax.tree.map(lambda leaf: leaf[:count], params)),
            data_loss=data_loss[:count].astype(np.float32),
            base_read_out=missed[:count].astype(np.float32),
            base_blocks=missed[count:].astype(np.float32),
        )

    def networks(
        self, method: str, network: Network, finetuning: Finetuning
    ) -> tuple[Params, np.ndarray, np.ndarray]:
        """Weights (2 s, d, ...) of networks, then of those that met the same D' in another order, with the
        loss of every step and at every dose that on all of D'."""
        count = self.experiment.seeds
        data = finetuning.padded(self.experiment.n)
        data = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf]), data)
        orders = np.concatenate([finetuning.order, finetuning.replica_order])
        seeds = np.arange(2 * count, dtype=np.int32) % count
        return self.finetune[method](network.params, data, orders, seeds)

    def pairs(self, network: Network, finetuning: Finetuning) -> Iterator[tuple[Params, Params]]:
        """Weights of every network and of its twin, by method, seed and dose."""
        experiment = self.experiment
        for method in experiment.methods:
            params = self.networks(method, network, finetuning)[0]
            for seed, dose in np.ndindex(experiment.seeds, len(experiment.doses)):
                weights, twin = (
                    jax.tree.map(lambda leaf, row=row, dose=dose: jnp.asarray(leaf[row, dose]), params)
                    for row in (seed, seed + experiment.seeds)
                )
                yield weights, twin

    def _finetune(
        self, method: Method, params: Params, data: Dataset, order: Array, seed: Array
    ) -> tuple[Params, Array, Array]:
        """Weights at every dose, the loss of every step, and at every dose that on all answers of D'."""
        network = self.template.with_params(params)
        extra = extra_data(self.experiment, method, data, seed)
        params, losses = finetune(network, data, order, method, self.experiment.doses, extra)

        def of_data(params: Params) -> Array:
            answers = answers_at(self.template.with_params(params), data.tokens, self.answers.part)
            return answer_loss(answers, data, self.answers.part)

        return params, losses, jax.lax.map(of_data, params)


def swap(params: Params, base: Params) -> Params:
    """Weights of networks with the base network's read-out, then of that network with theirs, (s, d) each.

    `params` (2 s, d) are those of networks and replicas. Replicas are not swapped, so all that is read has
    the shape of `params`: one program reads both.
    """
    ours = jax.tree.map(lambda leaf: leaf[: len(leaf) // 2], params)
    base = jax.tree.map(lambda after, leaf: np.broadcast_to(np.asarray(leaf), after.shape), ours, base)
    halves = exchanged(ours, base), exchanged(base, ours)
    return jax.tree.map(lambda *parts: np.concatenate(parts), *halves)


def failure(cell: FinetunedCell, doses: Sequence[int]) -> str:
    """The first place where a network stopped being finite, in a sentence; "" if none did."""
    for name, answers in (("finetuned", cell.finetuned), ("replica", cell.replica)):
        finite = np.isfinite(answers).all(axis=(2, 3))
        if not finite.all():
            seed, dose = np.argwhere(~finite)[0]
            return f"Non-finite answers of the {name} network of seed {seed} at dose {doses[dose]}."
    return ""
