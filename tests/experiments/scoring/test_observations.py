"""Observations of a run: scores of the judged group beside means of measures."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.scoring.observations import observations
from experiments.storage.contents import FinetunedCell, ReplayCell
from experiments.storage.memory import MemoryRun
from experiments.storage.records import Cell
from theory.errors import Misuse

BASE = np.log([[0.5, 0.5], [0.5, 0.5], [0.4, 0.6]])
AFTER = np.log([[0.7, 0.3], [0.7, 0.3], [0.6, 0.4]])


@pytest.fixture
def run(make):
    """Two base networks whose linear theory predicts the first exactly and the second not at all."""
    contexts = make.contexts(BASE, ["in_domain", "held_out", "held_out"])
    contents = {}
    for base in range(2):
        theories = replace(
            make.theories(contexts),
            measures={"best_hypothesis": np.zeros(2, int), "evidence": np.full(2, 1.0 + base)},
        )
        forecast = np.broadcast_to([AFTER, BASE][base], (2, 1, 3, 2))
        target = np.broadcast_to(AFTER, (2, 1, 3, 2))
        zeros = np.zeros((2, 1))
        contents |= {
            Cell("theories", "arm", base): theories,
            Cell("replays", "arm", base, "sgd"): ReplayCell({"linearised": forecast}),
            Cell("finetuned", "arm", base, "sgd"): FinetunedCell(target, target, zeros, zeros),
        }
    return MemoryRun("made-up", (8,), contents)


def test_scores_are_of_held_out_contexts_and_measures_are_means_over_base_networks(run):
    found = {line.theory: line for line in observations(run, "style=2")}
    linear = found["linearised"]
    assert (linear.point, linear.method, linear.dose) == ("style=2", "sgd", 8)
    assert linear.score == pytest.approx(0.5)
    assert linear.measures["evidence"] == pytest.approx(1.5) and "kappa" not in linear.measures
    assert found["best-null"].score > 0.95  # one bias moves both contexts alike
    assert found.keys() == {"linearised", "best-null"}


def test_every_draw_of_the_process_is_an_observation(run, monkeypatch):
    monkeypatch.setattr(MemoryRun, "draw", lambda run, base: base)
    linear = [line for line in observations(run, "style=2") if line.theory == "linearised"]
    assert [line.score for line in linear] == pytest.approx([1, 0], abs=1e-6)
    assert [line.measures["evidence"] for line in linear] == [1, 2]


def test_the_share_of_the_read_out_stands_once_beside_the_scores_of_theories(run):
    swapped = {
        cell: replace(content, base_read_out=np.full((2, 1, 3), 0.001), base_blocks=np.zeros((2, 1, 3)))
        if cell.kind == "finetuned"
        else content
        for cell, content in run.contents.items()
    }
    shares = [
        line for line in observations(replace(run, contents=swapped), "p") if line.theory == "read-out-share"
    ]
    assert [(line.method, line.score) for line in shares] == [("sgd", 1.0)]
    assert shares[0].measures["evidence"] == pytest.approx(1.5)


def test_several_data_sets_are_told_apart_by_their_names(run):
    other = {replace(cell, arm="wide"): content for cell, content in run.contents.items()}
    found = observations(replace(run, contents=run.contents | other), "centre")
    assert {line.method for line in found} == {"sgd, arm", "sgd, wide"}


def test_a_run_without_measures_is_refused(run):
    bare = {
        cell: replace(content, measures={}) if cell.kind == "theories" else content
        for cell, content in run.contents.items()
    }
    with pytest.raises(Misuse, match="made-up has no measures"):
        observations(replace(run, contents=bare), "centre")
