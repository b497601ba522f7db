"""Transfer of probes and of finetuning between alphabets, with intervals. Numpy only.

    transfer     τ, Σ I(A → B) / Σ I(B → B) over pairs of different alphabets, by depth, as it is and up to
                 one constant; of the streams, an untrained network and the tokens. I(B → B) and I(A → B) of
                 these and of all other baselines (theory.probes.baselines), which may have next to nothing
                 of which a τ could be made; overlap of patterns
    steering     nats of answers for a nat along the pattern of the same alphabet, and of another; the share
                 of the largest edits that leave all that the probe read where it was fitted
    carry-over   of D's alphabet to the others: the part of the concept that is taken up in-domain, and what
                 of it is carried; the share of the shift in-domain that the state makes, S; τ from D's
                 alphabet, up to one constant, after the last block; S × τ, and what is carried less S × τ

`group` is the world. Base networks have method "" and dose 0.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from experiments.scoring.inside_cells import cells_by_arm
from experiments.scoring.intervals import clusters, mean, ratio
from experiments.scoring.measure_line import MeasureLine, mean_of_known
from experiments.storage.alphabets_cell import BASELINES, GROUPS, PARTS, SOURCES, AlphabetsCell
from experiments.storage.records import Cell
from experiments.storage.run import Run

TRANSFER, STEERING, CARRIED = "transfer", "steering", "carry-over"
TOGETHER = "together"  # the world of which Bayes says how far a concept carries
Cells = Sequence[tuple[Cell, AlphabetsCell]]


def alphabet_lines(run: Run) -> list[MeasureLine]:
    """Every measure, from the finished cells, by world."""
    worlds = cells_by_arm(run, AlphabetsCell)
    return [
        line for world, cells in worlds.items() for line in (*_bases(world, cells), *_networks(world, cells))
    ]


def transfer(table: np.ndarray) -> float:
    """τ of I (a, b): all pairs of different alphabets, over as many of the same."""
    different = ~np.eye(len(table), dtype=bool)
    return float(table[different].mean() / np.diag(table).mean())


def transfer_from(cell: AlphabetsCell) -> float:
    """τ from D's alphabet to the others, up to one constant, after the last block; 0 where a probe tells less
    than nothing."""
    table, home = cell.shifted[-1, SOURCES.index("streams")], int(cell.home)
    others = np.delete(np.arange(len(table)), home)
    return max(0.0, float(table[home, others].mean() / np.diag(table)[others].mean()))


def _bases(world: str, cells: Cells) -> Iterator[MeasureLine]:
    """Lines of base networks."""
    bayes = 1.0 if world == TOGETHER else None
    keys, first = [(cell.base, 0) for cell, _ in cells], cells[0][1]

    def line(
        test: str, measure: str, depth: int, values: Sequence[float], says: float | None = None
    ) -> Iterator[MeasureLine]:
        value, count = mean_of_known(values, keys)
        if count:
            yield MeasureLine(test, measure, value, count, world, depth=depth, bayes=says)

    for row, depth in enumerate(first.depths.tolist()):
        for u, source in enumerate(SOURCES):
            last = depth == first.depths[-1] and source == "streams"
            tables = [(cell.information[row, u], cell.shifted[row, u]) for _, cell in cells]
            for measure, values in _informed(tables):
                yield from line(TRANSFER, f"{measure}: {source}", depth, values)
            for name, field in (("τ", "information"), ("τ up to a constant", "shifted")):
                values = [transfer(getattr(cell, field)[row, u]) for _, cell in cells]
                yield from line(TRANSFER, f"{name}: {source}", depth, values, bayes if last else None)
        for x, source in enumerate(BASELINES):
            known = [tuple(cell.baselines[row, x]) for _, cell in cells if cell.baselines is not None]
            for measure, values in _informed(known) if len(known) == len(cells) else ():
                yield from line(TRANSFER, f"{measure}: {source}", depth, values)
        overlaps = [
            cell.overlap[row][~np.eye(len(cell.overlap[row]), dtype=bool)].mean() for _, cell in cells
        ]
        yield from line(TRANSFER, "overlap of patterns, over chance", depth, overlaps, None)
    different = ~np.eye(len(first.slopes), dtype=bool)
    for name, where in (("the same alphabet", ~different), ("another alphabet", different)):
        slopes = [_known(cell.slopes[where]) for _, cell in cells]
        yield from line(STEERING, f"nats for a nat of {name}", 1, slopes, bayes)
        shares = [float(cell.beyond[where].mean()) for _, cell in cells]
        yield from line(STEERING, f"beyond the span of {name}", 1, shares)


def _informed(tables: Sequence[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[str, list[float]]]:
    """I of every network's tables (a, b), as it is and up to one constant, in the same and in others."""
    for of, words in enumerate(("", " up to a constant")):
        every = [pair[of] for pair in tables]
        diagonal = np.eye(len(every[0]), dtype=bool)
        for where, mask in (("the same alphabet", diagonal), ("another alphabet", ~diagonal)):
            yield f"I in {where}{words}", [float(table[mask].mean()) for table in every]


def _known(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _networks(world: str, cells: Cells) -> Iterator[MeasureLine]:
    """Lines of finetuned networks."""
    first = cells[0][1]
    seeds = first.shift.shape[1]
    keys = [(cell.base, seed) for cell, _ in cells for seed in range(seeds)]
    ways = clusters([0] * len(keys), *zip(*keys, strict=True))
    reach = np.repeat([transfer_from(cell) for _, cell in cells], seeds)
    whole = np.repeat([cell.whole for _, cell in cells], seeds, axis=0).astype(float)  # (m, g)
    for m, method in enumerate(first.methods.tolist()):
        for d, dose in enumerate(first.doses.tolist()):

            def all_networks(name: str, m: int = m, d: int = d) -> np.ndarray:
                return np.concatenate([getattr(cell, name)[m, :, d] for _, cell in cells]).astype(float)

            toward, shift = all_networks("toward"), all_networks("shift")
            taken_up, carried = (toward[:, row, 0] / whole[:, row] for row in range(len(GROUPS)))
            state = 1 - all_networks("missed") / shift
            part = toward[:, 0, PARTS.index("base read-out")] / whole[:, 0]
            values = {
                "part taken up in-domain": (mean(taken_up, ways), None),
                "carried": (ratio(carried, taken_up, ways), float(world == TOGETHER)),
                "state share S": (mean(state, ways), None),
                "part that the state makes": (ratio(part, taken_up, ways), None),
                "τ from D′": (mean(reach, ways), None),
                "S × τ": (mean(state * reach, ways), None),
                "carried − S × τ": (mean(carried / taken_up - state * reach, ways), 0.0),
            }
            for measure, (value, bayes) in values.items():
                yield MeasureLine(CARRIED, measure, value, len(keys), world, method, dose, bayes=bayes)
