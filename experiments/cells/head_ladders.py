"""Which heads of a block does what a network reads of pairs depend on? Ablation by mean writes, in AddK.

A head that is ablated writes, at every position, its mean over documents of pretraining. Kept are nats by
which pairs of a rival move the belief in D's k, over those of the whole network: heads are kept one after
the other, each time the one that keeps most on the questions of D', and judged on the others, so that a
choice does not judge itself. Axes: a heads and none before them, v heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from experiments.cells.shots import Shots
from experiments.scoring.additivity import log_odds, mean_change
from models.editing.head_ablation import answers_of_writes
from models.inside import heads, streams
from models.network import Network


@dataclass(frozen=True)
class HeadLadder:
    """Of every block the share of nats that the best 0, 1, ... heads keep (u, a), and that are left when one
    head is ablated (u, v)."""

    kept: np.ndarray
    without: np.ndarray


def head_ladder(
    network: Network, asks: tuple[Shots, Shots], documents: np.ndarray, answers: slice
) -> HeadLadder:
    """The ladders of a network: heads are chosen in the first contexts and judged in the second."""
    means = np.asarray(heads(network, streams(network, documents)).writes, float).mean(axis=2)  # (u, v, t, d)
    tokens = np.concatenate([part.tokens for part in asks])
    read = streams(network, tokens)
    writes = np.asarray(heads(network, read).writes, float)
    blocks = [
        _Block(network, block, np.asarray(read[:, block]), writes[block], means[block], asks, answers)
        for block in range(len(means))
    ]
    ladders = [block.ladder() for block in blocks]
    alone = [[block.kept(_all_but(block.count, head))[1] for head in range(block.count)] for block in blocks]
    return HeadLadder(np.array(ladders), np.array(alone))


def _all_but(count: int, head: int) -> list[int]:
    return [other for other in range(count) if other != head]


@dataclass(frozen=True)
class _Block:
    """A block of a network in the contexts of both kinds of questions, one after the other: the stream before
    it, what its heads write (v, n, t, d), and the mean of that (v, t, d)."""

    network: Network
    number: int
    stream: np.ndarray
    writes: np.ndarray
    means: np.ndarray
    asks: tuple[Shots, Shots]
    answers: slice

    @property
    def count(self) -> int:
        """Heads."""
        return len(self.writes)

    def ladder(self) -> list[float]:
        """The share that is kept by the best 0, 1, ... heads."""
        chosen: list[int] = []
        shares = [self.kept(chosen)[1]]
        while len(chosen) < self.count:
            others = [head for head in range(self.count) if head not in chosen]
            best = max(others, key=lambda head: np.nan_to_num(self.kept([*chosen, head])[0], nan=-np.inf))
            chosen.append(best)
            shares.append(self.kept(chosen)[1])
        return shares

    def kept(self, chosen: Sequence[int]) -> list[float]:
        """The share of nats in the contexts of either kind if these heads alone are kept."""
        return [part / full for part, full in zip(self._nats(chosen), self._whole, strict=True)]

    @cached_property
    def _whole(self) -> list[float]:
        return self._nats(range(self.count))

    def _nats(self, chosen: Sequence[int]) -> list[float]:
        """Nats that a pair of the rival takes back, by the kind of questions: mean over numbers of pairs."""
        kept = [*chosen]
        ablated = [head for head in range(self.count) if head not in kept]
        added = self.writes[kept].sum(axis=0) + self.means[ablated].sum(axis=0)
        every = np.asarray(
            answers_of_writes(self.network, self.stream, added.astype(np.float32), block=self.number),
            float,
        )[..., self.answers]
        every = every - np.logaddexp.reduce(every, axis=-1, keepdims=True)
        nats, start = [], 0
        for part in self.asks:
            end = start + len(part.tokens)
            nats.append(_nats_of_a_pair(part, every[start:end]))
            start = end
        return nats


def _nats_of_a_pair(shots: Shots, answers: np.ndarray) -> float:
    """Nats that a pair of the rival takes back, of answers (n, t, a)."""
    odds = log_odds(shots.mean_beliefs(shots.read(answers)))  # (n, r)
    counts = list(dict.fromkeys(shots.counts.sum(axis=1).tolist()))
    paid = [mean_change(odds[0], odds[row]) / count for row, count in enumerate(counts) if count]
    known = [float(value) for value in paid if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
