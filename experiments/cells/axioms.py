"""Axioms of Bayes: answers of networks after sequences of finetunings, by a way of finetuning.

One program a method serves every row of both stages: the start, the documents and their order are its
arguments. A stage begins with a new optimizer, new factors of LoRA and the network it starts from as the
reference of a penalty: it is the method applied to the network that it is given.
"""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells.answers import AnswerPrograms
from experiments.cells.axiom_data import FIRST, SECOND, AxiomData, Rows
from experiments.cells.data import FinetuningData
from experiments.cells.replays import extra_data
from experiments.cells.theories import TheoryPrograms
from experiments.design import random_streams
from experiments.design.experiment import Arm, Experiment
from experiments.storage.axiom_cell import AxiomCell
from experiments.storage.records import Arrays
from models.finetuning.method import Method, finetune
from models.network import Network
from theory.base import Dataset, Key, Params, at_tokens
from theory.compute.devices import ShardedMap, batch_per_device
from theory.latent.generation import continuations


class AxiomPrograms:
    """One compiled program for each way of finetuning, and one in which a base network writes."""

    def __init__(
        self,
        experiment: Experiment,
        template: Network,
        answers: AnswerPrograms,
        theories: TheoryPrograms,
        data: FinetuningData,
    ):
        assert experiment.axioms is not None
        self.experiment, self.template, self.plan = experiment, template, experiment.axioms
        self.answers, self.theories, self.finetuning = answers, theories, data
        self.data = AxiomData(experiment, data, template)
        per_device = batch_per_device(template.size)
        self.together = len(jax.devices()) * (8 if per_device is None else per_device)  # rows of a call
        self.stage = {
            name: ShardedMap(functools.partial(self._stage, method), shared=1)
            for name, method in experiment.methods.items()
        }
        self.write = jax.jit(self._write)

    def compile(self, tokens: jax.ShapeDtypeStruct, params: Params) -> None:
        """Compile the program of every method ahead of its first call."""
        experiment, count, shape = self.experiment, self.together, jax.ShapeDtypeStruct
        documents = (count, 2 * experiment.n, experiment.process.length)
        mask, numbers = shape(documents, np.bool_), shape((count,), np.int32)
        batch = experiment.arms[0].batch or experiment.batch
        order = shape((count, experiment.steps, batch), np.int32)
        rows = Rows(Dataset(shape(documents, np.int32), mask), mask, order, numbers, numbers)  # pyright: ignore
        starts = jax.tree.map(lambda leaf: shape((count, *leaf.shape), leaf.dtype), params)
        for program in self.stage.values():
            program.compile(tokens, starts, rows)

    def run(self, method: str, arm: Arm, network: Network, base: int) -> AxiomCell:
        """The cell of a method, from one base network with this number."""
        questions = self.finetuning.questions(arm)
        tokens, seeds = self.answers.padded(questions.tokens), self.experiment.seeds
        key = random_streams.stream(self.experiment.seed, random_streams.DRAWN_DOCUMENTS, base)
        rows = self.data.first(arm, np.asarray(self.write(network.params, key)))
        starts = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (rows.count, *leaf.shape)), network.params)
        halves, first, evidence = self._run(method, tokens, starts, rows)
        blocks = {name: slice(seeds * index, seeds * (index + 1)) for index, name in enumerate(FIRST)}
        starts = jax.tree.map(
            lambda leaf: np.concatenate([leaf[blocks[name]] for name in SECOND.values()]), halves
        )
        _, second, _ = self._run(method, tokens, starts, self.data.second(arm))
        half = self.experiment.doses.index(self.data.half)
        ends: Arrays = {
            name: first[inside, -1] for name, inside in blocks.items() if name not in ("rival", "taught")
        }
        ends |= {name: second[blocks[FIRST[row]], half] for row, name in enumerate(SECOND)}
        ends["drawn"] = first[seeds * len(FIRST) :, -1]
        ends = {name: questions.at(answers) for name, answers in ends.items()}
        ends["drawn_evidence"] = evidence[seeds * len(FIRST) :, questions.rows, questions.positions]
        contexts = self.theories.contexts(network, questions)
        taught = questions.at(first[blocks["taught"]])
        return AxiomCell(contexts, **ends, **self._shown(arm, network, taught))

    def _run(
        self, method: str, tokens: np.ndarray, starts: Params, rows: Rows
    ) -> tuple[Params, np.ndarray, np.ndarray]:
        """Weights after half of the steps (r, ...), answers (r, d, n, t, a) after every dose, and log p of
        what stands before each position (r, n, t) after the last, of all rows."""
        parts = []
        for begin in range(0, rows.count, self.together):
            # the last part is filled with its last row: every call has the same shape
            chosen = np.minimum(np.arange(begin, begin + self.together), rows.count - 1)
            inputs = jax.tree.map(lambda leaf, chosen=chosen: np.asarray(leaf)[chosen], (starts, rows))
            parts.append(self.stage[method](tokens, *inputs))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: rows.count], *parts)

    def _stage(
        self, method: Method, tokens: Array, params: Params, rows: Rows
    ) -> tuple[Params, Array, Array]:
        """The same of one row."""
        experiment, doses = self.experiment, self.experiment.doses
        met = Dataset(rows.data.tokens, jnp.asarray(rows.met))
        extra = extra_data(experiment, method, met, jnp.asarray(rows.seed))
        if extra.replay is not None:  # a second stage replays what the run would have replayed then
            replay = jax.tree.map(lambda leaf: jnp.roll(leaf, -rows.skipped, axis=0), extra.replay)
            extra = replace(extra, replay=replay)
        network = self.template.with_params(params)
        ends, _ = finetune(network, rows.data, jnp.asarray(rows.order), method, doses, extra)
        half = doses.index(self.data.half)
        answers = self.answers.stacked(self.template.with_params(ends), tokens)
        last = self.template.with_params(jax.tree.map(lambda leaf: leaf[-1], ends))
        chosen = at_tokens(last.predict(tokens), tokens)
        before = jnp.cumsum(chosen, axis=-1) - chosen
        return jax.tree.map(lambda leaf: leaf[half], ends), answers, before

    def _write(self, params: Params, key: Key) -> Array:
        """Documents (m, t) that a network writes from nothing."""
        empty = jnp.zeros((self.plan.documents, self.experiment.process.length), jnp.int32)
        return continuations(self.template.with_params(params), key, empty, 0)

    def _shown(self, arm: Arm, network: Network, taught: np.ndarray) -> Arrays:
        """The base network's answers with a document of D' in the context, and those finetuned on it."""
        shown = self.data.shown(arm)
        if shown is None:
            return {}
        tokens = shown.tokens.reshape(-1, shown.tokens.shape[-1])
        rows = self.answers.rows
        parts = [
            self.answers.base(network, self.answers.padded(tokens[begin : begin + rows]))
            for begin in range(0, len(tokens), rows)
        ]
        read = np.concatenate(parts)[: len(tokens), shown.position]
        return {
            "shown": read.reshape(*shown.tokens.shape[:2], -1).astype(np.float32),
            "taught": taught[:, :, shown.rows],
            "rows": shown.rows,
            "doses": np.asarray(self.experiment.doses),
            "pairs": np.asarray(shown.pairs),
        }


def axiom_failure(cell: AxiomCell) -> str:
    """The first sequence whose network stopped being finite, in a sentence; "" if none did."""
    for name in (*("ordered", "reordered", "resumed", "forward", "backward"), "pooled", "pooled_reordered"):
        if not np.isfinite(getattr(cell, name)).all():
            return f"Non-finite answers of the network {name}."
    return "" if np.isfinite(cell.drawn).all() else "Non-finite answers of networks on their own documents."
