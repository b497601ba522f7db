"""What old cells lack is said in a sentence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from experiments.scoring.lacking import lacking
from experiments.storage.measures import Measures
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell
from theory.errors import Misuse


@dataclass(frozen=True)
class Toy(Measures):
    axes: ClassVar[dict[str, str]] = {"known": "a"}
    optional: ClassVar[dict[str, str]] = {"later": "ab"}
    known: np.ndarray
    later: np.ndarray | None = None


NEW = Toy(np.zeros(2), np.zeros((2, 3)))


def test_an_old_cell_comes_back_without_what_was_measured_later():
    old = Toy.from_arrays({"known": np.zeros(2)})
    assert old.later is None and old.missing == ["later"] and [*old.to_arrays()] == ["known"]
    back = Toy.from_arrays(NEW.to_arrays())
    assert back.missing == [] and back.later.shape == (2, 3)
    with pytest.raises(Misuse, match="later of shape"):
        Toy.from_arrays({"known": np.zeros(2), "later": np.zeros((3, 3))})


def test_a_sentence_counts_old_cells_and_names_what_they_lack():
    cells = {Cell("inside", "arm", base): part for base, part in enumerate((Toy(np.zeros(2)), NEW))}
    (sentence,) = lacking(MemoryRun("motor", (1,), cells))
    assert "1 of 2 cells" in sentence and "lack them: later" in sentence
    assert lacking(MemoryRun("motor", (1,), {Cell("inside", "arm", 0): NEW})) == ()
