"""Cells of made-up runs, for the figures of studies."""

import numpy as np
import pytest

from experiments.storage.contents import Contexts, FinetunedCell, TheoryCell


@pytest.fixture(scope="session")
def make_contexts():
    """Contexts (c,) by group: of components (k, c, a), and of a base network (c, a) if it matters."""

    def make(group, components, base=None, evidence=None, questions=None, answers=None):
        components = np.asarray(components)
        count, size = components.shape[1:]
        base = components[0] if base is None else np.asarray(base)
        return Contexts(
            group=np.array(group),
            questions=np.array(questions or [f"question {c}" for c in range(count)]),
            answers=np.array(answers or [f"answer {a}" for a in range(size)]),
            components=components,
            evidence=np.zeros(components.shape[:2], np.float32) if evidence is None else np.asarray(evidence),
            exact=base,
            base=base,
        )

    return make


@pytest.fixture(scope="session")
def make_theories():
    """Theories at contexts; whatever else a cell has is made up."""

    def make(contexts, ladders=(), **more):
        weights = np.full(len(contexts.components), 1 / len(contexts.components), np.float32)
        return TheoryCell(contexts, tuple(ladders), weights, np.ones(1, np.float32), **more)

    return make


@pytest.fixture(scope="session")
def make_networks():
    """Finetuned networks by their answers (s, d, c, a), and replicas that answer alike."""

    def make(finetuned, replica=None, **more):
        zeros = np.zeros(finetuned.shape[:2], np.float32)
        return FinetunedCell(finetuned, finetuned if replica is None else replica, zeros, zeros, **more)

    return make
