"""Shares of the shift by part of the network, on made-up cells whose shares are known."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring import rows as scoring
from experiments.scoring.labels import LAST_DOSE, NULLS
from experiments.scoring.scorecard import scorecard
from experiments.storage.records import Cell
from experiments.storage.run_folder import create

GROUPS = np.array(["in_domain", "held_out", "held_out"])
DOSES = (1, 8)


def log(first):
    return np.log(np.stack([first, 1 - np.asarray(first)], axis=-1))


def run_of(folder, make, state, read_out, swapped=lambda base: True):
    """Three base networks with two D' each: at the last dose the finetuned blocks alone leave 1 - `state` of
    the shift in each context, the read-out alone 1 - `read_out`; base networks differ in their shift."""
    config = {"finetuning": {"doses": list(DOSES), "n": 4, "batch": 2}}
    made = create(folder, {"study": "made-up", "preset": "none", "config": config}, {})
    base = log(np.array([0.5, 0.5, 0.6]))
    for index in range(3):
        moved = 0.6 + 0.1 * index
        tuned = np.broadcast_to(log(np.stack([[0.51] * 3, [moved] * 3])), (2, 2, 3, 2))
        shift = np.sum(np.exp(tuned) * (tuned - base), axis=-1)
        cell = make.finetuned(tuned, np.broadcast_to(log(np.full((2, 3), 0.52)), tuned.shape))
        if swapped(index):
            missed = {"base_read_out": (1 - state) * shift, "base_blocks": (1 - read_out) * shift}
            cell = replace(cell, replica=np.stack([tuned[:, 0] - 1, tuned[:, 1]], axis=1), **missed)
        made.save(Cell("theories", "arm", index), make.theories(make.contexts(base, GROUPS)))
        made.save(Cell("finetuned", "arm", index, "sgd"), cell)
    return made


def test_shares_are_those_of_the_cells_for_every_theory_alike(tmp_path, make):
    lines = scorecard(scoring.rows(run_of(tmp_path, make, 0.3, -0.2)))
    last = [line for line in lines if line.dose == 8]
    assert {line.theory for line in last} == {*NULLS, LAST_DOSE}
    assert {line.group for line in last} == {*GROUPS}
    for line in last:
        assert line.state_share == pytest.approx(0.3) and line.read_out_share == pytest.approx(-0.2)
        # one number everywhere: the interval is a point
        np.testing.assert_allclose(line.state_share_interval, 0.3, atol=1e-6)
        record = line.record()
        for name in ("read_out_share", "read_out_share_low", "read_out_share_high"):
            assert record[name] == pytest.approx(-0.2, abs=1e-5)
    rows = scoring.rows(run_of(tmp_path / "again", make, 0.3, -0.2))
    assert {row.theory for row in rows if row.base_blocks is not None} == {"unchanged"}


def test_networks_count_by_their_shift_and_make_an_interval(tmp_path, make):
    """Blocks of the first base network make all of its shift, those of the others nothing."""
    made = run_of(tmp_path, make, 0.0, 0.0)
    first = Cell("finetuned", "arm", 0, "sgd")
    content = made.finetuned(first)
    made.save(first, replace(content, base_read_out=0 * content.base_read_out))
    (line,) = [
        line
        for line in scorecard(scoring.rows(made))
        if (line.theory, line.dose, line.group) == ("unchanged", 8, "held_out")
    ]
    shifts = np.array(line.sample.shift).reshape(3, 2).sum(axis=1)
    assert line.state_share == pytest.approx(shifts[0] / shifts.sum(), rel=1e-5)
    low, high = line.state_share_interval
    assert low < 0 < line.state_share < high <= 1


def test_no_share_where_the_shift_is_noise_or_a_network_was_not_swapped(tmp_path, make):
    lines = scorecard(scoring.rows(run_of(tmp_path / "noise", make, 0.3, 0.5)))
    assert {line.state_share for line in lines if line.dose == 1} == {None}
    older = run_of(tmp_path / "older", make, 0.3, 0.5, swapped=lambda base: base > 0)
    for line in scorecard(scoring.rows(older)):
        assert line.state_share is line.read_out_share_interval is None
        assert line.record()["state_share_low"] is None
