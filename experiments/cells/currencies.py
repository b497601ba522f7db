"""Context, finetuning and steering of base networks in AddK, in nats of one belief.

Every network, finetuned or not, is asked after so many pairs of a rival and steered by so many nats towards
D's k, in its own streams but along the base network's patterns (experiments.cells.currency_edits). Networks
are also finetuned under steering, and asked without. Streams are read, measured and forgotten.
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
from experiments.cells.currency_edits import Edit, Readers, by_token, edits
from experiments.cells.data import Finetuning
from experiments.cells.head_ladders import head_ladder
from experiments.cells.head_parts import evidence_reader, parts_correction, vector_sum
from experiments.cells.inside_parts import PlanPrograms, untrained_network
from experiments.cells.prevention import PreventionPrograms
from experiments.cells.shot_examples import CONTEXTS, EXAMPLES, RIGHT, Examples, Sums, recency
from experiments.cells.shots import Counts, Shots
from experiments.cells.steering import steered
from experiments.design import random_streams
from experiments.design.currencies_plan import CurrenciesPlan
from experiments.design.experiment import Arm
from experiments.scoring.context_filter import efficiency
from experiments.storage.currencies_cell import QUESTIONS, WHERE, CurrenciesCell
from models.network import Network
from theory.base import Params, host_stream
from theory.processes.add_k import AddK


class CurrencyPrograms(PlanPrograms[CurrenciesPlan, AddK]):
    """Networks are finetuned by the programs of other cells; reading and steering compile twice."""

    @functools.cached_property
    def prevention(self) -> PreventionPrograms:
        """Programs that finetune networks under steering."""
        return PreventionPrograms(self.experiment, self.template)

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
    def asks(self) -> tuple[Shots, Shots]:
        """The contexts of the grid: of the questions of D', and of those that it never asks."""
        others = [x for x in range(self.process.modulus) if x not in self.plan.questions]
        counts = [(count, 0) for count in self.plan.shots]
        return self._shots(0, self.plan.questions, counts), self._shots(1, others, counts)

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
        grids = [np.zeros((*shape, *part.shape), np.float32) for part in base]
        finetuning = self.data.finetuning(arm, network)
        for row, method in enumerate(experiment.methods):
            params, *_ = self.finetuned.networks(method, network, finetuning)
            for seed, dose in np.ndindex(*shape[1:]):
                grid = self._grid(_at(network, params, seed, dose - 1), readers) if dose else base
                for part, values in zip(grids, grid, strict=True):
                    part[row, seed, dose] = values
        measured = head_measures(pairs, network, read, readers[1])
        ladder = head_ladder(network, self.asks, pairs.tokens, self.process.answer_tokens)
        answers = np.asarray(network.predict(pairs.tokens), float)
        cell = CurrenciesCell(
            methods=np.array([*experiment.methods]),
            doses=np.array([0, *experiment.doses]),
            shots=np.array(self.plan.shots),
            nats=np.array(self.plan.nats),
            totals=np.array(list(dict.fromkeys(self.ahead.counts.sum(axis=1).tolist()))),
            depths=self.depths,
            price=np.array(self.process.evidence_of_a_pair),
            beliefs=grids[0],
            wrong=grids[1],
            beyond=grids[2],
            weight=grids[3],
            ahead=self._plain(network, self.ahead),
            training_nats=np.array(self.plan.training_nats),
            under=self._under(network, finetuning, readers),
            information=information(pairs, read, answers, self.untrained, experiment.seed),
            kept=np.asarray(ladder.kept, np.float32),
            without=np.asarray(ladder.without, np.float32),
            **self._by_example(network),
            **{
                field.name: np.asarray(getattr(measured, field.name), np.float32)
                for field in fields(HeadMeasures)
            },
        )
        finite = np.isfinite(cell.beliefs).all() and np.isfinite(cell.ahead).all()
        return cell, "" if finite else "Non-finite answers or streams of a network."

    def _under(self, network: Network, finetuning: Finetuning, readers: Readers) -> np.ndarray:
        """Mean beliefs (m, s, d, w, z, n, q, r, b), without steering, of networks that were finetuned under
        it; at dose 0 those of the base network."""
        experiment, nats = self.experiment, np.asarray(self.plan.training_nats, np.float32)
        directions = by_token(network, readers, self.process, self.plan.shift)
        steerings = (nats[:, None, None, None] * directions[:, None]).reshape(-1, *directions.shape[1:])
        base = self._unsteered(network)
        shape = len(experiment.methods), experiment.seeds, 1 + len(experiment.doses)
        every = np.zeros((*shape, len(steerings), *base.shape), np.float32)
        for row, method in enumerate(experiment.methods):
            params = self.prevention.networks(method, network, finetuning, steerings)
            for seed, dose, steering in np.ndindex(*shape[1:], len(steerings)):
                every[row, seed, dose, steering] = (
                    self._unsteered(_at(network, params, seed, steering, dose - 1)) if dose else base
                )
        return every.reshape(*shape, len(WHERE), len(nats), *base.shape)

    def _by_example(self, network: Network) -> dict[str, np.ndarray]:
        """Whether pairs add up, example by example, and whether later ones correct earlier ones."""
        key = random_streams.stream(self.experiment.seed, random_streams.SHOT_EXAMPLES)
        random, most = host_stream(key), self.process.pairs - 1
        shown, right = ([n for n in numbers if n < most] for numbers in (EXAMPLES, RIGHT))
        contexts = [Examples.drawn(self.process, random, number, CONTEXTS) for number in shown]
        reader = evidence_reader(network, self.pairs)
        sums = [Sums.of(network, part) for part in contexts]
        return {
            "examples": np.array(shown),
            "added": np.array([part.added for part in sums], np.float32),
            "vectors": np.array([vector_sum(network, part) for part in contexts], np.float32),
            "corrected": np.array(
                [
                    (*part.corrected, parts_correction(network, examples, reader))
                    for part, examples in zip(sums, contexts, strict=True)
                ],
                np.float32,
            ),
            "right": np.array(right),
            "recency": np.array(
                [recency(network, self.process, random, number, CONTEXTS) for number in right], np.float32
            ),
        }

    def _unsteered(self, network: Network) -> np.ndarray:
        """Mean beliefs (n, q, r, b) of a network without steering."""
        return np.stack([self._plain(network, shots) for shots in self.asks], axis=1)

    def _plain(self, network: Network, shots: Shots) -> np.ndarray:
        """Mean beliefs (t, r, b) without steering."""
        return shots.mean_beliefs(self._answers(shots, np.asarray(network.predict(shots.tokens))))

    def _answers(self, shots: Shots, log_probs: np.ndarray) -> np.ndarray:
        """Of log-probabilities (..., n, t, v) those of the answers, normalised over these."""
        answers = np.asarray(shots.read(log_probs[..., self.process.answer_tokens]), float)
        return answers - np.logaddexp.reduce(answers, axis=-1, keepdims=True)

    def _grid(
        self, network: Network, readers: Readers
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean beliefs (n, w, x, q, r, b), the share of the wrong sign (w,), that of edits beyond what was
        read (w, x), and K (q,) of one network."""
        beliefs, wrong, beyond, weight = [], [], [], []
        for shots in self.asks:
            made = edits(network, shots, readers, self.process)
            answers = np.stack([self._steered(network, shots, edit) for edit in made])  # (w, x, n, a)
            beliefs.append(shots.mean_beliefs(answers))
            ends = shots.beliefs(answers[:, [0, -1]]) @ [1.0, -1.0]
            wrong.append(np.mean((ends[:, 1] < ends[:, 0])[:, shots.counts.any(axis=1)], axis=-1))
            beyond.append([[edit.beyond(x) for x in self.plan.nats] for edit in made])
            plain = answers[0, self.plan.nats.index(0.0)]
            weight.append(efficiency(plain[None], shots.components, shots.evidence)[0][0])
        assert len(beliefs) == len(QUESTIONS)
        # (q, w, x, n, r, b) to (n, w, x, q, r, b)
        swapped = np.array(beliefs).transpose(3, 1, 2, 0, 4, 5)
        return swapped, np.mean(wrong, axis=0), np.mean(beyond, axis=0), np.array(weight)

    def _steered(self, network: Network, shots: Shots, edit: Edit) -> np.ndarray:
        """Answers (x, n, a) by the nats of an edit."""
        every = [np.asarray(steered(network, shots.tokens, x * edit.shift)) for x in self.plan.nats]
        return np.stack([self._answers(shots, answers) for answers in every])


def _at(network: Network, params: Params, *index: int) -> Network:
    """The network with one of many weights."""
    return network.with_params(jax.tree.map(lambda leaf: jnp.asarray(leaf[index]), params))
