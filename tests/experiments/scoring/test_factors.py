"""Lines of factors: a planted relation over networks is found, in its sign and its size."""

import numpy as np
import pytest

from experiments.scoring.factors import (
    ALL,
    FORETOLD,
    JOINT,
    RATE,
    REACH,
    factor_lines,
    slope,
    statements,
    worlds_of,
)
from experiments.storage.factors_cell import AXES, TARGETS, FactorsCell
from experiments.storage.inside_cell import FEATURES
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell

SIZES = dict(zip("msdlktfhcabg", (1, 2, 2, 2, 2, 2, len(FEATURES), 2, 2, 3, 3, 2), strict=True))


def cell_of(reach, joint, broad):
    """A network with this τ, this R² of the joint part and this broad rate after the last dose."""
    arrays = {name: np.zeros([SIZES[axis] for axis in axes]) for name, axes in AXES.items()}
    arrays |= {"methods": np.array(["sgd"]), "doses": np.array([1, 8]), "depths": np.array([1, 2])}
    streams = FEATURES.index("streams")
    arrays["transfer"][:, streams] = 0.8 * np.where(np.eye(3) > 0, 1, reach)
    arrays["table"][TARGETS.index("joint"), :, streams] = joint
    arrays["table"][TARGETS.index("interaction")] = np.nan
    arrays["base_rates"][:] = 0.2
    arrays["rates"][..., 0], arrays["rates"][..., 1] = 0.9, 0.2
    arrays["rates"][:, :, -1, 1] = broad
    return FactorsCell(**arrays)


def run_of(broad_of, count=8, offset=0.0):
    """Two worlds of networks that differ in τ; `offset` is what the second is broader by."""
    random, cells = np.random.default_rng(0), {}
    for world in range(2):
        for base in range(count):
            reach, joint = random.uniform(0.2, 0.9, size=2)
            broad = broad_of(reach, joint) + world * offset
            cells[Cell("inside", f"correlation_{world}", world * count + base)] = cell_of(reach, joint, broad)
    return MemoryRun("factored-or-joint", (1, 8), cells)


def reaches(run):
    return np.array([run.read(cell).transfer[-1, 0, 1, 0, 1] / 0.8 for cell in run.cells("inside")])


def test_a_broad_rate_that_is_linear_in_reach_has_that_slope():
    run = run_of(lambda reach, joint: 0.1 + 0.5 * reach)
    value, count = slope(worlds_of(run), 0, REACH, False)
    assert count == 32 and value.value == pytest.approx(0.5 * reaches(run).std(), rel=1e-5)
    named = {(one.name): one.verdict for one in statements(run)}
    assert named[REACH] == "holds" and named[JOINT] == "open"


def test_what_worlds_differ_in_is_left_out_within_them():
    run = run_of(lambda reach, joint: 0.8 - 0.3 * joint, offset=0.3)
    within, _ = slope(worlds_of(run), 0, JOINT, True)
    lines = {(line.measure, line.group): line for line in factor_lines(run) if line.test == FORETOLD}
    assert len(lines) == 4 and within.above is False and within.below
    measured = lines[f"broad rate for a standard deviation of {JOINT}", "within worlds"].value.value
    assert measured == within.value
    assert any(group == ALL for _, group in lines)


def test_the_other_sign_refutes():
    run = run_of(lambda reach, joint: 0.8 - 0.5 * reach + 0.1 * joint)
    assert {one.name: one.verdict for one in statements(run)}[REACH] == "refuted"


def test_rates_and_shares_are_of_networks_and_what_does_not_vary_has_no_line():
    lines = factor_lines(run_of(lambda reach, joint: 0.55))
    (share,) = {
        round(line.value.value, 6)
        for line in lines
        if (line.test, line.measure, line.dose) == (RATE, "broad share", 8)
    }
    assert share == pytest.approx(0.5)
    measures = {line.measure for line in lines}
    assert "joint: streams" in measures and "interaction: streams" not in measures
    assert {line.group for line in lines if line.measure == "angle"} == {"correlation_0", "correlation_1"}
