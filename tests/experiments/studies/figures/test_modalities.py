"""The part carried over to other alphabets, as computed from made-up predictions."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.studies.figures import modalities as figures


@pytest.mark.parametrize("part", [0.0, 0.25, 1.0])
def test_the_part_carried_over_is_read_off_the_cell_that_the_context_allows(part, monkeypatch, make_contexts):
    random = np.random.default_rng(0)
    components = np.log(random.dirichlet(np.ones(4), size=(4, 2)))  # (concept, home), two contexts
    evidence = np.array([[0.0, -np.inf], [-np.inf, 0.0]] * 2)
    concept = np.exp(components[[2, 3], [0, 1]])  # of concept 1: home 0 in the first, home 1 in the second
    base = random.dirichlet(np.ones(4), size=2)
    answers = {
        "base": np.log(base)[None, None],
        "finetuned": np.log(base + part * (concept - base))[None, None],
    }
    contexts = make_contexts(["held_out"] * 2, components, evidence=evidence)
    monkeypatch.setattr(figures, "predictions", lambda run, rows: [(contexts, answers)])
    run = SimpleNamespace(options={"process": {"concepts": 2}, "concept": 1})
    parts = figures.carried_over(run, [])
    np.testing.assert_allclose(parts["finetuned"], [[[part]]], atol=1e-6)
    np.testing.assert_allclose(parts["base"], [[[0.0]]], atol=1e-6)
