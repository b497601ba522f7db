"""Currencies by method and dose: every measure of the study `three-currencies` with its interval. Numpy only.

    rate          nats that the n-th pair takes back; nats a pair of net evidence, among many; nats of answers
                  a nat of steering, towards D's k and away from it, in the question or in every pair shown;
                  nats that D' gives
    interaction   shares of variance (experiments.scoring.additivity)
    closure       steering for shots for dose, over steering for dose
    context       K(s)/K(0), the weight of the context
    layers        I of streams and baselines; what heads add up (experiments.storage.currencies_cell)

Base networks have method "" and dose 0. `bayes` is what exact inference has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.scoring.additivity import closure, interactions, log_odds, mean_change
from experiments.scoring.intervals import Estimate, clusters, mean
from experiments.storage.currencies_cell import QUESTIONS, READ, SUMS, WHERE, CurrenciesCell
from experiments.storage.inside_cell import FEATURES
from experiments.storage.records import Cell, Json
from experiments.storage.run import Run

RATE, INTERACTION, CLOSURE, CONTEXT, LAYERS = "rate", "interaction", "closure", "context", "layers"
HEADS = {"sinks": "c0 of attention", "overlap": "overlap with the probe of a pair, over chance"}
Cells = Sequence[tuple[Cell, CurrenciesCell]]


@dataclass(frozen=True)
class CurrencyLine:
    """One measure over `networks`, on a kind of questions and at a depth where these matter."""

    test: str
    measure: str
    question: str
    method: str
    dose: int
    depth: int
    value: Estimate
    bayes: float | None
    networks: int

    @property
    def judged(self) -> bool:
        """Whether an interval can refute what Bayes says: of a share of variance, it cannot."""
        return self.bayes is not None and self.test != INTERACTION

    @property
    def refuted(self) -> bool:
        """Whether the whole interval is off what Bayes says."""
        if not self.judged or self.value.interval is None:
            return False
        low, high = self.value.interval
        return not low <= (self.bayes or 0.0) <= high

    def record(self) -> Json:
        """Plain values by column."""
        low, high = self.value.interval or (None, None)
        names = ("test", "measure", "question", "method", "dose", "depth")
        values = {name: getattr(self, name) for name in names}
        return values | {
            **{"value": self.value.value, "low": low, "high": high},
            **{"bayes": self.bayes, "networks": self.networks},
        }


def currency_lines(run: Run) -> list[CurrencyLine]:
    """Every measure, from the finished cells; without those that were measured of no network."""
    cells = []
    for cell in sorted(run.cells("inside"), key=lambda cell: cell.base):
        content = run.read(cell)
        assert isinstance(content, CurrenciesCell)
        cells.append((cell, content))
    return [*_rates(cells), *_of_pairs(cells), *_layers(cells)] if cells else []


def _rates(cells: Cells) -> Iterator[CurrencyLine]:
    """Lines of every dose, the base networks' own included."""
    first = cells[0][1]
    seeds, price = first.beliefs.shape[1], float(first.price)
    for m, method in enumerate(first.methods.tolist()):
        for d, dose in enumerate(first.doses.tolist()):
            if d == 0 and m:
                continue  # one base network, whatever the method
            rows = 1 if d == 0 else seeds
            keys = [(cell.base, seed) for cell, _ in cells for seed in range(rows)]
            measured = [
                _of_network(content, m, seed, d, price) for _, content in cells for seed in range(rows)
            ]
            for test, measure, question, bayes in dict.fromkeys(key for part in measured for key in part):
                values = np.array([part[test, measure, question, bayes] for part in measured], float)
                value, count = _mean(values, keys)
                if count:
                    shown = ("", 0) if d == 0 else (method, dose)
                    yield CurrencyLine(test, measure, question, *shown, 0, value, bayes, count)


Key = tuple[str, str, str, float | None]


def _of_network(cell: CurrenciesCell, m: int, seed: int, d: int, price: float) -> dict[Key, float]:
    """All measures of one network at one dose."""
    shots, nats = cell.shots.tolist(), cell.nats.tolist()
    none, measures = nats.index(0.0), {}
    odds = log_odds(cell.beliefs[m, seed])  # (d, n, w, x, q, r)
    for q, question in enumerate(QUESTIONS):
        here = odds[d, ..., q, :]  # (n, w, x, r)
        plain = here[:, 0, none]
        for row in range(1, len(shots)):
            paid = mean_change(plain[row - 1], plain[row]) / (shots[row] - shots[row - 1])
            measures[RATE, f"nats of pair {shots[row]}", question, price] = float(paid)
        for w, where in enumerate(WHERE):
            for row, count in enumerate(shots):
                if w and not count:
                    continue  # no pair to steer
                unit = count if w else 1
                for sign, direction in ((1, "towards"), (-1, "away")):
                    sizes = [x for x in nats if x * sign > 0]
                    slopes = [
                        mean_change(here[row, w, nats.index(x)], here[row, w, none]) / (x * unit)
                        for x in sizes
                    ]
                    name = f"nat in the {where} {direction}, {count} shown"
                    measures[RATE, name, question, 1.0] = float(_known_mean(slopes))
        weight = cell.weight[m, seed, :, q]
        if d:
            measures[RATE, "nats of D′", question, None] = float(
                mean_change(plain[0], odds[0, 0, 0, none, q])
            )
            measures[CONTEXT, "K(s)/K(0)", question, 1.0] = (
                float(weight[d] / weight[0]) if weight[0] else np.nan
            )
        else:
            measures[CONTEXT, "K(0)", question, 1.0] = float(weight[0])
        if d and d == len(odds) - 1:  # a grid is of all doses
            grid = np.moveaxis(odds[:, :, 0, :, q], -1, 0)
            for name, share in interactions(grid).items():
                measures[INTERACTION, name, question, 0.0] = share
        if d:
            changes = mean_change(odds[:, :, 0, :, q], odds[0, 0, 0, none, q])
            measures[CLOSURE, "steering of shots / of dose", question, 1.0] = float(
                closure(changes, shots, nats)[d - 1]
            )
    for w, where in enumerate(WHERE):
        measures[RATE, f"wrong sign, in the {where}", "", None] = float(cell.wrong[m, seed, d, w])
    return measures


def _of_pairs(cells: Cells) -> Iterator[CurrencyLine]:
    """Lines of the nats that one pair ahead counts for among many."""
    totals, price = cells[0][1].totals.tolist(), float(cells[0][1].price)
    for row, total in enumerate(totals):
        paid = []
        for _, cell in cells:
            none = cell.nats.tolist().index(0.0)
            start = np.mean(
                [log_odds(cell.beliefs[0, 0, 0, 0, 0, none, q]) for q in range(len(QUESTIONS))], axis=0
            )
            paid.append(float(mean_change(start, log_odds(cell.ahead[row]))))
        yield from _of_bases(cells, RATE, f"nats of one pair ahead, of {total}", 0, paid, price)


def _layers(cells: Cells) -> Iterator[CurrencyLine]:
    """Lines of what streams of base networks hold, and what their heads do."""
    first = cells[0][1]
    for c, what in enumerate(READ):
        for row, depth in enumerate(first.depths.tolist()):
            for f, feature in enumerate(FEATURES):
                values = [cell.information[c, row, f, 0] for _, cell in cells]
                yield from _of_bases(cells, LAYERS, f"{what}: {feature}", depth, values)
    together = len(first.sinks) - 1  # a head has another number in every network
    for j, what in enumerate(SUMS):
        for name, rows in (("best head", slice(0, together)), ("all heads", slice(together, None))):
            values = [np.max(cell.sums[rows, j]) for _, cell in cells]
            yield from _of_bases(cells, LAYERS, f"{name}: R² on the {what}", 0, values)
    for measure in ("sinks", "overlap"):
        values = [np.mean(getattr(cell, measure)[:together]) for _, cell in cells]
        yield from _of_bases(cells, LAYERS, f"mean head: {HEADS[measure]}", 0, values)
    values = [cell.dimensions[together] for _, cell in cells]
    yield from _of_bases(cells, LAYERS, "all heads: dimensions for 95 %", 0, values)
    for i in range(first.frequencies.shape[1]):
        values = [cell.frequencies[together, i] for _, cell in cells]
        yield from _of_bases(cells, LAYERS, f"all heads: share of frequency {i + 1}", 0, values)


def _of_bases(
    cells: Cells, test: str, measure: str, depth: int, values: Sequence[float], bayes: float | None = None
) -> Iterator[CurrencyLine]:
    """The line of base networks, if any was measured."""
    value, count = _mean(np.asarray(values, float), [(cell.base, 0) for cell, _ in cells])
    if count:
        yield CurrencyLine(test, measure, "", "", 0, depth, value, bayes, count)


def _mean(values: np.ndarray, keys: Sequence[tuple[int, int]]) -> tuple[Estimate, int]:
    """The mean over the networks (base, seed) of which it was measured, and their number."""
    known = np.isfinite(values)
    if not known.any():
        return Estimate(float("nan")), 0
    bases, seeds = zip(*(key for key, has in zip(keys, known, strict=True) if has), strict=True)
    single = len({seed for _, seed in keys}) == 1
    ways = [bases] if single else clusters([0] * len(bases), bases, seeds)
    return mean(values[known], ways), int(known.sum())


def _known_mean(values: Sequence[np.ndarray]) -> float:
    known = [float(value) for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
