"""A first figure while the run goes on: of the first finetuned networks with their theories, drawn once."""

import time
from collections.abc import Callable
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
    """A figure that is drawn when the first networks are finetuned, if the other cells will take a while.

    `count` is the number of cells of the run, of which this process has still to make `todo`.
    """

    draw: DrawEarly
    run: RunFolder
    progress: Progress
    count: int
    todo: int

    def __post_init__(self) -> None:
        self._began: float | None = None
        self._made, self._drawn = 0, False

    def begin(self) -> None:
        """Start the clock, the first time: pretraining is over."""
        if self._began is None:
            self._began = time.monotonic()

    def finished(self, cell: Cell) -> None:
        """Count a cell that has finished, or failed; those of the theories come before the networks'."""
        self._made += 1
        if self._drawn or cell.kind != "finetuned" or self._began is None:
            return
        left = self.todo - self._made
        if left * (time.monotonic() - self._began) / self._made > LEFT:
            note = f"partial: {self.count - left} of {self.count} cells"
            self.progress.say(f"{note} in {self.draw(self.run, note)}")
        self._drawn = True
