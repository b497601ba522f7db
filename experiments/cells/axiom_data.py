"""Finetunings that the axioms of Bayes need, as rows of one program: documents, orders and starts.

    first stage     A; A in another order; B; A and B mixed; the same in another order; one document of A;
                    documents that the base network wrote itself
    second stage    A again after h steps of A; B after A; A after B

A first stage starts from the base network; h is half of the steps of the last dose, and a second stage counts
after h steps. A and B lie in one array, A at even places, so that every row has the same shape: what a row
does not train on is masked out. Axes: r rows, n documents of A and B together, t positions, s finetuning
seeds, m documents of the base network.
"""

import functools
from dataclasses import dataclass

import jax
import numpy as np

from experiments.cells.data import FinetuningData, Questions
from experiments.design import random_streams
from experiments.design.experiment import Arm, Experiment
from experiments.scoring.axioms import judged
from experiments.scoring.labels import FITTED_ON
from models.network import Network
from theory.base import Dataset, Key
from theory.compute.descent import epochs

FIRST = ("ordered", "reordered", "rival", "pooled", "pooled_reordered", "taught")  # s rows each
SECOND = {"resumed": "ordered", "forward": "ordered", "backward": "rival"}  # s rows each, with their starts


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rows:
    """Finetunings side by side: documents `data` (r, n, t), those `met` so far bool (r, n, t), `order` (r,
    steps, batch), `seed` (r,), and `skipped` (r,), the steps of the run that went before."""

    data: Dataset
    met: np.ndarray
    order: np.ndarray
    seed: np.ndarray
    skipped: np.ndarray

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.seed)


@dataclass(frozen=True)
class Shown:
    """Questions that follow `pairs` of a document: `rows` (q,) among the contexts of an arm, where nothing is
    shown, and `tokens` (s, q, t) with a document of each D' before the question."""

    rows: np.ndarray
    tokens: np.ndarray
    pairs: int

    @property
    def position(self) -> int:
        """The place of the answer."""
        return 2 * self.pairs + 1


class AxiomData:
    """The rows of an arm, from D' as the other cells have it."""

    def __init__(self, experiment: Experiment, data: FinetuningData, template: Network):
        self.experiment, self.data, self.template = experiment, data, template
        self.half = experiment.steps // 2
        self.mask = np.asarray(experiment.process.answer_mask())

    @property
    def pairs(self) -> int:
        """Pairs that can be shown before a question; 0 where documents are not pairs of question and
        answer."""
        length = len(self.mask)
        return length // 2 - 1 if np.array_equal(self.mask, np.arange(length) % 2 == 1) else 0

    def first(self, arm: Arm, documents: np.ndarray) -> Rows:
        """The first stage; `documents` (m, t) are those of the base network."""
        orders, pool = self._orders(arm), self._pool(arm)
        narrow = np.arange(2 * self.experiment.n) % 2 == 0
        every = np.ones_like(narrow)
        blocks = [
            self._block(pool, narrow, orders["ordered"]),
            self._block(pool, narrow, orders["reordered"]),
            self._block(pool, ~narrow, orders["rival"]),
            self._block(pool, every, orders["pooled"]),
            self._block(pool, every, orders["pooled_reordered"]),
            self._single(np.asarray(pool.tokens)[:, 0], np.arange(len(self.mask)) < 2 * self.pairs),
            self._single(documents, np.ones(len(self.mask), bool)),
        ]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *blocks)

    def second(self, arm: Arm) -> Rows:
        """The second stage, in the order of `SECOND`."""
        orders, pool = self._orders(arm), self._pool(arm)
        narrow = np.arange(2 * self.experiment.n) % 2 == 0
        resumed = np.roll(orders["ordered"], -self.half, axis=1)
        every = np.ones_like(narrow)
        blocks = [
            self._block(pool, narrow, resumed, self.half),
            self._block(pool, ~narrow, orders["rival"], self.half, every),
            self._block(pool, narrow, orders["ordered"], self.half, every),
        ]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *blocks)

    def shown(self, arm: Arm) -> Shown | None:
        """Every question of the arm that comes first, after a document of D'; None where none can."""
        if not self.pairs:
            return None
        questions, before = self.data.questions(arm), 2 * self.pairs
        outside = judged([*dict.fromkeys(questions.group.tolist())])
        first: dict[tuple[str, int], int] = {}
        for row, (group, question) in enumerate(_first_questions(questions)):
            if question is not None and group in (FITTED_ON, outside):
                first.setdefault((group, question), row)
        documents = np.asarray(self._pool(arm).tokens)[:, 0]  # (s, t)
        tokens = np.zeros((len(documents), len(first), documents.shape[1]), np.int32)
        tokens[:, :, :before] = documents[:, None, :before]
        tokens[:, :, before] = [question for _, question in first]
        return Shown(np.array([*first.values()]), tokens, self.pairs)

    @functools.cache  # noqa: B019
    def _pool(self, arm: Arm) -> Dataset:
        """A and B of every seed, (s, 2n, t), in turn."""
        assert arm.rival is not None
        experiment = self.experiment
        ours = self.data.finetuning(arm, self.template).data
        drawn = [
            arm.rival.data(self._stream(random_streams.RIVAL_DATA, seed), experiment.n)
            for seed in range(experiment.seeds)
        ]
        theirs = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *drawn)

        def in_turn(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            return np.stack([left, right], axis=2).reshape(len(left), -1, left.shape[-1])

        return jax.tree.map(in_turn, ours, theirs)

    @functools.cache  # noqa: B019
    def _orders(self, arm: Arm) -> dict[str, np.ndarray]:
        """Rows of the pool that every step meets, (s, steps, batch)."""
        experiment = self.experiment
        batch, steps = arm.batch or experiment.batch, experiment.steps
        finetuning = self.data.finetuning(arm, self.template)

        def order(number: int, n: int) -> np.ndarray:
            keys = (self._stream(number, seed) for seed in range(experiment.seeds))
            return np.stack([np.asarray(epochs(key, n, batch, steps)) for key in keys])

        return {
            "ordered": 2 * finetuning.order,
            "reordered": 2 * finetuning.replica_order,
            "rival": 2 * order(random_streams.RIVAL_ORDER, experiment.n) + 1,
            "pooled": order(random_streams.POOLED_ORDER, 2 * experiment.n),
            "pooled_reordered": order(random_streams.POOLED_REPLICA_ORDER, 2 * experiment.n),
        }

    def _block(
        self,
        pool: Dataset,
        trained: np.ndarray,
        order: np.ndarray,
        skipped: int = 0,
        met: np.ndarray | None = None,
    ) -> Rows:
        """A row a seed, trained on the documents `trained` (2n,) of the pool."""
        counted = np.asarray(pool.mask)
        known = counted & (trained if met is None else met)[:, None]
        seeds = np.arange(len(order), dtype=np.int32)
        data = Dataset(np.asarray(pool.tokens), counted & trained[:, None])
        return Rows(data, known, order.astype(np.int32), seeds, np.full_like(seeds, skipped))

    def _single(self, documents: np.ndarray, positions: np.ndarray) -> Rows:
        """A row for each document (m, t), which alone is met, over and over; `positions` (t,) count."""
        experiment, count = self.experiment, len(documents)
        tokens = np.zeros((count, 2 * experiment.n, documents.shape[1]), np.int32)
        tokens[:, 0] = documents
        counted = np.zeros(tokens.shape, bool)
        counted[:, 0] = self.mask & positions if (self.mask & positions).any() else self.mask
        order = np.zeros((count, experiment.steps, experiment.batch), np.int32)
        seeds = np.arange(count, dtype=np.int32) % experiment.seeds
        return Rows(Dataset(tokens, counted), counted, order, seeds, np.zeros_like(seeds))

    def _stream(self, number: int, seed: int) -> Key:
        return random_streams.stream(self.experiment.seed, number, seed)


def _first_questions(questions: Questions) -> list[tuple[str, int | None]]:
    """The group of every context and its question, None where something stands before that."""
    tokens = questions.tokens[questions.rows, questions.positions - 1]
    return [
        (group, int(token) if position == 1 else None)
        for group, token, position in zip(
            questions.group.tolist(), tokens, questions.positions.tolist(), strict=True
        )
    ]
