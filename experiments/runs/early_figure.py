"""A first figure while the run goes on: of the cells of the base networks that are finished, drawn once."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from experiments.runs.progress import Progress
from experiments.storage.records import Cell
from experiments.storage.run_folder import RunFolder

DrawEarly: TypeAlias = Callable[[RunFolder, str], Path]
"""Starts to draw what is finished, with a note; returns the path of the figure."""
LEFT = 15.0  # seconds of cells that must be left: with fewer, the whole figure is there as soon


@dataclass
class EarlyFigure:
    """A figure that is drawn when all cells of a base network are finished, if the others will take a while.

    `todo` are the cells that this run has still to make, `networks` the number of base networks in all.
    """

    draw: DrawEarly
    run: RunFolder
    progress: Progress
    todo: Sequence[Cell]
    networks: int

    def __post_init__(self) -> None:
        self._began: float | None = None
        self._left = Counter(cell.base for cell in self.todo)
        self._drawn = not any(cell.kind == "finetuned" for cell in self.todo)  # no scores without them

    def begin(self) -> None:
        """Start the clock, the first time: pretraining is over."""
        if self._began is None:
            self._began = time.monotonic()

    def finished(self, cell: Cell) -> None:
        """Count a cell that has finished, or failed."""
        self._left[cell.base] -= 1
        if self._drawn or self._left[cell.base] or self._began is None:
            return
        left = sum(count > 0 for count in self._left.values())
        if left * (time.monotonic() - self._began) > LEFT:
            note = f"partial: {self.networks - left} of {self.networks} base networks"
            self.progress.say(f"{note} in {self.draw(self.run, note)}")
        self._drawn = True
