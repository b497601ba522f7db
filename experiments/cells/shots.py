"""Contexts of AddK with so many pairs of a rival and of D's k, and the beliefs in both that answers tell of.

    w = Σ_k w_k p_k inverted: log w_k - log w_r of answers is the log-odds of exact Bayes, and has no bounds

Every question is asked after the pairs of each rival in turn. Pairs hold no mistake and never the question
asked; rows differ in nothing but the pairs that are shown. Axes: n contexts, t tokens, k hypotheses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from theory.latent.mixture import Mixture
from theory.processes.add_k import AddK

Counts = tuple[int, int]  # pairs of the rival, and of D's k


@dataclass(frozen=True, eq=False)
class Shots:
    """Contexts `tokens` (n, t) whose answer is read at `positions` (n,), after `counts` (n, 2) pairs of the
    `rivals` (n,) and of the `shift`, with the exact answers of every k, `components` (k, n, a), and
    `evidence` (k, n) in nats."""

    tokens: np.ndarray
    positions: np.ndarray
    rivals: np.ndarray
    counts: np.ndarray
    shift: int
    components: np.ndarray
    evidence: np.ndarray

    @classmethod
    def drawn(
        cls,
        process: AddK,
        random: np.random.Generator,
        shift: int,
        questions: Sequence[int],
        counts: Sequence[Counts],
        copies: int = 1,
    ) -> Self:
        """Every question after every number of pairs of every rival, `copies` times."""
        m, rivals = process.modulus, np.delete(np.arange(process.modulus), shift)
        query, rival = (part.ravel() for part in np.meshgrid(np.repeat(questions, copies), rivals))
        away = random.integers(1, m, (len(query), process.pairs - 1))
        order = random.permuted(np.tile(np.arange(process.pairs - 1), (len(query), 1)), axis=1)
        tokens = np.zeros((len(counts), len(query), process.length), np.int32)
        for row, (of_rival, of_shift) in zip(tokens, counts, strict=True):
            shown = of_rival + of_shift
            hidden = np.where(order[:, :shown].argsort(axis=1) < of_rival, rival[:, None], shift)
            asks = (query[:, None] + away[:, :shown]) % m
            row[:, : 2 * shown : 2] = asks
            row[:, 1 : 2 * shown : 2] = (asks + hidden) % m + m
            row[:, 2 * shown] = query
        positions = np.repeat([2 * sum(count) + 1 for count in counts], len(query))
        return cls._of(
            process,
            tokens.reshape(-1, process.length),
            positions,
            np.tile(rival, len(counts)),
            np.repeat(np.array(counts), len(query), axis=0),
            shift,
        )

    @classmethod
    def _of(
        cls,
        process: AddK,
        tokens: np.ndarray,
        positions: np.ndarray,
        rivals: np.ndarray,
        counts: np.ndarray,
        shift: int,
    ) -> Self:
        mixture: Mixture = process.distribution()
        rows = np.arange(len(tokens))
        answers = np.asarray(mixture.component_log_probs(tokens), float)[:, rows, positions]
        evidence = np.asarray(mixture.evidence(tokens), float)[:, rows, positions]
        return cls(tokens, positions, rivals, counts, shift, answers[..., process.answer_tokens], evidence)

    def read(self, answers: np.ndarray) -> np.ndarray:
        """Of answers (..., n, t, a) those that are asked for, (..., n, a)."""
        return answers[..., np.arange(len(self.tokens)), self.positions, :]

    def beliefs(self, answers: np.ndarray) -> np.ndarray:
        """Weights (..., n, 2) of D's k and of the rival in answers (..., n, a); below 0 where an answer is
        less likely than no hypothesis would have it."""
        inverse = np.linalg.inv(np.exp(self.components).swapaxes(0, 1))  # (n, a, k)
        weights = np.einsum("...na,nak->...nk", np.exp(np.asarray(answers, float)), inverse)
        rivals = np.broadcast_to(self.rivals[:, None], (*weights.shape[:-1], 1))
        return np.concatenate([weights[..., [self.shift]], np.take_along_axis(weights, rivals, -1)], axis=-1)

    def mean_beliefs(self, answers: np.ndarray) -> np.ndarray:
        """`beliefs`, the mean over questions: (..., counts, rivals, 2), both in the order of the contexts."""
        counts, rivals = (
            list(dict.fromkeys(part)) for part in (map(tuple, self.counts.tolist()), self.rivals)
        )
        weights = self.beliefs(answers)
        masks = [
            [(self.counts == count).all(axis=1) & (self.rivals == rival) for rival in rivals]
            for count in counts
        ]
        means = [np.stack([weights[..., mask, :].mean(axis=-2) for mask in row], axis=-2) for row in masks]
        return np.stack(means, axis=-3)
