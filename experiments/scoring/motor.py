"""Measures of the study `motor` over networks, with their intervals, and what was stated beforehand.

A line is one number by world, event, source (a regime, a baseline, a vector), link, number of labels, depth,
method and dose; base networks have method "" and dose 0. Its `part` says of what:

    bounds          entropy of the mean p(A) (prior), mean entropy (floor), AUC of p(A) itself (ceiling)
    labels          probes of the last depth by number of labels
    depth           probes of all depths, with the most labels
    outside         what is outside of the stream, fitted to exact labels
    beyond          the share that streams tell of what the exact mixed state leaves
    information     I of the network's own chances, streams and all baselines of a probe, with exact labels
    steering        by about one nat that comes out
    span            the share of contexts that this takes beyond all that the probe read
    old, new        the base network's probes in a finetuned network, and probes fitted there
    finetuned       S and H (experiments.scoring.swap) in its own text; nats that log-odds of A moved, those
                    that the base network's probe followed, and how far that is off before and after; the
                    followed share, the slope of the latter move on the former over contexts, Σ m f / Σ m²

A statement has an interval of values that it allows: it holds where the interval of the value lies inside of
that, and is refuted where it lies outside. Numpy only.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from experiments.scoring.inside_cells import cells_by_arm
from experiments.scoring.intervals import Estimate, clusters, mean, ratio
from experiments.storage.inside_cell import FEATURES
from experiments.storage.motor_cell import (
    BASELINES,
    BOUNDS,
    LABELLED,
    LINKS,
    MOVES,
    QUALITY,
    REGIMES,
    STEERED,
    VECTORS,
    MotorCell,
)
from experiments.storage.records import Cell, Interval, Json
from experiments.storage.run import Run

NEAR = 0.01  # nats that count as nothing
FOLLOWS = 0.9, 1.1  # shares of a move that count as all of it
AXIS = {  # of an axis: the column of a line, and its values
    **{"r": ("source", LABELLED), "g": ("source", REGIMES), "k": ("source", BASELINES)},
    **{"v": ("source", VECTORS), "f": ("source", FEATURES), "p": ("link", LINKS), "b": ("measure", BOUNDS)},
    **{"q": ("measure", QUALITY), "u": ("measure", STEERED)},
}
PARTS = {  # of base networks: array and axes
    "bounds": ("bounds", "eb"),
    "labels": ("ladder", "ernpq"),
    "depth": ("by_depth", "eglpq"),
    "outside": ("baselines", "ekq"),
    "beyond": ("beyond", "el"),
    "steering": ("steering", "evxu"),
    "span": ("left", "evx"),
    "information": ("information", "elf"),
}
OF_TUNED = {"tuned bounds": ("tuned_bounds", "eb"), "old": ("old", "egq"), "new": ("new", "egq")}
SQUARES, PRODUCTS = (MOVES.index(name) for name in ("squares", "products"))
SUMS = SQUARES  # moves that are means by themselves
Cells = Sequence[tuple[Cell, MotorCell]]


@dataclass(frozen=True)
class MotorLine:
    """One number over `networks`."""

    data: str
    part: str
    measure: str
    value: Estimate
    networks: int
    event: str = ""
    source: str = ""
    link: str = ""
    labels: int = 0
    depth: int = 0
    method: str = ""
    dose: int = 0

    def record(self) -> Json:
        """Plain values by column."""
        low, high = self.value.interval or (None, None)
        names = ("data", "part", "event", "source", "link", "labels", "depth", "method", "dose", "measure")
        return {
            **{name: getattr(self, name) for name in names},
            **{"value": self.value.value, "low": low, "high": high, "networks": self.networks},
        }


@dataclass(frozen=True)
class Statement:
    """Something said beforehand, the interval of values that it `allows`, and the value over networks."""

    data: str
    name: str
    words: str
    allows: Interval
    value: Estimate

    @property
    def verdict(self) -> str:
        """Whether it holds, is refuted, or is left open by the whole interval of its value."""
        if self.value.interval is None:
            return "open"
        low, high = self.value.interval
        if low >= self.allows[0] and high <= self.allows[1]:
            return "holds"
        return "refuted" if high < self.allows[0] or low > self.allows[1] else "open"


@dataclass(frozen=True)
class Followed:
    """Of the finetuned networks of one base network: the state share, the share of a move of p(A) that the
    base network's probe followed, and excess of labels of the process less that of the network's own."""

    method: str
    dose: int
    state: float
    followed: float
    cost: float


def worlds(run: Run) -> dict[str, Cells]:
    """The finished cells, by the name of D'."""
    return cells_by_arm(run, MotorCell)


def motor_lines(run: Run) -> list[MotorLine]:
    """Every measure; without those that were measured of no network."""
    return [
        line for data, cells in worlds(run).items() for line in (*_bases(data, cells), *_tuned(data, cells))
    ]


def _columns(cell: MotorCell, axes: str, index: tuple[int, ...]) -> Json:
    """The columns of a line by the index of an array with these axes."""
    known = AXIS | {
        **{"e": ("event", cell.events.tolist()), "n": ("labels", cell.labels.tolist())},
        **{"l": ("depth", cell.depths.tolist()), "x": ("depth", cell.edited.tolist())},
    }
    pairs = [(known[axis], at) for axis, at in zip(axes, index, strict=True)]
    return {column: values[at] for (column, values), at in pairs}


def _bases(data: str, cells: Cells) -> Iterator[MotorLine]:
    """Measures of base networks alone."""
    bases = np.array([cell.base for cell, _ in cells])
    for part, (name, axes) in PARTS.items():
        if any(name in content.missing for _, content in cells):
            continue
        arrays = np.stack([getattr(content, name) for _, content in cells]).astype(float)
        for index in np.ndindex(arrays.shape[1:]):
            columns: Json = {"measure": "share"} | _columns(cells[0][1], axes, index)
            values = arrays[(slice(None), *index)]
            known = np.isfinite(values)
            if known.any():
                value = mean(values[known], [bases[known].tolist()])
                yield MotorLine(data, part, value=value, networks=int(known.sum()), **columns)


def _tuned(data: str, cells: Cells) -> Iterator[MotorLine]:
    """Measures of finetuned networks."""
    first = cells[0][1]
    for (m, method), (d, dose) in (
        (pair, other)
        for pair in enumerate(first.methods.tolist())
        for other in enumerate(first.doses.tolist())
    ):
        flat, ways = _flat(cells, m, d)
        line = partial(MotorLine, data, networks=len(ways[0]), method=method, dose=dose)
        for part, (name, axes) in OF_TUNED.items():
            arrays = flat(name)
            for index in np.ndindex(arrays.shape[1:]):
                values = arrays[(slice(None), *index)]
                if np.isfinite(values).all():
                    yield line(part, value=mean(values, ways), **_columns(first, axes, index))
        shift, state, blocks = flat("shift").T
        yield line("finetuned", "shift", mean(shift, ways))
        for name, missed in (("state share", state), ("read-out share", blocks)):
            yield line("finetuned", name, ratio(shift - missed, shift, ways))
        moves = flat("moves")
        for index, event in enumerate(first.events.tolist()):
            for part, name in enumerate(MOVES[:SUMS]):
                yield line("finetuned", name, mean(moves[:, index, part], ways), event=event)
            yield line("finetuned", "followed share", _followed(moves[:, index], ways), event=event)


def _flat(cells: Cells, method: int, dose: int) -> tuple[Callable[[str], np.ndarray], list[Sequence[int]]]:
    """Arrays of the finetuned networks of a method and a dose, networks first, and their clusters."""
    seeds = cells[0][1].shift.shape[1]
    keys = [(cell.base, seed) for cell, _ in cells for seed in range(seeds)]
    bases, rows = zip(*keys, strict=True)

    def flat(name: str) -> np.ndarray:
        parts = [getattr(content, name)[method, :, dose] for _, content in cells]
        return np.concatenate(parts).astype(float)

    return flat, clusters([0] * len(keys), bases, rows)


def _followed(moves: np.ndarray, ways: Sequence[Sequence[int]]) -> Estimate:
    """Σ products / Σ squares: the slope of the one move on the other."""
    return ratio(moves[:, PRODUCTS], moves[:, SQUARES], ways)


def statements(run: Run) -> list[Statement]:
    """Everything stated beforehand, of the longest event, the last depth and the last dose."""
    return [made for data, cells in worlds(run).items() for made in _statements(data, cells)]


def _statements(data: str, cells: Cells) -> Iterator[Statement]:
    bases = [[cell.base for cell, _ in cells]]
    first = cells[0][1]

    def excess(regime: str, link: str = "log-odds") -> np.ndarray:
        index = REGIMES.index(regime), -1, LINKS.index(link), QUALITY.index("excess")
        return np.array([content.by_depth[(-1, *index)] for _, content in cells], float)

    def score(vector: str, depth: int) -> np.ndarray:
        index = VECTORS.index(vector), depth, STEERED.index("score")
        return np.array([content.steering[(-1, *index)] for _, content in cells], float)

    def stated(name: str, words: str, allows: Interval, values: np.ndarray) -> Statement:
        known = np.isfinite(values)
        ways = [np.array(bases[0])[known].tolist()]
        value = mean(values[known], ways) if known.any() else Estimate(math.nan)
        return Statement(data, name, words, allows, value)

    tokens = np.array(
        [content.baselines[-1, BASELINES.index("tokens"), QUALITY.index("excess")] for _, content in cells],
        float,
    )
    yield stated(
        "description",
        "excess of the description less that of exact labels (nats)",
        (-math.inf, NEAR),
        excess("description") - excess("soft"),
    )
    yield stated(
        "policy",
        "excess of labels of the process less that of the network's own (nats)",
        (-NEAR, NEAR),
        excess("off-policy") - excess("on-policy"),
    )
    yield stated(
        "detection",
        "excess of detection less that of the tokens (nats)",
        (0.0, math.inf),
        excess("contrastive") - tokens,
    )
    for m, method in enumerate(first.methods.tolist()):
        if method != "head-only":
            flat, ways = _flat(cells, m, -1)
            yield Statement(
                data,
                f"old probe, {method}",
                "share of the moves of p(A) that the base network's probe followed",
                FOLLOWS,
                _followed(flat("moves")[:, -1], ways),
            )
    yield Statement(
        data,
        "shift",
        "nats by which labels of the process are worse, for 1 - S from 0 to 1, between and within methods",
        (0.0, math.inf),
        growth(cells),
    )
    for row, depth in enumerate(first.edited.tolist()):
        for name, other in (("pattern", "filter"), ("means on-policy", "means contrastive")):
            yield stated(
                f"steering, depth {depth}",
                f"score of {name} less that of {other}",
                (0.0, math.inf),
                score(name, row) - score(other, row),
            )


def growth(cells: Cells, within: bool = False) -> Estimate:
    """The slope, over networks of all methods, of what labels of the process cost on 1 - S: most of it is
    between methods, which differ in more than S; or `within` methods alone, about the mean of each."""
    costs, lost, centres, keys = [], [], [], []
    for m in range(len(cells[0][1].methods)):
        flat, ways = _flat(cells, m, -1)
        shift, state, _ = flat("shift").T
        costs.append(_cost(flat("new")))
        lost.append(state / shift)
        centres.append(np.full(len(shift), lost[-1].mean()))
        keys.append(ways)
    x, y = np.concatenate(lost), np.concatenate(costs)
    ways = [np.concatenate(part).tolist() for part in zip(*keys, strict=True)]
    centre = x - (np.concatenate(centres) if within else x.mean())
    return ratio(centre * y, centre**2, ways)


def _cost(new: np.ndarray) -> np.ndarray:
    """Excess of labels of the process less that of labels of the network's own, of the longest event."""
    off, on = (REGIMES.index(name) for name in ("off-policy", "on-policy"))
    return new[:, -1, off, QUALITY.index("excess")] - new[:, -1, on, QUALITY.index("excess")]


def followed(cells: Cells) -> list[Followed]:
    """A point for each base network, method and dose, of the longest event."""
    points = []
    for cell in cells:
        for m, method in enumerate(cell[1].methods.tolist()):
            for d, dose in enumerate(cell[1].doses.tolist()):
                flat, _ = _flat([cell], m, d)
                shift, state, _ = flat("shift").T.sum(axis=1)
                moves = flat("moves")[:, -1].sum(axis=0)
                cost = float(_cost(flat("new")).mean())
                share = float(moves[PRODUCTS] / moves[SQUARES])
                points.append(Followed(method, dose, float(1 - state / shift), share, cost))
    return points
