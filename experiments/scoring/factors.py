"""Factored or joint: codes of base networks, and whether they foretell how broad finetuning becomes.

    code         R² of the interaction and of the joint part of the belief over states, of streams and all
                 baselines by depth; principal components, beside those of exact codes; angle of the factors,
                 beside that of random subspaces
    persona      I of a probe of the persona in its own domain and in others, streams and all baselines; τ,
                 the latter over the former, of streams, from the domain of D'
    rate         narrow and broad rate before and after finetuning; the broad share, what the broad rate rose
                 over what the narrow one did
    foretold     over networks: what the broad rate is higher by for a standard deviation of τ more, and of R²
                 of the joint part, after the last block; over all worlds, and within them

`group` is the world, by its correlation of persona and domain. Base networks have method "" and dose 0.
Numpy only.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from experiments.scoring.inside_cells import cells_by_arm
from experiments.scoring.intervals import Estimate, clusters, mean, ratio
from experiments.scoring.measure_line import MeasureLine, mean_of_known
from experiments.scoring.motor import Statement
from experiments.storage.factors_cell import CODES, GROUPS, TARGETS, FactorsCell
from experiments.storage.inside_cell import FEATURES
from experiments.storage.records import Cell
from experiments.storage.run import Run

CODE, PERSONA, RATE, FORETOLD = "code", "persona", "rate", "foretold"
ALL = "all worlds"
REACH, JOINT = "τ of the persona", "R² of the joint part"
EXPECTED = {REACH: (0.0, np.inf), JOINT: (-np.inf, 0.0)}  # what was stated beforehand of the broad rate
Cells = Sequence[tuple[Cell, FactorsCell]]


def worlds_of(run: Run) -> dict[str, Cells]:
    """The finished cells, by world."""
    return cells_by_arm(run, FactorsCell)


def factor_lines(run: Run) -> list[MeasureLine]:
    """Every measure, from the finished cells."""
    worlds = worlds_of(run)
    parts = [
        line for world, cells in worlds.items() for line in (*_bases(world, cells), *_rates(world, cells))
    ]
    return [*parts, *_foretold(worlds)] if worlds else []


def reach(cell: FactorsCell, row: int = -1) -> float:
    """τ of the persona from D's domain to the others, up to one constant, after a block."""
    table, home = cell.transfer[row, FEATURES.index("streams"), 1].astype(float), int(cell.home)
    others = np.delete(np.arange(len(table)), home)
    return float(table[home, others].mean() / np.diag(table)[others].mean())


def joint(cell: FactorsCell, row: int = -1) -> float:
    """R² of the joint part in the stream after a block."""
    return float(cell.table[TARGETS.index("joint"), row, FEATURES.index("streams"), 0])


def _bases(world: str, cells: Cells) -> Iterator[MeasureLine]:
    """Lines of base networks."""
    keys, first = [(cell.base, 0) for cell, _ in cells], cells[0][1]

    def line(test: str, measure: str, depth: int, values: Sequence[float]) -> Iterator[MeasureLine]:
        value, count = mean_of_known(values, keys)
        if count:
            yield MeasureLine(test, measure, value, count, world, depth=depth)

    diagonal = np.eye(first.transfer.shape[-1], dtype=bool)
    for row, depth in enumerate(first.depths.tolist()):
        for (t, target), (f, feature) in product(enumerate(TARGETS), enumerate(FEATURES)):
            values = [float(cell.table[t, row, f, 0]) for _, cell in cells]
            yield from line(CODE, f"{target}: {feature}", depth, values)
        yield from line(CODE, "dimensions", depth, [float(cell.dimensions[row]) for _, cell in cells])
        yield from line(CODE, "angle", depth, [float(cell.angle[row]) for _, cell in cells])
        for f, feature in enumerate(FEATURES):
            for c, words in enumerate(("", " up to a constant")):
                for where, mask in (("its own domain", diagonal), ("another domain", ~diagonal)):
                    values = [float(cell.transfer[row, f, c][mask].mean()) for _, cell in cells]
                    yield from line(PERSONA, f"I in {where}{words}: {feature}", depth, values)
        yield from line(PERSONA, REACH, depth, [reach(cell, row) for _, cell in cells])
    for k, code in enumerate(CODES):
        values = [float(cell.exact_dimensions[k]) for _, cell in cells]
        yield from line(CODE, f"dimensions of an exact {code} code", 0, values)
    yield from line(CODE, "angle of random subspaces", 0, [float(cell.chance_angle) for _, cell in cells])
    for g, group in enumerate(GROUPS):
        yield from line(RATE, group, 0, [float(cell.base_rates[g]) for _, cell in cells])


def _rates(world: str, cells: Cells) -> Iterator[MeasureLine]:
    """Lines of finetuned networks."""
    first = cells[0][1]
    for m, d in np.ndindex(first.rates.shape[0], first.rates.shape[2]):
        rates, rises, ways = _of_networks(cells, m, d)
        values = {group: mean(rates[:, g], ways) for g, group in enumerate(GROUPS)}
        values["broad share"] = ratio(rises[:, 1], rises[:, 0], ways)
        for measure, value in values.items():
            yield MeasureLine(
                *(RATE, measure, value, len(rates), world),
                method=str(first.methods[m]),
                dose=int(first.doses[d]),
            )


def _of_networks(cells: Cells, m: int, d: int) -> tuple[np.ndarray, np.ndarray, list[Sequence[int]]]:
    """Rates (n, g) of the finetuned networks of a method and a dose, what they rose by, and the clusters."""
    seeds = cells[0][1].rates.shape[1]
    rates = np.concatenate([cell.rates[m, :, d] for _, cell in cells]).astype(float)
    before = np.repeat([cell.base_rates for _, cell in cells], seeds, axis=0)
    bases, rows = zip(*((cell.base, seed) for cell, _ in cells for seed in range(seeds)), strict=True)
    return rates, rates - before, clusters([0] * len(bases), bases, rows)


def _foretold(worlds: dict[str, Cells]) -> Iterator[MeasureLine]:
    """Lines over networks of all worlds."""
    first = next(iter(worlds.values()))[0][1]
    for m, method in enumerate(first.methods.tolist()):
        for measure in EXPECTED:
            for within in (False, True):
                value, count = slope(worlds, m, measure, within)
                words = f"broad rate for a standard deviation of {measure}"
                yield MeasureLine(
                    *(FORETOLD, words, value, count, "within worlds" if within else ALL),
                    method=method,
                    dose=int(first.doses[-1]),
                )


def slope(worlds: dict[str, Cells], m: int, measure: str, within: bool) -> tuple[Estimate, int]:
    """The slope of the broad rate after the last dose on a standard deviation of a measure of base networks,
    about the mean of all or `within` each world, and the number of networks."""
    of = {REACH: reach, JOINT: joint}[measure]
    x, y, keys = [], [], []
    for world, cells in enumerate(worlds.values()):
        seeds = cells[0][1].rates.shape[1]
        known = np.repeat([of(cell) for _, cell in cells], seeds)
        broad = _of_networks(cells, m, -1)[0][:, GROUPS.index("held_out")]
        x.append(known - known.mean() if within else known)
        y.append(broad - broad.mean() if within else broad)
        keys += [(world, cell.base, seed) for cell, _ in cells for seed in range(seeds)]
    first, second = np.concatenate(x), np.concatenate(y)
    ways = clusters(*zip(*keys, strict=True))[-2:]  # base networks and D': the statement is of these worlds
    centre = first - first.mean()
    scale = centre.std()
    if not scale > 0:
        return Estimate(float("nan")), len(keys)
    centre = centre / scale
    return ratio(centre * (second - second.mean()), centre**2, ways), len(keys)


def statements(run: Run) -> list[Statement]:
    """Statements made beforehand: over networks of all worlds, by way of finetuning."""
    worlds = worlds_of(run)
    if not worlds:
        return []
    methods = next(iter(worlds.values()))[0][1].methods.tolist()
    return [
        Statement(method, measure, f"broad rate for a standard deviation of {measure}", allows, value)
        for m, method in enumerate(methods)
        for measure, allows in EXPECTED.items()
        for value, _ in [slope(worlds, m, measure, False)]
    ]
