"""The column in base networks and its use, over networks, with intervals and what is stated beforehand.

    M8 read-out      error in characters of the column that a probe reads, by depth with the embedding; in
                     shares of the columns that the curve has
    M9 ablation      nats after words that pages cost more without the column's subspace, at newlines and
                     elsewhere: as a share of what they cost the exact process without the column, and less
                     what random subspaces of its dimension and variance cost
    M10 query steps  slopes after queries are moved from a column to another: of how much heads look at
                     newlines, against what they do at that column; of the newline's log-odds, against the
                     exact change; nats if all queries have the mean column
    M11 tiles        distance of the peaks of heads, in characters that remain, less that of one head on two
                     halves of the documents; how much more heads are lines than their sum
    M12 newlines     R² of statistics of past lines after a newline, and of what the others do not tell;
                     advantage: that of the posterior mean less the larger of the longest line's and the
                     moving average's

Cells made before these were measured have none of them. Numpy only.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from experiments.scoring.curves import CurveLine, CurveNetworks
from experiments.scoring.inside_cells import cells_by_arm
from experiments.storage.column_use import (
    ABLATED,
    AT_NEWLINES,
    ERRORS,
    HEADS,
    QUERIES,
    TILES,
    UNTURNED,
    USE_AXES,
)
from experiments.storage.curve_cell import LOST, CurveCell
from experiments.storage.records import Cell
from experiments.storage.run import Run

APART, WITHIN, INNER, HEAD_LINE, SUM_LINE = range(len(TILES))
Cells = Sequence[tuple[Cell, CurveCell]]


def use_lines(run: Run) -> list[CurveLine]:
    """Every measure, from the finished cells that have them."""
    return [
        line
        for data, cells in cells_by_arm(run, CurveCell).items()
        if (known := [pair for pair in cells if has_use(pair[1])])
        for line in _lines(data, known)
    ]


def has_use(cell: CurveCell) -> bool:
    """Whether a cell has these measures."""
    return not USE_AXES.keys() & {*cell.missing}


def _lines(data: str, cells: Cells) -> Iterator[CurveLine]:
    base, untrained, exact = (
        CurveNetworks(data, name, 0, [[cell.base for cell, _ in cells]])
        for name in ("base", "untrained", "exact")
    )
    arrays = {name: np.array([getattr(cell, name) for _, cell in cells], float) for name in USE_AXES}
    columns = len(cells[0][1].columns)
    depths = cells[0][1].depths.tolist()
    for networks, name in ((base, "errors"), (untrained, "untrained_errors")):
        for depth in (0, *depths):
            for part, error in enumerate(ERRORS):
                values = arrays[name][:, depth, part]
                yield from networks.line("M8", error, depth, values)
                if error == "classes":
                    yield from networks.line("M8", "classes, share of columns", depth, values / columns)
    yield from _ablation(base, exact, arrays["ablated"], arrays["exact_ablated"], depths)
    for block in range(len(depths)):
        yield from _queries(base, block, arrays["query_slopes"][:, block], arrays["unturned"][:, block])
        for networks, name in ((base, "tiled"), (untrained, "untrained_tiled")):
            yield from _tiles(networks, block, arrays[name][:, block])
    beyond = arrays["lines_beyond"]
    for row, depth in enumerate(depths):
        for part, name in enumerate(AT_NEWLINES):
            yield from base.line("M12", name, depth, arrays["lines_read"][:, row, part])
            yield from base.line("M12", f"{name}, beyond others", depth, beyond[:, row, part])
        advantage = beyond[:, row, 0] - beyond[:, row, 1:3].max(axis=1)
        yield from base.line("M12", "advantage", depth, advantage)


def _ablation(
    base: CurveNetworks, exact: CurveNetworks, lost: np.ndarray, without: np.ndarray, depths: Sequence[int]
) -> Iterator[CurveLine]:
    """Of nats (networks, l, A, k), and those (networks, k) of the exact process."""
    for k, where in enumerate(LOST):
        yield from exact.line("M9", f"without column, {where}", 0, without[:, k])
        for row, depth in enumerate(depths):
            for part, name in enumerate(ABLATED):
                yield from base.line("M9", f"{name}, {where}", depth, lost[:, row, part, k])
            column, alike = lost[:, row, 0, k], lost[:, row, 2, k]
            yield from base.line("M9", f"beyond random, {where}", depth, column - alike)
            yield from base.line("M9", f"share of exact, {where}", depth, column / without[:, k])


def _queries(base: CurveNetworks, block: int, slopes: np.ndarray, lost: np.ndarray) -> Iterator[CurveLine]:
    """Of slopes (networks, H, Q) and nats (networks, Y, k) of a block."""
    for row, heads in enumerate(HEADS):
        for part, name in enumerate(QUERIES):
            yield from base.line("M10", f"{heads}, {name}", block, slopes[:, row, part])
        beyond = slopes[:, row, 2] - slopes[:, row, 3]
        yield from base.line("M10", f"{heads}, newline beyond random", block, beyond)
    for k, where in enumerate(LOST):
        for part, name in enumerate(UNTURNED):
            yield from base.line("M10", f"mean {name}, {where}", block, lost[:, part, k])
        yield from base.line(
            "M10", f"mean column beyond random, {where}", block, lost[:, 0, k] - lost[:, 1, k]
        )


def _tiles(networks: CurveNetworks, block: int, measures: np.ndarray) -> Iterator[CurveLine]:
    """Of measures (networks, T) of a block."""
    for part, name in enumerate(TILES):
        yield from networks.line("M11", name.replace("_", ", "), block, measures[:, part])
    yield from networks.line("M11", "apart beyond within", block, measures[:, APART] - measures[:, WITHIN])
    bend = measures[:, HEAD_LINE] - measures[:, SUM_LINE]
    yield from networks.line("M11", "line, head less sum", block, bend)
