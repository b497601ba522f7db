"""The data of cells: contexts, and D', its order and the network that writes it, if any.

A teacher is made of a base network by its arm, once for all finetuning seeds and whatever the cell, so that a
run which was killed, or divided among processes, meets the same D'.
"""

import functools
from dataclasses import dataclass

import jax
import numpy as np

from experiments.design import random_streams
from experiments.design.experiment import Arm, Experiment
from experiments.scoring.labels import FITTED_ON
from models.network import Network
from theory.base import Dataset, Key
from theory.compute.descent import epochs


@dataclass(frozen=True)
class Questions:
    """All contexts of an arm in one batch `tokens` (n, t), with the answers to compare at (`rows`,
    `positions`),
    each (c,), the `group` and the token before (`questions`) of each, and the names of all `answers` (a,)."""

    tokens: np.ndarray
    rows: np.ndarray
    positions: np.ndarray
    group: np.ndarray
    questions: np.ndarray
    answers: np.ndarray

    def at(self, log_probs: np.ndarray) -> np.ndarray:
        """Of log-probabilities (..., n, t, a) those of the answers, (..., c, a)."""
        return np.asarray(log_probs)[..., self.rows, self.positions, :].astype(np.float32)

    def calibration(self, fit_on: str) -> np.ndarray:
        """Bool (c,): the contexts on which strengths are fitted, those of "in_domain": "all" of them, or the
        "first" answer of each document alone.

        Before a first answer the exact process knows of the hypothesis what the question says and no more;
        before later ones it has inferred it from earlier answers, which a network learns but in part.
        """
        first = np.diff(self.rows, prepend=-1) > 0  # answers stand in the order of rows, then of positions
        return (self.group == FITTED_ON) & (first | (fit_on == "all"))

    def mask(self, rows: int) -> np.ndarray:
        """Bool (rows, t): where the answers are, in a batch padded to `rows`."""
        mask = np.zeros((rows, self.tokens.shape[1]), bool)
        mask[self.rows, self.positions] = True
        return mask


@dataclass(frozen=True)
class Finetuning:
    """D' of every finetuning seed (s, n, t), the order of its documents and that of its replica (s, steps,
    batch)."""

    data: Dataset
    order: np.ndarray
    replica_order: np.ndarray

    def padded(self, n: int) -> Dataset:
        """D' and after it documents that no order meets and of which nothing counts, n in all: one program
        then serves D' of every size."""
        more = n - self.data.tokens.shape[1]
        return jax.tree.map(lambda leaf: np.pad(leaf, ((0, 0), (0, more), (0, 0))), self.data)


class FinetuningData:
    """The documents of an experiment; D' is drawn when it is first asked for and kept as long as its run."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment

    @functools.cache  # noqa: B019
    def questions(self, arm: Arm) -> Questions:
        """All contexts of an arm in one batch."""
        groups = self.experiment.contexts(arm)
        tokens = np.concatenate([np.asarray(group.tokens) for group in groups.values()])
        mask = np.concatenate([np.asarray(group.mask) for group in groups.values()])
        counts = [int(np.asarray(group.mask).sum()) for group in groups.values()]
        rows, positions = np.nonzero(mask)
        names = np.asarray(self.experiment.process.token_names())
        return Questions(
            tokens,
            rows,
            positions,
            np.repeat(list(groups), counts),
            names[tokens[rows, positions - 1]],
            names[self.experiment.process.answer_tokens],
        )

    @functools.cache  # noqa: B019
    def teacher(self, arm: Arm, source: Network) -> Network | None:
        """The network that writes an arm's D', made of the base network `source`; None where none does."""
        return arm.teacher(source) if arm.teacher else None

    def finetuning(self, arm: Arm, source: Network) -> Finetuning:
        """D' and its orders; alike for all base networks `source` where no teacher is made of them."""
        return self._finetuning(arm, source if arm.teacher else None)

    @functools.cache  # noqa: B019
    def _finetuning(self, arm: Arm, source: Network | None) -> Finetuning:
        experiment = self.experiment
        teacher = [] if source is None else [self.teacher(arm, source)]

        def stream(number: int, seed: int) -> Key:
            return random_streams.stream(experiment.seed, number, seed)

        def order(number: int) -> np.ndarray:
            batch, steps = arm.batch or experiment.batch, experiment.steps
            return np.stack([np.asarray(epochs(stream(number, seed), n, batch, steps)) for seed in seeds])

        n, seeds = arm.n or experiment.n, range(experiment.seeds)
        data = [arm.task.data(stream(random_streams.DATA, seed), n, *teacher) for seed in seeds]
        return Finetuning(
            jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *data),
            order(random_streams.ORDER),
            order(random_streams.REPLICA_ORDER),
        )
