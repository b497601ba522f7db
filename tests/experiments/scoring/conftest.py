"""Cells of made-up numbers with the right shapes."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.storage.contents import Contexts, FinetunedCell, TheoryCell


def contexts(base, group, components=None, evidence=None, questions=None, answers=None):
    """Contexts with these answers of the base network (c, a), which are the process where none is given."""
    base = np.asarray(base)
    count, width = base.shape
    components = base[None] if components is None else np.asarray(components)
    return Contexts(
        np.asarray(group),
        np.asarray(["?"] * count if questions is None else questions),
        np.asarray([f"a{index}" for index in range(width)] if answers is None else answers),
        components,
        np.zeros((len(components), count)) if evidence is None else np.asarray(evidence),
        base,
        base,
    )


def theory_cell(contexts, ladders=(), curvatures=(), modes=None):
    """A cell of theories in these contexts."""
    hypotheses = len(contexts.components)
    weights = np.full(hypotheses, 1 / hypotheses)
    return TheoryCell(contexts, tuple(ladders), weights, np.asarray(curvatures, float), modes or {})


def finetuned_cell(finetuned, replica=None, update=None):
    """Networks with these answers (s, d, c, a), and a replica with the same if none is given."""
    finetuned = np.asarray(finetuned)
    nothing = np.zeros(finetuned.shape[:2])
    replica = finetuned if replica is None else np.asarray(replica)
    return FinetunedCell(finetuned, replica, nothing, nothing, update or {})


@pytest.fixture(scope="session")
def make():
    """Makers of contexts and of cells."""
    return SimpleNamespace(contexts=contexts, theories=theory_cell, finetuned=finetuned_cell)
