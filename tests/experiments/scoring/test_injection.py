"""Lines of injection: one belief behind both read-outs has ratio 1, and what is not so is refuted."""

import numpy as np
import pytest

from experiments.scoring.injection import FINETUNED, INJECTED, PROBE, SAID_OVER_DONE, injection_lines
from experiments.storage.injection_cell import AXES, InjectionCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell

SIZES = {"m": 1, "s": 2, "d": 2, "w": 2, "o": 4, "c": 2, "f": 7, "h": 2}


def cell_of(named=1.0, noise=0.0, seed=0):
    """A cell of networks that say `named` times as much as they do."""
    random = np.random.default_rng(seed)
    arrays = {name: np.ones([SIZES[axis] for axis in axes]) for name, axes in AXES.items()}
    arrays |= {"methods": np.array(["sgd"]), "doses": np.array([1, 8])}
    for name in ("slopes", "moved"):
        arrays[name][..., -1] = named
        arrays[name] += noise * random.normal(size=arrays[name].shape)
    arrays["moved"] *= -0.2  # a coin of tails
    arrays["sizes"][:, 1] = 0.1
    return InjectionCell(**arrays)


def lines_of(*cells):
    found = {Cell("inside", "coin4", base): cell for base, cell in enumerate(cells)}
    return injection_lines(MemoryRun("injected-beliefs", (1, 8), found))


def test_one_belief_is_said_as_it_is_done():
    lines = lines_of(*(cell_of() for _ in range(3)))
    assert {line.test for line in lines} == {INJECTED, FINETUNED, PROBE}
    known = [line for line in lines if line.bayes is not None]
    assert {line.measure for line in known} == {"said", "done", SAID_OVER_DONE}
    for line in known:
        assert line.value.value == pytest.approx(line.bayes), line
    (control, *_) = (line for line in lines if line.measure == "said, control")
    assert control.value.value == pytest.approx(0.1) and control.bayes is None


def test_a_report_that_does_not_follow_is_refuted():
    lines = lines_of(*(cell_of(0.2, 0.01, seed) for seed in range(4)))
    refuted = {(line.test, line.measure) for line in lines if line.refuted}
    assert {(INJECTED, SAID_OVER_DONE), (INJECTED, "said"), (FINETUNED, SAID_OVER_DONE)} <= refuted
    assert (INJECTED, "done") not in refuted
    ratio = next(line.value.value for line in lines if line.measure == SAID_OVER_DONE)
    assert ratio == pytest.approx(0.2, abs=0.02)
