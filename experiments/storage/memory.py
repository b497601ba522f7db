"""A run in memory: what a notebook finetunes and compares, with the reading side of a run's folder. No
jax."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from experiments.storage.contents import Content
from experiments.storage.records import Cell
from experiments.storage.run import Run


@dataclass(frozen=True)
class MemoryRun(Run):
    """Finished cells by name, at the doses of an experiment."""

    study: str
    doses: tuple[int, ...]
    contents: Mapping[Cell, Content] = field(default_factory=dict)

    def with_content(self, cell: Cell, content: Content) -> Self:
        """The same run with one more cell."""
        return replace(self, contents={**self.contents, cell: content})

    def finished_cells(self) -> list[Cell]:
        """Every cell, sorted."""
        return sorted(self.contents)

    def read(self, cell: Cell) -> Content | None:
        """The content of a cell; None if there is none."""
        return self.contents.get(cell)
