"""A network read on pages: its curves of the column, its heads at newlines, and substitutions of columns."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from experiments.cells.pages import Pages, newline_log_odds
from experiments.cells.steering import steered
from models.inside import query_keys, streams
from models.network import Network
from theory.probes.codes import Linear, fit_linear, r_squared
from theory.probes.curves import Curve, fit_helix
from theory.probes.subspaces import covariance, normalise, sizes
from theory.probes.twist import Difference, cosines


@dataclass(frozen=True, eq=False)
class CurveReading:
    """Streams (n, l, t, d) with the embedding, log-odds (n, t) of a newline; at every depth the curve of the
    column after words, at one belief over widths (long columns come with wide pages), and that of the length
    of a line after its newline."""

    network: Network
    pages: Pages
    streams: np.ndarray
    log_odds: np.ndarray
    curves: tuple[Curve, ...]
    lengths: tuple[Curve, ...]

    @classmethod
    def of(cls, network: Network, pages: Pages, least: int) -> "CurveReading":
        """Forth twice, once for streams and once for answers."""
        read, answers = np.asarray(streams(network, pages.tokens)), np.asarray(network.predict(pages.tokens))

        def curves(rows: np.ndarray, numbers: np.ndarray, equal: np.ndarray | None) -> tuple[Curve, ...]:
            return tuple(
                Curve.of(normalise(part[rows]), numbers[rows], least, equal) for part in read.swapaxes(0, 1)
            )

        return cls(
            network,
            pages,
            read,
            newline_log_odds(answers.astype(float)),
            curves(pages.fitted, pages.column, pages.beliefs[pages.fitted]),
            curves(pages.newlines, pages.ended, None),
        )

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the network are."""
        return bool(np.isfinite(self.streams).all() and np.isfinite(self.log_odds).all())

    @cached_property
    def probes(self) -> tuple[Linear, ...]:
        """The column, linear in the normalised stream after every block."""
        rows = self.pages.fitted
        targets = self.pages.column[rows][:, None].astype(float)
        return tuple(
            fit_linear(normalise(self.streams[:, depth][rows]), targets)
            for depth in range(1, self.streams.shape[1])
        )

    def column(self, depth: int, probe: Linear) -> float:
        """R² of the column that a probe reads after a block, on held documents, up to one constant."""
        rows = self.pages.scored
        read = probe.predict(normalise(self.streams[:, depth][rows]))
        targets = self.pages.column[rows][:, None].astype(float)
        return r_squared(targets, read - read.mean() + targets.mean())

    def code(self) -> list[tuple[float, ...]]:
        """Parts of the column's code after every block, (l, c)."""
        rows = []
        for depth, (curve, probe) in enumerate(zip(self.curves[1:], self.probes, strict=True), 1):
            rows.append((curve.dimension(), curve.ringing(), *fit_helix(curve), self.column(depth, probe)))
        return rows

    @cached_property
    def difference(self) -> Difference:
        """Line lengths less columns."""
        return Difference.of(self.curves[0].values, self.lengths[0].values)

    @cached_property
    def heads(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of every block queries (h, c, e) of columns and keys (h, w, e) of lengths of lines."""
        return [
            (curve.centred @ maps[:, 0].swapaxes(1, 2), length.centred @ maps[:, 1].swapaxes(1, 2))
            for curve, length, maps in zip(
                self.curves, self.lengths, np.asarray(query_keys(self.network), float), strict=False
            )
        ]

    @cached_property
    def cosines(self) -> list[np.ndarray]:
        """Of every block the cosines of queries and keys, (h, c, w)."""
        return [cosines(*pair) for pair in self.heads]

    @property
    def best(self) -> list[np.ndarray]:
        """Of every block those of the head that depends most on the difference, (c, w)."""
        return [every[np.argmax(self.difference.share(every))] for every in self.cosines]

    def twist(self) -> list[tuple[float, ...]]:
        """Parts of the twist of every block, (b, t): of its best head, and of the stream that it reads."""
        raw = [
            cosines(curve.points, length.points)
            for curve, length in zip(self.curves, self.lengths, strict=True)
        ]
        return [
            (
                float(self.difference.share(best)),
                float(self.difference.share(stream)),
                self.difference.offset(best),
                float(best.max()),
            )
            for best, stream in zip(self.best, raw, strict=False)
        ]

    def used(self) -> list[float]:
        """The share of its log-odds that each statistic of past lines explains beyond the column."""
        return self.pages.used(self.log_odds)

    def followed(self, depth: int, control: bool) -> list[float]:
        """Of the column's code replaced by another's after a block, at one position: slope of the change in
        log-odds against the exact change, and how much of it that explains; slope against what the network
        itself answers at such columns; with a `control`, the first slope, of random directions as long."""
        directions, known = self.moves(depth)
        exact = self.exact_changes[known]
        changes = self._changes(depth, directions)[known]
        natural = self.pages.natural(self.log_odds)[known]
        seen = np.isfinite(natural)
        random = np.nan
        if control:
            random = slope(exact, self._changes(depth, self.aside(depth, directions))[known])
        missed = np.sum((changes - exact) ** 2) / np.sum(exact**2)
        return [slope(exact, changes), float(1 - missed), slope(natural[seen], changes[seen]), random]

    def moves(self, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """From the code of the column to that of another, (s, n, d), in place of every substitution, and
        where the curve has both, (s, n)."""
        curve = self.curves[depth]
        rows, positions, moves = self.pages.swaps
        before = self.pages.column[rows, positions]
        ends = before, before + moves
        start, end = (np.clip(part - curve.values[0], 0, len(curve.values) - 1) for part in ends)
        known = np.logical_and(*(np.isin(part, curve.values) for part in ends))
        return curve.points[end] - curve.points[start], known

    @cached_property
    def exact_changes(self) -> np.ndarray:
        """Changes (s, n) of the exact log-odds of a newline with the columns of substitutions."""
        pages = self.pages
        rows, positions, moves = pages.swaps
        before, belief = pages.column[rows, positions], pages.beliefs[rows, positions]
        return log_odds(belief, pages.breaks[before + moves]) - log_odds(belief, pages.breaks[before])

    def _changes(self, depth: int, directions: np.ndarray) -> np.ndarray:
        """Changes (s, n) of log-odds after edits (s, n, d) of normalised streams, each at its position."""
        rows, positions, _ = self.pages.swaps
        documents = np.arange(rows.shape[1])
        read = []
        for row, position, direction in zip(rows, positions, directions, strict=True):
            shifts = np.zeros((self.streams.shape[1], len(row), *self.streams.shape[2:]), np.float32)
            shifts[depth, documents, position] = sizes(self.streams[row, depth, position]) * direction
            answers = np.asarray(steered(self.network, self.pages.tokens[row], shifts), float)
            read.append(newline_log_odds(answers[documents, position]) - self.log_odds[row, position])
        return np.array(read)

    def aside(self, depth: int, directions: np.ndarray) -> np.ndarray:
        """Random directions as long as others, in which streams vary as they do."""
        values, vectors = np.linalg.eigh(covariance(normalise(self.streams[:, depth][self.pages.fitted])))
        drawn = np.random.default_rng(self.pages.seed).normal(size=directions.shape)
        drawn = drawn * np.sqrt(np.maximum(values, 0)) @ vectors.T
        scale = np.linalg.norm(directions, axis=-1) / np.linalg.norm(drawn, axis=-1)
        return drawn * scale[..., None]


def moved(base: CurveReading, after: CurveReading, twin: CurveReading) -> list[tuple[float, ...]]:
    """After every block (l, n): R² of the base network's probe of the column; the share of the movement of
    the curve that is the same at all columns; how much the curve bends, in units of its size, and how much it
    differs so from that of the twin."""
    rows = []
    for depth, probe in enumerate(base.probes, 1):
        curves = [reading.curves[depth] for reading in (base, after, twin)]
        step = curves[1].points - curves[0].points
        bends = [_apart(curves[1].centred, other.centred, curves[0].centred) for other in curves[::2]]
        size = np.sum(step**2)
        constant = len(step) * np.sum(step.mean(axis=0) ** 2) / size if size else np.nan
        rows.append((after.column(depth, probe), constant, *bends))
    return rows


def turned(base: CurveReading, after: CurveReading, twin: CurveReading) -> list[tuple[float, float]]:
    """Of every block (b, z), of what the cosines of its heads tell of column and length together: the change,
    and the difference to the twin, in units of its size."""
    every = [map(base.difference.interaction, reading.cosines) for reading in (base, after, twin)]
    return [
        (_apart(now, then, then), _apart(now, other, then)) for then, now, other in zip(*every, strict=True)
    ]


def log_odds(belief: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """Log-odds (nats) of an event with `chances` (..., k) under a belief (..., k)."""
    chance = np.sum(belief * chances, axis=-1)
    return np.log(chance) - np.log1p(-chance)


def _apart(first: np.ndarray, second: np.ndarray, unit: np.ndarray) -> float:
    return float(np.linalg.norm(first - second) / np.linalg.norm(unit))


def slope(expected: np.ndarray, changes: np.ndarray) -> float:
    """Through the origin."""
    return float(np.sum(expected * changes) / np.sum(expected**2)) if len(expected) else np.nan
