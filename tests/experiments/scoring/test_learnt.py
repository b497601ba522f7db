"""Shares of D' that were learnt, from losses made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring.learnt import Learnt, learnt, notes, table
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell, Ladder

EVEN = np.log(np.full((2, 2), 0.5))


@pytest.fixture
def run(make):
    """Two bases, two seeds, two doses; the base network has the loss 2, the best hypothesis 1."""
    contexts = make.contexts(EVEN, ["in_domain", "held_out"])
    networks = make.finetuned(np.broadcast_to(EVEN, (2, 2, 2, 2)))
    contents = {}
    for base in range(2):
        reachable = np.array([[2.0, 1.2, 1.0], [2.0, 1.4, 1.0]])
        after = np.array([[1.9, 1.0], [1.7, 0.8]]) + 0.1 * base
        contents[Cell("theories", "arm", base)] = replace(make.theories(contexts), reachable=reachable)
        contents[Cell("finetuned", "arm", base, "sgd")] = replace(networks, data_loss=after)
    return MemoryRun("made-up", (1, 4), contents)


def test_shares_are_of_what_the_best_hypothesis_gains(run):
    (found,) = learnt(run)
    assert (found.method, found.data, found.doses) == ("sgd", "arm", (1, 4))
    assert found.null == pytest.approx(0.7)
    assert found.networks == pytest.approx((0.15, 1.05))
    assert table([found]) == [
        ["method", "best null", "dose 1", "dose 4"],
        ["SGD, D′ on arm", "70 %", "15 %", "105 %"],
    ]
    assert found.sentence == (
        "SGD, D′ on arm: the networks learnt 105 % of D′ in 4 steps; "
        "one bias for each answer could learn 70 %."
    )


def test_nothing_to_learn_and_nothing_known(run):
    cell = Cell("theories", "arm", 0)
    silent = {key: replace(content, reachable=None) for key, content in run.contents.items() if key == cell}
    (half,) = learnt(replace(run, contents=run.contents | silent))
    assert half.networks == pytest.approx((0.1, 1.0))  # the other base network alone
    perfect = {
        key: replace(content, reachable=np.ones((2, 3)))
        for key, content in run.contents.items()
        if key.kind == "theories"
    }
    (nothing,) = learnt(replace(run, contents=run.contents | perfect))
    assert nothing == Learnt("sgd", "arm", (1, 4), None, (None, None))
    assert "no worse on D′" in nothing.sentence and table([nothing])[1][1:] == ["-"] * 3
    assert learnt(MemoryRun("empty", (1,))) == []


def test_notes_of_theories_stand_once_for_each_data(run, make):
    cell = Cell("theories", "arm", 0)
    ladder = Ladder(
        "in-context", "network", np.arange(2.0), np.stack([[EVEN] * 2] * 2), note="It shows 4 of 160."
    )
    noted = {
        Cell("theories", "arm", base): replace(run.contents[cell], ladders=(ladder,)) for base in range(2)
    }
    assert notes(replace(run, contents=run.contents | noted)) == ["in-context, D′ arm: It shows 4 of 160."]
    assert notes(run) == []
