"""Context, finetuning and steering of base networks in AddK, in nats of one belief.

Every network, finetuned or not, is asked after so many pairs of a rival and steered by so many nats towards
D's k, in its own streams but along the base network's patterns. What the stream at a question holds is not
which k but which answer, x + k, so the pattern there depends on the question; before the last block the
stream at an answer holds the evidence of its pair, and so many nats are added to every pair shown. Streams
are read, measured and forgotten.
"""

import functools
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cells.addition import (
    HeadMeasures,
    Pairs,
    Reader,
    head_measures,
    information,
    read_streams,
)
from experiments.cells.answers import AnswerPrograms
from experiments.cells.data import FinetuningData
from experiments.cells.finetuned import FinetunedPrograms
from experiments.cells.inside_parts import untrained_network
from experiments.cells.shots import Counts, Shots
from experiments.cells.steering import along, steered
from experiments.design import random_streams
from experiments.design.currencies_plan import CurrenciesPlan
from experiments.design.experiment import Arm, Experiment
from experiments.scoring.context_filter import efficiency
from experiments.storage.currencies_cell import QUESTIONS, CurrenciesCell
from models.network import Network
from theory.base import host_stream
from theory.processes.add_k import AddK


class CurrencyPrograms:
    """Networks are finetuned by the programs of other cells; reading and steering compile twice."""

    def __init__(
        self,
        experiment: Experiment,
        template: Network,
        answers: AnswerPrograms,
        finetuned: FinetunedPrograms,
        data: FinetuningData,
    ):
        assert isinstance(experiment.inside, CurrenciesPlan) and isinstance(experiment.process, AddK)
        self.experiment, self.plan, self.process = experiment, experiment.inside, experiment.process
        self.finetuned, self.data = finetuned, data

    @functools.cached_property
    def pairs(self) -> Pairs:
        """Documents of pretraining, drawn when the first cell is run."""
        key = random_streams.stream(self.experiment.seed, random_streams.PAIR_DOCUMENTS)
        return Pairs.drawn(self.process, key, self.plan.documents, self.experiment.seed)

    @functools.cached_property
    def untrained(self) -> np.ndarray:
        """Streams of a network that was never trained."""
        return read_streams(untrained_network(self.experiment), self.pairs.tokens)

    @functools.cached_property
    def asks(self) -> tuple[Shots, ...]:
        """The contexts of the grid: of the questions of D', and of those that it never asks."""
        others = [x for x in range(self.process.modulus) if x not in self.plan.questions]
        counts = [(count, 0) for count in self.plan.shots]
        return tuple(
            self._shots(index, part, counts) for index, part in enumerate((self.plan.questions, others))
        )

    @functools.cached_property
    def ahead(self) -> Shots:
        """The contexts in which the rival has one pair more than D's k."""
        most = (self.process.pairs - 2) // 2
        return self._shots(2, range(self.process.modulus), [(1 + count, count) for count in range(most + 1)])

    def _shots(
        self, index: int, questions: "range | tuple[int, ...] | list[int]", counts: list[Counts]
    ) -> Shots:
        key = random_streams.stream(self.experiment.seed, random_streams.SHOTS, index)
        return Shots.drawn(
            self.process, host_stream(key), self.plan.shift, [*questions], counts, self.plan.copies
        )

    def run(self, arm: Arm, network: Network, number: int) -> tuple[CurrenciesCell, str]:
        """The cell of a base network, and why it failed ("" if it did not); of all numbers alike."""
        experiment, pairs = self.experiment, self.pairs
        read = read_streams(network, pairs.tokens)
        evidence = np.asarray(jax.nn.softmax(pairs.evidence, axis=-1), float)
        readers = (
            Reader.of(read[:, -1], pairs.replies, pairs.questions),
            Reader.of(read[:, -2], evidence, pairs.answers),
        )
        base = self._grid(network, readers)
        shape = len(experiment.methods), experiment.seeds, 1 + len(experiment.doses)
        beliefs, wrong, weight = (np.zeros((*shape, *part.shape), np.float32) for part in base)
        finetuning = self.data.finetuning(arm, network)
        for row, method in enumerate(experiment.methods):
            params, *_ = self.finetuned.networks(method, network, finetuning)
            for seed, dose in np.ndindex(*shape[1:]):
                at = row, seed, dose
                weights = jax.tree.map(lambda leaf, s=seed, d=dose: jnp.asarray(leaf[s, d - 1]), params)
                grid = self._grid(network.with_params(weights), readers) if dose else base
                beliefs[at], wrong[at], weight[at] = grid
        measured = head_measures(pairs, network, read, readers[1])
        answers = np.asarray(network.predict(pairs.tokens), float)
        cell = CurrenciesCell(
            methods=np.array([*experiment.methods]),
            doses=np.array([0, *experiment.doses]),
            shots=np.array(self.plan.shots),
            nats=np.array(self.plan.nats),
            totals=np.array(list(dict.fromkeys(self.ahead.counts.sum(axis=1).tolist()))),
            depths=np.arange(1, 1 + experiment.shape.layers),
            price=np.array(self.process.evidence_of_a_pair),
            beliefs=beliefs,
            wrong=wrong,
            weight=weight,
            ahead=self._plain(network, self.ahead),
            information=information(pairs, read, answers, self.untrained, experiment.seed),
            **{
                field.name: np.asarray(getattr(measured, field.name), np.float32)
                for field in fields(HeadMeasures)
            },
        )
        finite = np.isfinite(cell.beliefs).all() and np.isfinite(cell.ahead).all()
        return cell, "" if finite else "Non-finite answers or streams of a network."

    def _plain(self, network: Network, shots: Shots) -> np.ndarray:
        """Mean beliefs (t, r, b) without steering."""
        return shots.mean_beliefs(self._answers(shots, np.asarray(network.predict(shots.tokens))))

    def _answers(self, shots: Shots, log_probs: np.ndarray) -> np.ndarray:
        """Of log-probabilities (..., n, t, v) those of the answers, normalised over these."""
        answers = np.asarray(shots.read(log_probs[..., self.process.answer_tokens]), float)
        return answers - np.logaddexp.reduce(answers, axis=-1, keepdims=True)

    def _grid(
        self, network: Network, readers: tuple[Reader, Reader]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean beliefs (n, w, x, q, r, b), the share of the wrong sign (w,) and K (q,) of one network."""
        beliefs, wrong, weight = [], [], []
        for shots in self.asks:
            edits = self._edits(network, shots, readers)
            answers = np.stack(
                [
                    [
                        self._answers(shots, np.asarray(steered(network, shots.tokens, x * edit)))
                        for x in self.plan.nats
                    ]
                    for edit in edits
                ]
            )  # (w, x, n, a)
            beliefs.append(shots.mean_beliefs(answers))
            ends = shots.beliefs(answers[:, [0, -1]]) @ [1.0, -1.0]
            wrong.append(np.mean((ends[:, 1] < ends[:, 0])[:, shots.counts.any(axis=1)], axis=-1))
            plain = answers[0, self.plan.nats.index(0.0)]
            weight.append(efficiency(plain[None], shots.components, shots.evidence)[0][0])
        assert len(beliefs) == len(QUESTIONS)
        # (q, w, x, n, r, b) to (n, w, x, q, r, b)
        return np.array(beliefs).transpose(3, 1, 2, 0, 4, 5), np.mean(wrong, axis=0), np.array(weight)

    def _edits(
        self, network: Network, shots: Shots, readers: tuple[Reader, Reader]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shifts (l, n, t, d) that add a nat for D's k, at the question and at every pair shown."""
        read, last = read_streams(network, shots.tokens), self.experiment.shape.layers
        rows, at = np.arange(len(shots.tokens)), np.arange(shots.tokens.shape[1])
        answer = (shots.tokens[rows, shots.positions - 1] + self.plan.shift) % self.process.modulus
        shown = (at % 2 == 0) & (at > 0) & (at < shots.positions[:, None])
        question, pairs = readers
        return (
            along(read, last, question.patterns.T[answer][:, None], 1.0),
            along(read, last - 1, pairs.patterns[:, self.plan.shift], 1.0) * shown[..., None],
        )
