"""A run in memory is read like one on disk."""

import numpy as np

from experiments.storage.contents import PosteriorCell, ReplayCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell


def test_cells_and_siblings_are_those_that_were_given():
    empty = MemoryRun("finetune", (1, 4))
    replays, network = Cell("replays", "arm", 0, "sgd"), Cell("finetuned", "arm", 0, "sgd")
    content = ReplayCell({"linearised": np.zeros((1, 2, 1, 3))})
    run = empty.with_content(replays, content).with_content(Cell("posteriors", "arm", 1), PosteriorCell(()))
    assert (run.study, run.doses, empty.cells()) == ("finetune", (1, 4), [])
    assert run.cells("replays") == [replays] and len(run.cells()) == 2
    assert run.replays(network) is content
    assert run.finetuned(network) is run.posteriors(network) is run.theories(network) is None
