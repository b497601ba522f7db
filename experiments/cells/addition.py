"""Extractor and aggregator of a base network in AddK: which stream holds what, and what its heads add up.

A pair has the evidence e(k) = log p(y | x, k); exact Bayes adds these up. The layered prediction for two
blocks: after the first, the stream at an answer holds the evidence of its pair; after the last, that at a
question holds the posterior. The stream at an answer need not hold it: the next question is uniform, and
nothing later reads it.

Positions are those of streams: 2i + 1 has read the question of pair i, 2i + 2 its answer. The heads are the
last block's. Axes: n documents, t positions, k hypotheses, l depths, a heads, d width.
"""

from dataclasses import dataclass
from typing import Any, Self

import jax
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from experiments.cells.probe_tables import Probed
from experiments.storage.currencies_cell import READ, SUMS
from models.inside import heads, streams
from models.network import Network
from theory.probes.beliefs import beliefs
from theory.probes.calibration import against_others
from theory.probes.codes import LogOdds, fit_linear, fit_log_odds
from theory.probes.scores import compare, held_out, score_numbers
from theory.probes.subspaces import covariance, normalise, pattern
from theory.processes.add_k import AddK

SHARE = 0.95  # of variance
SINKS = (-4.0, 8.0)  # log c0, between which it is fitted


@dataclass(frozen=True, eq=False)
class Pairs:
    """Documents `tokens` (n, t) with the `posterior` (n, t, k), the `evidence` of the last pair (n, t, k), 0
    where none was read to its end, and the same of a process that the networks never saw, x + y = k."""

    process: AddK
    tokens: np.ndarray
    posterior: np.ndarray
    evidence: np.ndarray
    foreign: np.ndarray
    held: np.ndarray

    @classmethod
    def drawn(cls, process: AddK, key: jax.Array, count: int, seed: int) -> Self:
        """So many documents of pretraining."""
        mixture = process.distribution()
        drawn = mixture.sample(key, count)
        tokens, table = np.asarray(drawn), process.answer_table()
        x, y = tokens[:, ::2], tokens[:, 1::2] - process.modulus
        native, other = (np.moveaxis(table[:, part, y], 0, -1) for part in (x, -x % process.modulus))
        return cls(
            process,
            tokens,
            np.asarray(beliefs(mixture, drawn), float),
            _after(native),
            _after(other),
            held_out(tokens, np.random.default_rng(seed)),
        )

    @property
    def replies(self) -> np.ndarray:
        """The posterior over answers to the question just read, x + k, (n, t, k) where a question was."""
        return self._replies(self.posterior)

    @property
    def foreign_replies(self) -> np.ndarray:
        """The same of the process x + y = k, whose answers are k - x."""
        return self._replies(softmax(np.cumsum(self.foreign, axis=1), axis=-1)[..., ::-1])

    def _replies(self, known: np.ndarray) -> np.ndarray:
        m = self.process.modulus
        question = np.repeat(self.tokens[:, ::2], 2, axis=1)[..., None]
        return np.take_along_axis(known, (np.arange(m) - question) % m, axis=-1)

    @property
    def total(self) -> np.ndarray:
        """The evidence of all pairs that were read to their end (n, t, k)."""
        return np.cumsum(self.evidence, axis=1)

    @property
    def questions(self) -> np.ndarray:
        """Positions (n, t) that have just read a question."""
        return np.broadcast_to(np.arange(self.tokens.shape[1]) % 2 == 1, self.tokens.shape)

    @property
    def answers(self) -> np.ndarray:
        """Positions (n, t) that have just read an answer."""
        return ~self.questions & (np.arange(self.tokens.shape[1]) > 0)


def _after(evidence: np.ndarray) -> np.ndarray:
    """Evidence (n, pairs, k) at the positions (n, 2 pairs, k) that have just read an answer."""
    n, pairs, k = evidence.shape
    placed = np.zeros((n, 2 * pairs, k))
    placed[:, 2::2] = evidence[:, :-1]
    return placed


def information(
    pairs: Pairs, read: np.ndarray, answers: np.ndarray, untrained: np.ndarray, seed: int
) -> np.ndarray:
    """I of streams (n, l, t, d) and all baselines (c, l, f, h), the embedding left out."""
    last, foreign = softmax(pairs.evidence, axis=-1), softmax(pairs.foreign, axis=-1)
    total = softmax(np.cumsum(pairs.foreign, axis=1), axis=-1)
    later = pairs.questions & (np.arange(pairs.tokens.shape[1]) > 1)
    cases = (
        (last, foreign, pairs.answers),
        (pairs.replies, pairs.foreign_replies, later),
        (pairs.posterior, total, later),
        (pairs.posterior, total, pairs.answers),
    )
    assert len(cases) == len(READ)
    probed = Probed(pairs.tokens, read, answers, untrained)
    tables = [probed.table(*case, lambda data: compare(data, fit_log_odds, seed)) for case in cases]
    return np.array(tables, np.float32)


@dataclass(frozen=True)
class Reader:
    """A probe of a stream at some positions, the patterns (d, k) by which each k gains a nat, and the least
    and the most log-odds of each k that it read where it was fitted, (k,)."""

    probe: LogOdds
    patterns: np.ndarray
    span: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, stream: np.ndarray, known: np.ndarray, where: np.ndarray) -> Self:
        """A reader fitted to what is `known` (n, t, k) at positions (n, t) of a stream (n, t, d)."""
        inputs = normalise(stream)[where]
        probe = fit_log_odds(inputs, known[where])
        read = _odds(probe, inputs)
        span = read.min(axis=0), read.max(axis=0)
        return cls(probe, pattern(probe.filters, covariance(inputs)), span)

    def read(self, stream: np.ndarray) -> np.ndarray:
        """Log-odds (..., k) of each k against the others in streams (..., d): what patterns add nats to."""
        return _odds(self.probe, normalise(stream))


def _odds(probe: LogOdds, inputs: np.ndarray) -> np.ndarray:
    numbers = probe.numbers(inputs)
    return np.stack([against_others(numbers, k) for k in range(numbers.shape[-1])], axis=-1)


@dataclass(frozen=True)
class HeadMeasures:
    """By head of the last block, then of all heads together, as in `CurrenciesCell`."""

    sums: np.ndarray
    sinks: np.ndarray
    attention: np.ndarray
    dimensions: np.ndarray
    frequencies: np.ndarray
    overlap: np.ndarray


def head_measures(pairs: Pairs, network: Network, read: np.ndarray, extractor: Reader) -> HeadMeasures:
    """Measures of the last block's heads at questions; `extractor` reads a pair."""
    made = heads(network, read)
    looks, writes = (
        np.asarray(part[-1], float) for part in (made.patterns, made.writes)
    )  # (a, n, t, s), (a, n, t, d)
    writes = np.concatenate([writes, writes.sum(axis=0, keepdims=True)])
    looks = np.concatenate([looks, looks.mean(axis=0, keepdims=True)])
    k, shown = pairs.process.modulus, np.maximum(np.arange(pairs.tokens.shape[1]) // 2, 1)
    total = pairs.total
    last = np.zeros_like(total)
    last[:, 1:] = pairs.evidence[:, :-1]  # of the pair before a question
    centred = [part - part.mean(axis=-1, keepdims=True) for part in (total, total / shown[:, None], last)]
    where, later = pairs.questions, pairs.questions & (np.arange(pairs.tokens.shape[1]) > 1)
    sums = np.array(
        [[score_numbers(part, write, pairs.held, later).held_out for part in centred] for write in writes]
    )
    assert sums.shape[1] == len(SUMS)
    at = np.arange(1, pairs.tokens.shape[1], 2)  # questions
    seen = np.array([[look[:, t, 2 : t + 1 : 2].sum(axis=-1).mean() for t in at] for look in looks])
    written = np.stack([_by_hypothesis(centred[0][where], write[where], k) for write in writes])  # (a, k, d)
    spectra = np.abs(np.fft.rfft(written, axis=1)[:, 1:]) ** 2
    powers = spectra.sum(axis=-1)
    variances = np.stack([np.linalg.svd(part, compute_uv=False) ** 2 for part in written])
    shares = np.cumsum(variances, axis=1) / variances.sum(axis=1, keepdims=True)
    return HeadMeasures(
        sums,
        np.array([_sink(row) for row in seen]),
        seen,
        1 + np.argmax(shares >= SHARE, axis=1),
        powers / powers.sum(axis=1, keepdims=True),
        _overlaps(network, written, extractor),
    )


def _by_hypothesis(evidence: np.ndarray, written: np.ndarray, k: int) -> np.ndarray:
    """Directions (k, d) that a nat of evidence for each k adds to the stream, less the mean over k."""
    filters = fit_linear(evidence, written).filters  # (k, d)
    assert len(filters) == k
    return filters - filters.mean(axis=0)


def _sink(seen: np.ndarray) -> float:
    """c0 of the attention (p,) on 0, 1, ... pairs, by least squares: A N/(N + c0)."""
    count = np.arange(len(seen))

    def missed(log_sink: float) -> float:
        shape = count / (count + np.exp(log_sink))
        return float(np.sum((seen - (seen @ shape) / (shape @ shape) * shape) ** 2))

    best: Any = minimize_scalar(missed, bounds=SINKS, method="bounded")
    return float(np.exp(best.x))


def _overlaps(network: Network, written: np.ndarray, extractor: Reader) -> np.ndarray:
    """Mean squared cosine of the principal angles, less that of chance, between the directions of the stream
    before the last block from which a head makes what it adds, W_OVᵀ `written`, and the filters of a pair's
    probe; nan of all heads together, which have no one map."""
    weights = network.params["blocks"][len(network.params["blocks"]) - 1]
    width = written.shape[-1]
    qkv, out = (np.asarray(weights[name]["kernel"][...], float) for name in ("attn_qkv", "out_proj"))
    values, out = qkv[2 * width :], out.T
    count = len(written) - 1
    parts = zip(np.split(values, count), np.split(out, count, axis=1), written[:-1], strict=True)
    filters, size = extractor.probe.filters, written.shape[1] - 1
    read = _span(filters - filters.mean(axis=1, keepdims=True), size)
    squares = [np.sum((_span((of @ ov).T @ part.T, size).T @ read) ** 2) for ov, of, part in parts]
    return np.append(np.array(squares) / size - size / width, np.nan)


def _span(directions: np.ndarray, size: int) -> np.ndarray:
    """An orthonormal basis of the `size` largest directions."""
    return np.linalg.svd(directions, full_matrices=False)[0][:, :size]


def read_streams(network: Network, tokens: np.ndarray) -> np.ndarray:
    """Streams (n, l, t, d) of a network."""
    return np.asarray(streams(network, tokens))
