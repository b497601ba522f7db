"""Finished cells of the inside of networks, by base network. Numpy only."""

from collections.abc import Sequence
from typing import TypeVar

from experiments.storage.contents import CellContent
from experiments.storage.records import Cell
from experiments.storage.run import Run

ContentT = TypeVar("ContentT", bound=CellContent)


def inside_cells(run: Run, content: type[ContentT]) -> list[tuple[Cell, ContentT]]:
    """The cells of a run, whose content is of one kind."""
    cells = []
    for cell in sorted(run.cells("inside"), key=lambda cell: cell.base):
        measured = run.read(cell)
        assert isinstance(measured, content)
        cells.append((cell, measured))
    return cells


def cells_by_arm(run: Run, content: type[ContentT]) -> dict[str, Sequence[tuple[Cell, ContentT]]]:
    """The same by arm, as D' or a world is called."""
    arms: dict[str, list[tuple[Cell, ContentT]]] = {}
    for cell, measured in inside_cells(run, content):
        arms.setdefault(cell.arm, []).append((cell, measured))
    return {**arms}
