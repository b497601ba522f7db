"""Pages of the line-break process, drawn once: columns, past lines and exact answers at every position.

A position has read the tokens before it. Its column c counts the characters on the line so far; a past line's
length is the column at which its newline came. Statistics of the past lines at a position:

    exact           the exact log-odds of a newline
    mean            the exact posterior mean of the width
    maximum         the longest past line
    moving average  m <- (1 - a) m + a length; a is one of `RATES`, the best for each network
    last line       the length of the last one
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from experiments.design import random_streams
from experiments.design.experiment import Experiment
from theory.errors import Misuse
from theory.probes.beliefs import beliefs
from theory.probes.binned import explained_beyond, quantile_bins
from theory.probes.curves import FEWEST, Curve, longest_run
from theory.probes.scores import held_out
from theory.processes.linebreak import LineBreak

RATES = (0.25, 0.5, 0.75)
LINES = 3  # past lines from which on the statistics differ
BINS = 16
SWAPS, FARTHEST = 3, 8  # substitutions a document, and by how many columns at most
HORIZON = 3  # tokens within which a newline may come, of what prediction needs
ANSWERS = 5  # positions of a mean of a network's own numbers


@dataclass(frozen=True, eq=False)
class Pages:
    """Documents (n, t) with log-probabilities `exact` (n, t, v) and the posterior over widths `beliefs`
    (n, t, k). `column` (n, t); `word`, where the last token was a word; `ended`, the length of the line that
    the last token ended, else 0; `lines`, how many are past; `statistics` (u, n, t), those of rates last;
    documents `held` (n,) are for scores."""

    process: LineBreak
    tokens: np.ndarray
    exact: np.ndarray
    beliefs: np.ndarray
    column: np.ndarray
    word: np.ndarray
    ended: np.ndarray
    lines: np.ndarray
    statistics: np.ndarray
    held: np.ndarray
    seed: int

    @classmethod
    def drawn(cls, experiment: Experiment, documents: int) -> "Pages":
        """The pages of an experiment."""
        process = experiment.process
        assert isinstance(process, LineBreak)
        mixture = process.distribution()
        key = random_streams.stream(experiment.seed, random_streams.PAGES)
        drawn = mixture.sample(key, documents)
        tokens, exact = np.asarray(drawn), np.asarray(mixture.predict(drawn), float)
        posterior = np.asarray(beliefs(mixture, drawn), float)
        column, ended = columns(tokens, process)
        past = past_lines(ended)
        mean = posterior @ np.asarray(process.widths, float)
        statistics = np.stack([newline_log_odds(exact), mean, *past])
        return cls(
            process,
            tokens,
            exact,
            posterior,
            column,
            column > 0,
            ended,
            np.cumsum(ended > 0, axis=1),
            statistics,
            held_out(tokens, np.random.default_rng(experiment.seed)),
            experiment.seed,
        )

    def check(self, least: int) -> None:
        """Refuse so many positions at least that too few columns, or lengths of lines, have them."""
        parts = (("columns", self.fitted, self.column), ("lengths of lines", self.newlines, self.ended))
        for name, rows, numbers in parts:
            count = len(longest_run(numbers[rows], least))
            if count < FEWEST:
                raise Misuse(
                    f"least must leave {FEWEST} {name} in a row with so many positions, got {least}, which "
                    f"{count} have in {len(self.tokens)} documents; ask for fewer, or for more documents."
                )

    @cached_property
    def fitted(self) -> np.ndarray:
        """Positions (n, t) after a word, of documents that are not held out."""
        return self.word & ~self.held[:, None]

    @cached_property
    def scored(self) -> np.ndarray:
        """Positions (n, t) after a word, of documents that are."""
        return self.word & self.held[:, None]

    @cached_property
    def newlines(self) -> np.ndarray:
        """Positions (n, t) after a newline, of documents that are not held out."""
        return (self.ended > 0) & ~self.held[:, None]

    @cached_property
    def breaks(self) -> np.ndarray:
        """Probability of a newline by column and width, (c, k)."""
        return newline_within(self.process, int(self.column.max()) + FARTHEST)[0]

    def used(self, log_odds: np.ndarray) -> list[float]:
        """The share of log-odds (n, t) of a newline that each statistic explains beyond the column."""
        rows = self.word & (self.lines >= LINES)
        fitted = ~np.broadcast_to(self.held[:, None], rows.shape)[rows]
        shares = [
            explained_beyond(log_odds[rows], self.column[rows], bins, fitted)
            for bins in (quantile_bins(part[rows], fitted, BINS) for part in self.statistics)
        ]
        return [*shares[:3], max(shares[4:]), shares[3]]

    @cached_property
    def swaps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of held documents, positions after a word and past a line, and how far its column is moved,
        each (s, n): a line that is as long is seen in pretraining."""
        random, held = np.random.default_rng(self.seed), np.flatnonzero(self.held)
        values = np.arange(1, max(self.process.widths) + 1)
        drawn = []
        for row in np.tile(held, SWAPS):
            allowed = np.flatnonzero(
                self.word[row] & (self.lines[row] > 0) & (self.column[row] <= values[-1])
            )
            position = int(random.choice(allowed)) if len(allowed) else 0
            ahead = values - self.column[row, position]
            ahead = ahead[(ahead != 0) & (abs(ahead) <= FARTHEST)]
            drawn.append((row, position, int(random.choice(ahead))))
        rows, positions, moves = np.array(drawn).T.reshape(3, SWAPS, len(held))
        return rows, positions, moves

    def natural(self, values: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Changes (s, n) of a network's own numbers (n, t) with the column, in place of every substitution:
        their means at the other column less those at this one, where the width is known as well, over
        `positions` (n, t; default: the fitted); nan where pages have none like it."""
        chosen = self.fitted if positions is None else positions
        rows, at, moves = self.swaps
        most = 1 + self.column.max() + abs(moves).max()
        key = np.rint(self.statistics[1]).astype(int) * most + self.column
        counts = np.bincount(key[chosen], minlength=key.max() + most)
        sums = np.bincount(key[chosen], values[chosen], len(counts))
        with np.errstate(invalid="ignore", divide="ignore"):
            table = np.where(counts >= ANSWERS, sums / counts, np.nan)
        here = key[rows, at]
        return table[here + moves] - table[here]


def newline_within(process: LineBreak, last: int) -> list[np.ndarray]:
    """Probability of a newline within 1, 2 ... `HORIZON` tokens by column, 0 to `last`, and width."""
    lengths = np.asarray(process.lengths)
    most = last + 1 + HORIZON * int(lengths.max())
    after = np.arange(most)[:, None] + lengths
    long = after[..., None] > np.asarray(process.widths)
    chance = np.where(long, 1 - process.noise, process.noise)
    every = [chance.mean(axis=1)]
    for _ in range(HORIZON - 1):
        later = every[-1][np.minimum(after, most - 1)]  # beyond the last columns every line is too long
        every.append((chance + (1 - chance) * later).mean(axis=1))
    return [part[: last + 1] for part in every]


def needed(process: LineBreak, values: np.ndarray) -> Curve:
    """The curve of what prediction needs of a column: newlines within 1 to `HORIZON`, at every width."""
    within = newline_within(process, int(values[-1]))
    return Curve(values, np.concatenate([part[values] for part in within], axis=1))


def columns(tokens: np.ndarray, process: LineBreak) -> tuple[np.ndarray, np.ndarray]:
    """Characters on the line before each token, and the length of the line that the last token ended, or 0,
    each (n, t)."""
    ends = tokens == process.newline
    written = np.cumsum(np.append(process.lengths, 0)[tokens], axis=1)
    start = np.maximum.accumulate(np.where(ends, written, 0), axis=1)
    before = np.pad(written - start, ((0, 0), (1, 0)))[:, :-1]
    ended = np.pad(np.where(ends, before, 0), ((0, 0), (1, 0)))[:, :-1]
    return before, ended


def past_lines(ended: np.ndarray) -> list[np.ndarray]:
    """The longest past line, the last one, and moving averages of every rate, each (n, t); 0 before any."""
    longest = np.maximum.accumulate(ended, axis=1)
    last, averages = np.zeros_like(ended), [np.zeros(ended.shape) for _ in RATES]
    for t in range(ended.shape[1]):
        new, old = ended[:, t], last[:, t - 1] if t else np.zeros(len(ended), int)
        last[:, t] = np.where(new > 0, new, old)
        for rate, average in zip(RATES, averages, strict=True):
            before = average[:, t - 1] if t else np.zeros(len(ended))
            moved = np.where(before > 0, (1 - rate) * before + rate * new, new)
            average[:, t] = np.where(new > 0, moved, before)
    return [longest, last, *averages]


def newline_log_odds(log_probs: np.ndarray) -> np.ndarray:
    """Log-odds (nats) of a newline, the last token, of log-probabilities (..., v); 0 where it cannot come."""
    newline, words = log_probs[..., -1], logsumexp(log_probs[..., :-1], axis=-1)
    return np.where(np.isfinite(newline), newline, words) - words
