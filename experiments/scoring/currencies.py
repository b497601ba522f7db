"""Currencies by method and dose: every measure of the study `three-currencies` with its interval. Numpy only.

    rate          nats that the n-th pair takes back; nats a pair of net evidence, among many; nats of answers
                  a nat of steering, towards D's k and away from it, in the question or in every pair shown;
                  nats that D' gives
    interaction   shares of variance (experiments.scoring.additivity)
    closure       steering for shots for dose, over steering for dose
    context       K(s)/K(0), the weight of the context
    prevention    nats that are learnt less of D' for a nat by which the network was steered meanwhile
    laws          what a pair is worth among many (experiments.scoring.shot_laws)
    span          the share of edits beyond all that the probe read where it was fitted
    layers        I of streams and baselines; what heads add up (experiments.storage.currencies_cell)
    heads         shares of a pair's nats that heads of a block keep
    examples      sums over examples: of log-odds in answers after each pair alone, of what heads write then;
                  correlations of what a pair contributes with the error of the others, of the last pair less
                  of the first, and of parts of what heads write; nats by which a wrong pair counts less if it
                  comes before the right ones than after them

Base networks have method "" and dose 0. `bayes` is what exact inference has.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from experiments.scoring.additivity import closure, interactions, log_odds, mean_change
from experiments.scoring.inside_cells import inside_cells
from experiments.scoring.measure_line import MeasureLine, mean_of_known
from experiments.scoring.shot_laws import ShotLaws
from experiments.storage.currencies_cell import (
    ADDED,
    QUESTIONS,
    READ,
    SUMS,
    VECTORS,
    WHERE,
    CurrenciesCell,
)
from experiments.storage.inside_cell import FEATURES
from experiments.storage.records import Cell
from experiments.storage.run import Run

RATE, INTERACTION, CLOSURE, CONTEXT, LAYERS = "rate", "interaction", "closure", "context", "layers"
PREVENTION, LAWS, SPAN, HEADS, EXAMPLES = "prevention", "laws", "span", "heads", "examples"
DIRECTIONS = {"towards": 1, "away": -1}
ENOUGH = 0.9  # of a pair's nats, kept by so many heads
OF_HEADS = {"sinks": "c0 of attention", "overlap": "overlap with the probe of a pair, over chance"}
Cells = Sequence[tuple[Cell, CurrenciesCell]]


def currency_lines(run: Run) -> list[MeasureLine]:
    """Every measure, from the finished cells; without those that were measured of no network."""
    cells = inside_cells(run, CurrenciesCell)
    parts = _rates, _of_pairs, _layers, _heads, _examples
    return [line for part in parts for line in part(cells)] if cells else []


def _rates(cells: Cells) -> Iterator[MeasureLine]:
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
                value, count = mean_of_known(values, keys)
                if count:
                    yield MeasureLine(
                        *(test, measure, value, count, question),
                        method=method if d else "",
                        dose=dose,
                        bayes=bayes,
                        judged=test != INTERACTION,
                    )


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
                for direction, sign in DIRECTIONS.items():
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
            learnt = log_odds(cell.under[m, seed, d, :, :, 0, q])  # (w, z, r)
            for (w, where), (direction, sign) in product(enumerate(WHERE), DIRECTIONS.items()):
                less = [
                    mean_change(plain[0], part) / x
                    for x, part in zip(cell.training_nats.tolist(), learnt[w], strict=True)
                    if x * sign > 0
                ]
                measures[PREVENTION, f"less for a nat in the {where} {direction}", question, 0.0] = (
                    _known_mean(less)
                )
            changes = mean_change(odds[:, :, 0, :, q], odds[0, 0, 0, none, q])
            measures[CLOSURE, "steering of shots / of dose", question, 1.0] = float(
                closure(changes, shots, nats)[d - 1]
            )
    for w, where in enumerate(WHERE):
        measures[RATE, f"wrong sign, in the {where}", "", None] = float(cell.wrong[m, seed, d, w])
        for x, share in zip(nats, cell.beyond[m, seed, d, w], strict=True):
            if x:
                measures[SPAN, f"{x:g} nats in the {where}", "", None] = float(share)
    return measures


def _of_pairs(cells: Cells) -> Iterator[MeasureLine]:
    """Lines of the nats that one pair ahead counts for among many, and of laws of these."""
    totals, price = cells[0][1].totals.tolist(), float(cells[0][1].price)
    paid = [[_paid(cell, row) for row in range(len(totals))] for _, cell in cells]
    for row, total in enumerate(totals):
        values = [part[row] for part in paid]
        yield from _of_bases(cells, RATE, f"nats of one pair ahead, of {total}", 0, values, price)
    laws = [ShotLaws.of(totals, part, price) for part in paid]
    for name in ("exact", "power", "average"):
        values = [getattr(law, name) for law in laws]
        yield from _of_bases(cells, LAWS, f"nats missed by the law: {name}", 0, values)
    values = [law.power - law.average for law in laws]
    yield from _of_bases(cells, LAWS, "nats missed by the power less by the average", 0, values)
    yield from _of_bases(cells, LAWS, "α of the power", 0, [law.alpha for law in laws], 0.0)
    yield from _of_bases(cells, LAWS, "1/(1 + c0) of the average", 0, [law.averaged for law in laws])


def _paid(cell: CurrenciesCell, row: int) -> float:
    """Nats that one pair of the rival ahead takes back, among many."""
    none = cell.nats.tolist().index(0.0)
    plain = [log_odds(cell.beliefs[0, 0, 0, 0, 0, none, q]) for q in range(len(QUESTIONS))]
    return float(mean_change(np.mean(plain, axis=0), log_odds(cell.ahead[row])))


def _layers(cells: Cells) -> Iterator[MeasureLine]:
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
        yield from _of_bases(cells, LAYERS, f"mean head: {OF_HEADS[measure]}", 0, values)
    values = [cell.dimensions[together] for _, cell in cells]
    yield from _of_bases(cells, LAYERS, "all heads: dimensions for 95 %", 0, values)
    for i in range(first.frequencies.shape[1]):
        values = [cell.frequencies[together, i] for _, cell in cells]
        yield from _of_bases(cells, LAYERS, f"all heads: share of frequency {i + 1}", 0, values)


def _heads(cells: Cells) -> Iterator[MeasureLine]:
    """Lines of the share of a pair's nats that heads keep, by block; the depth counts blocks."""
    blocks, most = cells[0][1].kept.shape
    for block in range(blocks):
        kept = np.array([cell.kept[block] for _, cell in cells], float)
        for count in range(most):
            yield from _of_bases(cells, HEADS, f"kept by the best {count}", block + 1, kept[:, count])
        known = np.isfinite(kept).all(axis=1)
        needed = np.where(known, np.argmax(kept >= ENOUGH, axis=1), np.nan)
        yield from _of_bases(cells, HEADS, f"heads that keep {ENOUGH:g}", block + 1, needed)
        left = [np.min(cell.without[block]) for _, cell in cells]
        yield from _of_bases(cells, HEADS, "least left without one head", block + 1, left)


def _examples(cells: Cells) -> Iterator[MeasureLine]:
    """Lines of sums over examples, of cells that have them."""
    if any(cell.examples is None for _, cell in cells):
        return
    arrays = {
        name: np.array([getattr(cell, name) for _, cell in cells], float)
        for name in ("added", "vectors", "corrected", "recency")
    }
    for row, count in enumerate(np.asarray(cells[0][1].examples).tolist()):
        for part, name in enumerate(ADDED):
            bayes = 1.0 if name != "resolved" else None
            values = arrays["added"][:, row, part]
            yield from _of_bases(cells, EXAMPLES, f"answers, {count} pairs: {name}", 0, values, bayes)
        for part, name in enumerate(VECTORS):
            values = arrays["vectors"][:, row, part]
            yield from _of_bases(cells, EXAMPLES, f"writes of heads, {count} pairs: {name}", 0, values)
        last, first, parts = arrays["corrected"][:, row].T
        corrections = {"last pair": (last, None), "first pair": (first, None), "parts": (parts, 0.0)}
        corrections["last less first"] = last - first, 0.0
        for name, (values, bayes) in corrections.items():
            yield from _of_bases(cells, EXAMPLES, f"correction, {count} pairs: {name}", 0, values, bayes)
    for row, count in enumerate(np.asarray(cells[0][1].right).tolist()):
        values = arrays["recency"][:, row]
        measure = f"nats of a wrong pair before {count} right ones less after"
        yield from _of_bases(cells, EXAMPLES, measure, 0, values, 0.0)


def _of_bases(
    cells: Cells,
    test: str,
    measure: str,
    depth: int,
    values: Sequence[float] | np.ndarray,
    bayes: float | None = None,
) -> Iterator[MeasureLine]:
    """The line of base networks, if any was measured."""
    value, count = mean_of_known(values, [(cell.base, 0) for cell, _ in cells])
    if count:
        yield MeasureLine(test, measure, value, count, depth=depth, bayes=bayes)


def _known_mean(values: Sequence[np.ndarray]) -> float:
    known = [float(value) for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
