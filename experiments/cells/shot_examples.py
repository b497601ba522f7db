"""Sums over examples in AddK: log-odds after each pair alone, and corrections of earlier pairs by later ones.

Contexts are of pretraining: N pairs of a hidden k, some of them wrong, and a question. Every context is also
asked with each of its pairs alone, with none, and without its first or its last. z are log-odds of k against
r in answers, exactly inverted, where both are resolved (`experiments.scoring.additivity.LEAST`).

    sum          y = z(all) - z(none) against x = Σ_i [z(i alone) - z(none)]: slope of y on x, and the share
                 of y that x has, 1 - Σ (y - x)²/Σ y². Exact Bayes: 1 and 1. Beside it the slope on Σ e_i, the
                 exact evidence, and the share of log-odds that are resolved
    correction   contribution of pair i, z(all) - z(without i), less what its evidence explains of it; error
                 of the sum without it, z(without i) - exact, less what the exact sum explains of it. Their
                 correlation is below 0 where a pair makes good what the others got wrong. An error that is
                 new in every context makes it negative as well, for any i alike: so that of the last pair
                 stands beside that of the first. Exact Bayes has no error
    recency      one pair of a wrong k and c of the right one: log-odds of the right one if the wrong pair
                 came first, less those if it came last. Exact Bayes: 0; above 0 later pairs correct earlier
                 ones

Axes: e numbers of pairs N, n contexts, i pairs, k hypotheses, a answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from experiments.scoring.additivity import LEAST
from models.network import Network
from theory.probes.codes import fit_linear
from theory.processes.add_k import AddK

EXAMPLES = (2, 3, 4, 6)  # numbers of pairs
RIGHT = (1, 2, 3)  # pairs of the right k beside a wrong one
CONTEXTS = 150  # of every number of pairs
FEWEST = 20  # resolved log-odds of a number


@dataclass(frozen=True, eq=False)
class Examples:
    """Contexts: `pairs` (n, i, 2) of x and y shown, and the question `asks` (n,)."""

    process: AddK
    pairs: Int[np.ndarray, "n i 2"]
    asks: Int[np.ndarray, " n"]

    @classmethod
    def drawn(cls, process: AddK, random: np.random.Generator, shown: int, count: int) -> "Examples":
        """So many pairs of a k of the prior, as pretraining has them, and a question."""
        m = process.modulus
        chances = np.exp(np.asarray(process.distribution().log_weights, float))
        hidden = random.choice(m, count, p=chances / chances.sum())
        x, asks = random.integers(0, m, (count, shown)), random.integers(0, m, count)
        wrong = (random.random(x.shape) < process.noise) * random.integers(1, m, x.shape)
        return cls(process, np.stack([x, (x + hidden[:, None] + wrong) % m], axis=-1), asks)

    def of(self, kept: Sequence[int]) -> "Examples":
        """The same questions after some of the pairs, in this order."""
        return Examples(self.process, self.pairs[:, list(kept)], self.asks)

    @property
    def tokens(self) -> Int[np.ndarray, "n t"]:
        """Documents with the pairs and then the question."""
        shown, m = self.pairs.shape[1], self.process.modulus
        tokens = np.zeros((len(self.asks), self.process.length), np.int32)
        tokens[:, : 2 * shown : 2], tokens[:, 1 : 2 * shown : 2] = self.pairs[..., 0], self.pairs[..., 1] + m
        tokens[:, 2 * shown] = self.asks
        return tokens

    @property
    def position(self) -> int:
        """Position at which the answer to the question is predicted."""
        return 2 * self.pairs.shape[1] + 1

    @property
    def evidence(self) -> Float[np.ndarray, "n i k"]:
        """log p(y | x, k) of every pair, less the mean over k."""
        table = self.process.answer_table()[:, self.pairs[..., 0], self.pairs[..., 1]]
        return np.moveaxis(table - table.mean(axis=0), 0, -1)

    def log_weights(self, answers: Float[np.ndarray, "n a"]) -> Float[np.ndarray, "n k"]:
        """log w_k of answers Σ_k w_k p_k; nan where a weight is not resolved."""
        mixing = np.exp(self.process.answer_table()[:, self.asks])  # (k, n, a)
        weights = np.einsum("na,nak->nk", np.exp(answers), np.linalg.inv(mixing.swapaxes(0, 1)))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(np.where(weights < LEAST, np.nan, weights))


def answered_weights(network: Network, examples: Examples) -> Float[np.ndarray, "n k"]:
    """log w_k of a network's answers."""
    part = examples.process.answer_tokens
    answers = np.asarray(network.predict(examples.tokens), float)[:, examples.position, part]
    return examples.log_weights(answers - np.logaddexp.reduce(answers, axis=-1, keepdims=True))


@dataclass(frozen=True)
class Sums:
    """As in the docstring: slope, share, slope on the exact evidence and resolved share; correlations of the
    last pair and of the first."""

    added: tuple[float, float, float, float]
    corrected: tuple[float, float]

    @classmethod
    def of(cls, network: Network, examples: Examples) -> "Sums":
        """Of a network in contexts of one number of pairs; nan where too little is resolved."""
        shown = examples.pairs.shape[1]
        whole, none = answered_weights(network, examples), answered_weights(network, examples.of(()))
        alone = np.stack([answered_weights(network, examples.of([i])) for i in range(shown)])  # (i, n, k)
        evidence = examples.evidence
        odds = _against(whole - none)
        parts = _against((alone - none).sum(axis=0))
        exact = _against(evidence.sum(axis=1))
        known = np.isfinite(odds) & np.isfinite(parts)
        added = np.nan, np.nan, np.nan, float(known.mean())
        if known.sum() >= FEWEST:
            y, x, e = odds[known], parts[known], exact[known]
            added = _slope(x, y), 1 - float(np.sum((y - x) ** 2) / np.sum(y**2)), _slope(e, y), added[3]
        prior = np.asarray(examples.process.distribution().log_weights, float)
        corrected = []
        for pair in (shown - 1, 0):
            others = [i for i in range(shown) if i != pair]
            without, exact_without = (
                answered_weights(network, examples.of(others)),
                prior + evidence[:, others].sum(axis=1),
            )
            gains = _against(whole - without), _against(evidence[:, pair])
            errors = _against(without - exact_without), _against(exact_without)
            corrected.append(correlation(gains, errors))
        return cls(added, (corrected[0], corrected[1]))


def correlation(gains: tuple[np.ndarray, np.ndarray], errors: tuple[np.ndarray, np.ndarray]) -> float:
    """The correlation of contributions and errors, each less what is linear in its exact counterpart; nan
    where too little is resolved, or nothing is left of one."""
    known = np.isfinite(gains[0]) & np.isfinite(errors[0])
    if known.sum() < FEWEST:
        return float("nan")
    left = []
    for part, exact in (gains, errors):
        explained = fit_linear(exact[known][:, None], part[known][:, None], 1e-9)
        left.append(part[known] - explained.predict(exact[known][:, None])[:, 0])
    first, second = left
    size = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.sum(first * second) / size) if size > 1e-9 * known.sum() else float("nan")


def recency(network: Network, process: AddK, random: np.random.Generator, right: int, count: int) -> float:
    """Nats of the right k against that of a wrong pair, if this came first, less if it came last."""
    m = process.modulus
    hidden, x = random.integers(0, m, count), random.integers(0, m, (count, 1 + right))
    wrong = (hidden + random.integers(1, m, count)) % m
    shown = np.concatenate([wrong[:, None], np.repeat(hidden[:, None], right, axis=1)], axis=1)
    examples = Examples(process, np.stack([x, (x + shown) % m], axis=-1), random.integers(0, m, count))
    first, last = (
        answered_weights(network, examples.of(order))
        for order in (range(1 + right), [*range(1, 1 + right), 0])
    )
    rows = np.arange(count)
    gains = (first - last)[rows, hidden] - (first - last)[rows, wrong]
    known = gains[np.isfinite(gains)]
    return float(known.mean()) if len(known) >= FEWEST else float("nan")


def _against(numbers: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n r"]:
    """Differences of all pairs of hypotheses, each once."""
    first, second = np.triu_indices(numbers.shape[-1], 1)
    return numbers[..., first] - numbers[..., second]


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum(x * y) / np.sum(x**2))
