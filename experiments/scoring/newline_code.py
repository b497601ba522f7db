"""Writers of the newline in base networks, and rankings of contexts of one column, with intervals.

    M13 newline code  of parts of the newline's logit (experiments.cells.newline_code): shares, R² in either
                      code, and comparison; of what heads write, the better of the two codes, and log-odds
                      less probability; comparison by heads less that by perceptrons
    M14 ranking       AUC of probes of a newline within 1, 2, ... tokens, in all columns and among contexts of
                      one column; as a share of the ceiling, 1/2 counting as nothing, and less that of outputs

Cells made before these were measured have none of them. Numpy only.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from experiments.scoring.curves import CurveLine, CurveNetworks
from experiments.scoring.inside_cells import cells_by_arm
from experiments.storage.curve_cell import CurveCell
from experiments.storage.newline_code import BANDS, CODE_OF, NEWLINE_AXES, RANKED_BY, SUMS, WRITERS
from experiments.storage.records import Cell
from experiments.storage.run import Run

LEAST = 0.01  # that a ceiling must be above 1/2 for a share of it
LOG_ODDS, CHANCE, COMPARISON = (CODE_OF.index(name) for name in ("log-odds", "probability", "comparison"))


def newline_lines(run: Run) -> list[CurveLine]:
    """Every measure, from the finished cells that have them."""
    return [
        line
        for data, cells in cells_by_arm(run, CurveCell).items()
        if (known := [pair for pair in cells if not NEWLINE_AXES.keys() & {*pair[1].missing}])
        for line in (*_codes(data, known), *_ranks(data, known))
    ]


def _codes(data: str, cells: Sequence[tuple[Cell, CurveCell]]) -> Iterator[CurveLine]:
    base, untrained = (
        CurveNetworks(data, name, 0, [[cell.base for cell, _ in cells]]) for name in ("base", "untrained")
    )
    sums, writers, never = (
        np.array([getattr(cell, name) for _, cell in cells], float)
        for name in ("newline_sums", "newline_writers", "untrained_writers")
    )
    of_sums = dict(zip(SUMS, np.moveaxis(sums, 1, 0), strict=True))
    for name, part in of_sums.items():
        yield from _of_part(base, name, 0, part)
    less = of_sums["heads"][:, COMPARISON] - of_sums["perceptrons"][:, COMPARISON]
    yield from base.line("M13", "comparison, heads less perceptrons", 0, less)
    for networks, every in ((base, writers), (untrained, never)):
        for block, (w, name) in product(range(every.shape[1]), enumerate(WRITERS)):
            yield from _of_part(networks, name, 1 + block, every[:, block, w])


def _of_part(networks: CurveNetworks, name: str, depth: int, part: np.ndarray) -> Iterator[CurveLine]:
    """Of measures (networks, C) of what is written until a depth."""
    for measure, values in zip(CODE_OF, part.T, strict=True):
        yield from networks.line("M13", f"{name}: {measure}", depth, values)
    if name == "heads":
        of_codes = part[:, [LOG_ODDS, CHANCE]]
        yield from networks.line("M13", "heads: better code", depth, of_codes.max(axis=1))
        yield from networks.line(
            "M13", "heads: log-odds less probability", depth, of_codes[:, 0] - of_codes[:, 1]
        )


def _ranks(data: str, cells: Sequence[tuple[Cell, CurveCell]]) -> Iterator[CurveLine]:
    base = CurveNetworks(data, "base", 0, [[cell.base for cell, _ in cells]])
    areas = np.array([cell.newline_auc for _, cell in cells], float)  # (networks, q, l, F, B)
    horizons, depths = areas.shape[1:3]
    for q, row, (b, band) in product(range(horizons), range(depths), enumerate(BANDS)):
        name, depth = f"within {q + 1}, {band}", 1 + row
        area = dict(zip(RANKED_BY, areas[:, q, row, :, b].T, strict=True))
        for ranked_by, values in area.items():
            yield from base.line("M14", f"{name}: {ranked_by}", depth, values)
        room = area["exact"] - 0.5
        share = np.where(room > LEAST, (area["streams"] - 0.5) / np.maximum(room, LEAST), np.nan)
        yield from base.line("M14", f"{name}: share of ceiling", depth, share)
        less = area["streams"] - area["outputs cubic"]
        yield from base.line("M14", f"{name}: streams less outputs", depth, less)
