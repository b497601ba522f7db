"""Cells of made-up numbers with the right shapes."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.storage.contents import Contexts, FinetunedCell, ReplayCell, TheoryCell
from experiments.storage.records import Cell, Ladder


def theories(base, group, questions, answers, components, ladders):
    """Theories in contexts with these answers of the base network (c, a), which are the process, too."""
    contexts = Contexts(
        *map(np.asarray, (group, questions, answers, components)),
        evidence=np.zeros((len(components), len(group)), np.float32),
        exact=np.asarray(base),
        base=np.asarray(base),
    )
    return TheoryCell(contexts, tuple(ladders), np.full(len(components), 0.5), np.zeros(0))


def ladder(name, betas, log_probs, **optional):
    """A ladder, of a mixture of hypotheses for the tempered posterior."""
    theory, prior = name.split("/")
    bound = "mixture" if theory == "tempered-posterior" else "path"
    return Ladder(theory, prior, np.asarray(betas), log_probs, bound, **optional)


def networks(finetuned, replica):
    """Finetuned networks and their replicas."""
    nothing = np.zeros(finetuned.shape[:2])
    return FinetunedCell(finetuned, replica, nothing, nothing)


def save(run, arm, base, cells, method="sgd"):
    """Keep cells by their kinds."""
    for kind, content in cells.items():
        run.save(Cell(kind, arm, base, method if kind in ("replays", "finetuned") else ""), content)


@pytest.fixture
def make():
    """Makers of cells and ladders."""
    return SimpleNamespace(
        theories=theories,
        ladder=ladder,
        networks=networks,
        replay=lambda linearised: ReplayCell({"linearised": linearised}),
        save=save,
    )
