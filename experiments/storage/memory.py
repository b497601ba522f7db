"""Run in memory: finetuned and compared in a notebook, and read like a run's folder. No jax."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from experiments.storage.contents import CellContent
from experiments.storage.records import Cell
from experiments.storage.run import Run


@dataclass(frozen=True)
class MemoryRun(Run):
    """Finished cells of a named run, whose networks are compared after `steps` of finetuning."""

    name: str
    steps: tuple[int, ...]
    contents: Mapping[Cell, CellContent] = field(default_factory=dict)

    @property
    def study(self) -> str:
        """Its name."""
        return self.name

    @property
    def doses(self) -> tuple[int, ...]:
        """Its steps."""
        return self.steps

    def with_content(self, cell: Cell, content: CellContent) -> Self:
        """The same run with one more cell."""
        return replace(self, contents={**self.contents, cell: content})

    def finished_cells(self) -> list[Cell]:
        """Every cell, sorted."""
        return sorted(self.contents)

    def read(self, cell: Cell) -> CellContent | None:
        """The content of a cell; None if there is none."""
        return self.contents.get(cell)
