"""Measures of curves in the stream over networks, with intervals and what Bayes says of each.

    M1 dimension     of the curve of the column, and its ringing; the column that a probe reads
    M2 helix         R² of a helix, less that of random smooth curves of the same spectrum
    M3 substitution  slopes of a newline's log-odds after a column's code is replaced by another's
    M4 past lines    shares of a newline's log-odds that statistics explain beyond the column; advantage: that
                     of the exact log-odds less the largest that knows no likelihood
    M5 twist         share of the cosines of a block's best head that depends on line length - column, less
                     that under random rotations; of the best block, less what their best one has
    M6 finetuning    the constant share of the curve's movement; bend and turn, less the twin's; the loss of
                     the base network's probe
    M7 heads         nats that a page costs more, at newlines and elsewhere, when a head writes its mean: of a
                     block's head that depends most on line length - column, and of its others
    T6 additive      R² of chances of a newline that an exact code of column and width side by side has, and
                     of what it lacks by the stream; as for M1's column, with all baselines of a probe

Networks are "base", "untrained", or finetuned by a method; "exact" is the process. What has no depth has
depth 0, what has no dose dose 0; the depth of a twist is that of the stream which the block reads. M8 to M12
are in experiments.scoring.column_use, M13 and M14 in experiments.scoring.newline_code. Numpy only.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from experiments.scoring.inside_cells import cells_by_arm
from experiments.scoring.intervals import Estimate, clusters, mean
from experiments.storage.curve_cell import CODE, FOLLOWED, LOST, MOVED, TWIST, USED, CurveCell
from experiments.storage.inside_cell import FEATURES
from experiments.storage.records import Cell, Interval, Json
from experiments.storage.run import Run

TESTS = {
    "M1": "dimension",
    "M2": "helix",
    "M3": "substitution",
    "M4": "past lines",
    "M5": "twist",
    "M6": "finetuning",
    "M7": "heads",
    "M8": "read-out",
    "M9": "ablation",
    "M10": "query steps",
    "M11": "tiles",
    "M12": "newlines",
    "M13": "newline code",
    "M14": "ranking",
    "T6": "additive or joint",
}
SLOPES = {"exact": "slope: exact", "explained": "explained", "own": "slope: own", "random": "slope: random"}
NEEDED: Interval = (2.0, 3.0)  # dimensions of what prediction needs, stated beforehand
BAYES: dict[tuple[str, str], Interval] = {  # what Bayes says, from and to
    ("M3", "slope: exact"): (1.0, 1.0),
    ("M3", "slope: own"): (1.0, 1.0),
    ("M4", "advantage"): (0.0, np.inf),
    ("M5", "beyond rotations, best block"): (np.finfo(float).tiny, np.inf),
    ("M6", "bend beyond twin"): (-np.inf, 0.0),
    ("M6", "turn beyond twin"): (-np.inf, 0.0),
    ("M6", "loss"): (-np.inf, 0.0),
    ("M9", "share of exact, at newlines"): (1.0, 1.0),
    ("M9", "share of exact, elsewhere"): (1.0, 1.0),
    ("M9", "beyond random, at newlines"): (0.0, np.inf),
    ("M10", "twisted head, attention"): (1.0, 1.0),
    ("M10", "all heads, newline"): (1.0, 1.0),
    ("M11", "apart beyond within"): (np.finfo(float).tiny, np.inf),
    ("M11", "line, head less sum"): (np.finfo(float).tiny, np.inf),
    ("M12", "advantage"): (0.0, np.inf),
    ("M13", "heads: better code"): (0.9, np.inf),
    ("M13", "comparison, heads less perceptrons"): (np.finfo(float).tiny, np.inf),
    ("M14", "within 3, early: share of ceiling"): (0.9, np.inf),
    ("M14", "within 3, early: streams less outputs"): (np.finfo(float).tiny, np.inf),
}
Cells = Sequence[tuple[Cell, CurveCell]]


@dataclass(frozen=True)
class CurveLine:
    """A measure of `networks` of a kind, over `count` of them, and what Bayes says of it, from and to."""

    data: str
    test: str
    measure: str
    networks: str
    dose: int
    depth: int
    value: Estimate
    count: int
    bayes: Interval | None = None

    @property
    def refuted(self) -> bool:
        """Whether the whole interval is off what Bayes says."""
        if self.bayes is None or self.value.interval is None:
            return False
        low, high = self.value.interval
        return low > self.bayes[1] or high < self.bayes[0]

    def record(self) -> Json:
        """Plain values by column."""
        low, high = self.value.interval or (None, None)
        names = ("data", "test", "measure", "networks", "dose", "depth")
        return {
            **{name: getattr(self, name) for name in names},
            **{"value": self.value.value, "low": low, "high": high},
            "bayes": "" if self.bayes is None else " to ".join(f"{end:g}" for end in self.bayes),
            "count": self.count,
        }


def curve_lines(run: Run) -> list[CurveLine]:
    """Every measure, from the finished cells; without those that no network has."""
    return [
        line
        for data, cells in cells_by_arm(run, CurveCell).items()
        for line in (*_bases(data, cells), *_finetuned(data, cells))
    ]


@dataclass(frozen=True)
class CurveNetworks:
    """Networks of a kind, and how they are clustered."""

    data: str
    name: str
    dose: int
    factors: Sequence[Sequence[int]]

    def line(self, test: str, measure: str, depth: int, values: np.ndarray) -> Iterator[CurveLine]:
        """The mean over the networks that have the measure."""
        known = np.isfinite(values)
        if known.any():
            factors = [
                [key for key, has in zip(factor, known, strict=True) if has] for factor in self.factors
            ]
            bayes = BAYES.get((test, measure)) if self.name not in ("untrained", "exact") else None
            if measure == "dimension" and self.name == "base":
                bayes = NEEDED
            value = mean(values[known].astype(float), factors)
            yield CurveLine(self.data, test, measure, self.name, self.dose, depth, value, known.sum(), bayes)

    def shared(self, values: Callable[..., np.ndarray], depths: Sequence[int]) -> Iterator[CurveLine]:
        """Measures that base networks and finetuned ones share; `values(name, *index)` has an entry a
        network."""
        for row, depth in enumerate(depths):
            yield from self.code(lambda *index, row=row: values("code", row, *index), depth)
            yield from self.twist(lambda *index, row=row: values("twist", row, *index), depth - 1)
            for part, name in enumerate(FOLLOWED):
                yield from self.line("M3", SLOPES[name], depth, values("followed", row, part))
        shares = np.stack([values("used", part) for part in range(len(USED))])
        for name, share in zip(USED, shares, strict=True):
            yield from self.line("M4", name, 0, share)
        yield from self.line("M4", "advantage", 0, shares[0] - shares[2:].max(axis=0))

    def code(self, values: Callable[..., np.ndarray], depth: int) -> Iterator[CurveLine]:
        """The parts of a code at a depth."""
        for part, name in enumerate(CODE):
            test = "M2" if name in ("helix", "line", "period") else "M1"
            yield from self.line(test, name, depth, values(part))

    def twist(self, values: Callable[..., np.ndarray], depth: int) -> Iterator[CurveLine]:
        """The parts of a twist of a block."""
        for part, name in enumerate(TWIST):
            yield from self.line("M5", name, depth, values(part))


def _bases(data: str, cells: Cells) -> Iterator[CurveLine]:
    """Measures of base networks, of untrained ones, and of the exact process."""
    first, bases = cells[0][1], [cell.base for cell, _ in cells]
    depths = first.depths.tolist()

    def values(name: str, *index: int) -> np.ndarray:
        return np.array([getattr(cell, name)[index] for _, cell in cells])

    base, untrained, exact = (
        CurveNetworks(data, name, 0, [bases]) for name in ("base", "untrained", "exact")
    )
    beyond = []
    yield from base.shared(lambda name, *index: values(f"base_{name}", *index), depths)
    for row, depth in enumerate(depths):
        helix = values("base_code", row, CODE.index("helix"))
        yield from base.line("M2", "surrogates", depth, values("surrogates", row, 0))
        yield from base.line("M2", "beyond surrogates", depth, helix - values("surrogates", row, 0))
        yield from base.line("M2", "rank", depth, values("surrogates", row, 1))
        share = values("base_twist", row, TWIST.index("share"))
        yield from base.line("M5", "rotations", depth - 1, values("rotations", row, 0))
        beyond.append(share - values("rotations", row, 0))
        yield from base.line("M5", "beyond rotations", depth - 1, beyond[-1])
        yield from base.line("M5", "rank", depth - 1, values("rotations", row, 1))
        yield from untrained.code(lambda *index, row=row: values("untrained_code", row, *index), depth)
        yield from untrained.twist(lambda *index, row=row: values("untrained_twist", row, *index), depth - 1)
        for part, where in enumerate(LOST):
            lost = values("head_losses", row)[..., part]  # (networks, h)
            yield from base.line("M7", f"twisted head, {where}", depth - 1, lost[:, 0])
            if lost.shape[1] > 1:
                yield from base.line("M7", f"other heads, {where}", depth - 1, lost[:, 1:].mean(axis=1))
    if all(cell.column_table is not None for _, cell in cells):
        yield from _baselines(base, exact, depths, values)
    best = np.max(beyond, axis=0) - values("best_rotation")
    yield from base.line("M5", "beyond rotations, best block", 0, best)
    yield from exact.line("M1", "dimension", 0, values("exact_dimension"))
    for part, name in enumerate(USED):
        yield from exact.line("M4", name, 0, values("exact_used", part))


def _baselines(
    base: CurveNetworks, exact: CurveNetworks, depths: Sequence[int], values: Callable[..., np.ndarray]
) -> Iterator[CurveLine]:
    """Baselines of probes of the column, and what an additive code lacks; of cells that have it."""
    for (row, depth), (x, feature) in product(enumerate(depths), enumerate(FEATURES)):
        yield from base.line("M1", f"column by {feature}", depth, values("column_table", row, x, 0))
        for q, missed in enumerate(np.moveaxis(values("beyond_additive"), 1, 0)):
            measure = f"beyond, newline within {q + 1}: {feature}"
            yield from base.line("T6", measure, depth, missed[:, row, x, 0])
    for q, share in enumerate(values("additive").T):
        yield from exact.line("T6", f"additive code, newline within {q + 1}", 0, share)


def _finetuned(data: str, cells: Cells) -> Iterator[CurveLine]:
    """Measures of finetuned networks."""
    first = cells[0][1]
    seeds = first.moved.shape[1]
    keys = [(cell.base, seed) for cell, _ in cells for seed in range(seeds)]
    bases, rows = zip(*keys, strict=True)
    factors = clusters([0] * len(keys), bases, rows)
    for (m, method), (d, dose) in (
        (m, d) for m in enumerate(first.methods.tolist()) for d in enumerate(first.doses.tolist())
    ):

        def values(name: str, *index: int, m: int = m, d: int = d) -> np.ndarray:
            return np.concatenate([getattr(cell, name)[(m, slice(None), d, *index)] for _, cell in cells])

        networks = CurveNetworks(data, method, dose, factors)
        yield from networks.shared(values, first.depths.tolist())
        for row, depth in enumerate(first.depths.tolist()):
            old, constant, bend, twin = (values("moved", row, part) for part in range(len(MOVED)))
            before = [cell.base_code[row, CODE.index("column")] for _, cell in cells]
            turn, other = (values("turned", row, part) for part in range(2))
            yield from networks.line("M6", "loss", depth, np.repeat(before, seeds) - old)
            yield from networks.line("M6", "constant share", depth, constant)
            yield from networks.line("M6", "bend", depth, bend)
            yield from networks.line("M6", "bend beyond twin", depth, bend - twin)
            yield from networks.line("M6", "turn", depth - 1, turn)
            yield from networks.line("M6", "turn beyond twin", depth - 1, turn - other)
