"""What the cells of a comparison meet: contexts, and D', its order and the network that writes it, if any.

A teacher is made of a base network by its arm, once for all finetuning seeds and whatever the cell, so that a
run which was killed, or divided among processes, meets the same D'.
"""

import functools
from typing import Any

import jax
import numpy as np

from experiments.design import random_streams
from experiments.design.experiment import Arm, Comparison
from experiments.storage.run_folder import Arrays
from models.network import Network
from theory.base import Dataset
from theory.compute.descent import epochs


class FinetuningData:
    """The documents of a comparison; D' is made when it is first asked for and kept as long as its run."""

    def __init__(self, comparison: Comparison):
        self.comparison = comparison

    @functools.cache  # noqa: B019
    def contexts(self, arm: Arm) -> tuple[np.ndarray, Any, Arrays]:
        """All contexts of an arm in one batch, where their answers are, and which group each is of."""
        told = arm.contexts()
        tokens = np.concatenate([np.asarray(group.tokens) for group in told.values()])
        mask = np.concatenate([np.asarray(group.mask) for group in told.values()])
        owner = np.repeat(list(told), [int(np.asarray(group.mask).sum()) for group in told.values()])
        row, position = np.nonzero(mask)
        words = np.asarray(self.comparison.process.token_names())
        groups = {
            "group": owner,
            "asked": words[tokens[row, position - 1]],
            "answers": words[self.comparison.process.answer_tokens],
        }
        return tokens, (row, position), groups

    @functools.cache  # noqa: B019
    def teacher(self, arm: Arm, source: Network) -> Network | None:
        """The network that writes an arm's D', made of the base network `source`; None where none does."""
        return arm.teacher(source) if arm.teacher else None

    def data(self, arm: Arm, source: Network) -> tuple[Dataset, np.ndarray, np.ndarray]:
        """D', its order and its twin's order for every finetuning seed, (s, ...); alike for all base networks
        `source` where no teacher is made of them."""
        return self._data(arm, source if arm.teacher else None)

    @functools.cache  # noqa: B019
    def _data(self, arm: Arm, source: Network | None) -> tuple[Dataset, np.ndarray, np.ndarray]:
        comparison = self.comparison
        teacher = [] if source is None else [self.teacher(arm, source)]

        def one(seed: int) -> Any:
            def stream(name: int) -> Any:
                return jax.random.fold_in(jax.random.fold_in(jax.random.key(comparison.seed), name), seed)

            def order(name: int) -> Any:
                return epochs(stream(name), comparison.n, arm.batch or comparison.batch, comparison.steps)

            data = arm.data(stream(random_streams.DATA), comparison.n, *teacher)
            return data, order(random_streams.ORDER), order(random_streams.REPLICA_ORDER)

        made = [one(seed) for seed in range(comparison.seeds)]
        return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *made)
