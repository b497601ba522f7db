"""Finetuned networks that are too large for all doses of all of them to be held: one dose after the other.

A network of ten million weights has 40 MB; four of them at eight doses, with their updates and swapped parts
beside, have several GB. Here a device takes one network at a time from dose to dose, and its weights are read
and forgotten there. Nothing is stacked, on a device or off it; so the cell has no update of its networks.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells.answers import AnswerPrograms
from experiments.cells.data import Finetuning, Questions
from experiments.cells.replays import extra_data
from experiments.design.experiment import Experiment
from experiments.scoring.fits import divergence
from experiments.storage.contents import FinetunedCell
from experiments.storage.records import Arrays
from models.finetuning.method import Method, TrainingPlan, training_plan
from models.inside import exchanged
from models.network import Network
from theory.base import Dataset, Model, Params, PyTree, mean_loss
from theory.compute.descent import Descent, Judge, Loss, advance, begin
from theory.compute.devices import ShardedMap
from theory.divergence.kl import answer_loss, answers_at

HELD = 2**29  # bytes of the weights of all networks at all doses


def is_large(experiment: Experiment, template: Network) -> bool:
    """Whether the networks of a cell are finetuned dose by dose; the same on every machine, as the order of
    operations may change the last digits."""
    return 2 * experiment.seeds * len(experiment.doses) * 4 * template.size > HELD


@dataclass(frozen=True)
class _AtDose:
    """Networks `rows` at a dose by its number: weights (r, 1, ...), losses of the steps up to it (r, steps)
    and the loss on D' (r,)."""

    rows: np.ndarray
    dose: int
    weights: Params
    losses: np.ndarray
    data_loss: np.ndarray


class LargePrograms:
    """Two compiled programs for each way of finetuning: its beginning, and any span of its steps."""

    def __init__(self, experiment: Experiment, template: Network, answers: AnswerPrograms):
        self.experiment, self.template, self.answers = experiment, template, answers
        methods = experiment.methods.items()
        self._begin = {name: ShardedMap(functools.partial(self._start, m), shared=1) for name, m in methods}
        self._go = {name: ShardedMap(functools.partial(self._on, m), shared=1) for name, m in methods}

    def run(
        self, method: str, network: Network, data: Dataset, finetuning: Finetuning, questions: Questions
    ) -> FinetunedCell:
        """The networks finetuned by a method, from one base network; `data` (s, n, t) is D', padded."""
        seeds, doses = self.experiment.seeds, len(self.experiment.doses)
        contexts, tokens = len(questions.rows), self.answers.padded(questions.tokens)
        base = jax.tree.map(np.asarray, network.params)
        answers = np.zeros((2 * seeds, doses, contexts, len(questions.answers)), np.float32)
        numbers = {name: np.zeros((2 * seeds, doses), np.float32) for name in ("data_loss", "distance")}
        swapped = {name: np.zeros((seeds, doses, contexts)) for name in ("base_read_out", "base_blocks")}
        losses, observed = np.zeros((2 * seeds, self.experiment.steps), np.float32), dict[str, Any]()
        for part in self._networks(method, base, data, finetuning):
            rows, dose = part.rows, part.dose
            answers[rows, dose] = questions.at(self.answers.read(tokens, part.weights))[:, 0]
            losses[rows] += part.losses
            numbers["data_loss"][rows, dose] = part.data_loss
            numbers["distance"][rows, dose] = _distance(part.weights, base)
            first = rows[rows < seeds]  # of the networks themselves, not of their replicas
            if len(first):
                ours = _part(part.weights, slice(len(first)))
                swaps = (ours, base), (base, ours)
                for values, (blocks, read_out) in zip(swapped.values(), swaps, strict=True):
                    mixed = exchanged(*_alike(blocks, read_out))
                    theirs = questions.at(self.answers.read(tokens, mixed))[:, 0]
                    values[first, dose] = np.maximum(divergence(answers[first, dose], theirs), 0)
                _note(observed, self.answers.observed(questions, ours), first, dose, (seeds, doses))
        return FinetunedCell(
            finetuned=answers[:seeds],
            replica=answers[seeds:],
            loss=losses[:seeds],
            distance=numbers["distance"][:seeds],
            observed=observed,
            data_loss=numbers["data_loss"][:seeds],
            base_read_out=swapped["base_read_out"].astype(np.float32),
            base_blocks=swapped["base_blocks"].astype(np.float32),
        )

    def _networks(
        self, method: str, base: Params, data: Dataset, finetuning: Finetuning
    ) -> Iterator[_AtDose]:
        """Every network at every dose, as many at once as there are devices."""
        seeds = self.experiment.seeds
        orders = np.concatenate([finetuning.order, finetuning.replica_order])
        for rows in np.array_split(np.arange(2 * seeds), -(-2 * seeds // len(jax.devices()))):
            numbers = (rows % seeds).astype(np.int32)
            documents = _part(data, numbers)
            inputs, before = (documents, orders[rows], numbers), 0
            state = self._begin[method](base, *inputs)
            for index, dose in enumerate(self.experiment.doses):
                span = np.full((len(rows), 2), [before, dose], np.int32)
                state, weights, losses, data_loss = self._go[method](base, *inputs, state, span)
                yield _AtDose(rows, index, weights, losses, data_loss)
                before = dose

    def _plan(
        self, method: Method, params: Params, data: Dataset, order: Array, seed: Array
    ) -> tuple[TrainingPlan, Loss, Judge | None]:
        extra = extra_data(self.experiment, method, data, seed)
        plan = training_plan(self.template.with_params(params), data, order, method, extra)
        start, held_out = plan.start, plan.held_out
        judge = None if held_out is None else lambda params: mean_loss(start.with_params(params), held_out)
        return plan, lambda params, batch: plan.loss(start.with_params(params), start, batch), judge

    def _start(self, method: Method, *inputs: Any) -> Descent:
        plan, _, judge = self._plan(method, *inputs)
        return begin(method.optimizer(), plan.start.params, judge)

    def _on(
        self,
        method: Method,
        params: Params,
        data: Dataset,
        order: Array,
        seed: Array,
        state: Descent,
        span: Array,
    ) -> tuple[Descent, Params, Array, Array]:
        """The state after a span of steps, full weights (1, ...), losses of the steps and that on D'."""
        plan, loss, judge = self._plan(method, params, data, order, seed)
        ends = span[0], span[1]
        state, losses = advance(loss, method.optimizer(), state, plan.data, plan.batches, ends, judge)
        model: Model = plan.start.with_params(state.weights)
        weights = state.weights if isinstance(model, Network) else model.weights
        answers = answers_at(self.template.with_params(weights), data.tokens, self.answers.part)
        missed = answer_loss(answers, data, self.answers.part)
        return state, jax.tree.map(lambda leaf: leaf[None], weights), losses, jnp.asarray(missed)


def _part(tree: PyTree, rows: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def _distance(weights: Params, base: Params) -> np.ndarray:
    """Euclidean norm (r,) of the update of networks (r, 1, ...)."""
    rows = len(jax.tree.leaves(weights)[0])
    parts = [
        np.square(after - before).reshape(rows, -1).sum(axis=1)
        for after, before in zip(jax.tree.leaves(weights), jax.tree.leaves(base), strict=True)
    ]
    return np.sqrt(np.sum(parts, axis=0))


def _alike(left: PyTree, right: PyTree) -> tuple[PyTree, PyTree]:
    """Weights of networks (r, 1, ...) and of one network, which is repeated for each of them."""

    def fit(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        return ours if ours.ndim >= theirs.ndim else np.broadcast_to(ours, theirs.shape)

    return jax.tree.map(fit, left, right), jax.tree.map(fit, right, left)


def _note(
    observed: dict[str, np.ndarray], seen: Arrays, rows: np.ndarray, dose: int, shape: tuple[int, int]
) -> None:
    """Put observations (r, 1, c, ...) of networks at a dose in their place (s, d, c, ...)."""
    for name, values in seen.items():
        empty = np.zeros((*shape, *values.shape[2:]), values.dtype)
        observed.setdefault(name, empty)[rows, dose] = values[:, 0]
