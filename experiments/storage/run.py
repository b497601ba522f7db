"""Run on disk or in memory: its finished cells, with their contents by kind. No jax."""

from abc import ABC, abstractmethod
from typing import TypeVar

from experiments.storage.contents import (
    CellContent,
    FinetunedCell,
    PosteriorCell,
    ReplayCell,
    RetrainedCell,
    TheoryCell,
)
from experiments.storage.records import IMPORTED, Cell, CellKind

ContentT = TypeVar("ContentT", bound=CellContent)


class Run(ABC):
    """A run's study, doses and cells."""

    @property
    @abstractmethod
    def study(self) -> str:
        """The name of the study."""

    @property
    @abstractmethod
    def doses(self) -> tuple[int, ...]:
        """Finetuning steps after which networks are compared."""

    @property
    def anew(self) -> str:
        """The command that makes again what is missing, in words."""
        return "import the table again" if self.study == IMPORTED else "run again"

    def draw(self, base: int) -> int:
        """The draw of the process that a base network has learnt; 0 where there is one draw."""
        return 0

    @abstractmethod
    def finished_cells(self) -> list[Cell]:
        """Every finished cell, sorted."""

    @abstractmethod
    def read(self, cell: Cell) -> CellContent | None:
        """The content of a cell; None if it is not finished."""

    def cells(
        self, kind: CellKind | None = None, arm: str | None = None, method: str | None = None
    ) -> list[Cell]:
        """The finished cells, sorted: all, or those of a kind, an arm, a method."""
        return [
            cell
            for cell in self.finished_cells()
            if kind in (None, cell.kind) and arm in (None, cell.arm) and method in (None, cell.method)
        ]

    def theories(self, cell: Cell) -> TheoryCell | None:
        """The theories at a cell's arm and base network; None if they are not finished."""
        return self._sibling(cell.other("theories"), TheoryCell)

    def posteriors(self, cell: Cell) -> PosteriorCell | None:
        """The sampled posteriors at a cell's arm and base network; None if they are not finished."""
        return self._sibling(cell.other("posteriors"), PosteriorCell)

    def replays(self, cell: Cell) -> ReplayCell | None:
        """The theories that follow a cell's method, at its arm and base network; None if not finished."""
        return self._sibling(cell.other("replays", cell.method), ReplayCell)

    def finetuned(self, cell: Cell) -> FinetunedCell | None:
        """The networks of a cell's method, arm and base network; None if they are not finished."""
        return self._sibling(cell.other("finetuned", cell.method), FinetunedCell)

    def retrained(self, cell: Cell) -> RetrainedCell | None:
        """The networks retrained at a cell's arm and base network; None if they are not finished."""
        return self._sibling(cell.other("retrained"), RetrainedCell)

    def _sibling(self, cell: Cell, kind: type[ContentT]) -> ContentT | None:
        content = self.read(cell)
        assert content is None or isinstance(content, kind)
        return content
