"""When a first figure is drawn while a run goes on."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.runs import early_figure
from experiments.runs.early_figure import LEFT, EarlyFigure
from experiments.storage.records import Cell
from experiments.studies import other_words

KINDS = ("theories", "finetuned", "replays")


@pytest.fixture
def drawn(monkeypatch):
    """Notes of early figures, by the cells finished then; every cell takes so many seconds."""

    def drawn(cells, seconds, before=0):
        now, done, notes, said = 0.0, 0, {}, []
        monkeypatch.setattr(early_figure.time, "monotonic", lambda: now)

        def draw(run, note):
            notes[done] = note
            return Path("figure.png")

        figure = EarlyFigure(draw, None, SimpleNamespace(say=said.append), before + len(cells), len(cells))
        for cell in cells:
            figure.begin()
            now, done = now + seconds, done + 1
            figure.finished(cell)
        assert said == [f"{note} in figure.png" for note in notes.values()]
        return notes

    return drawn


def cells(kinds, bases):
    return [Cell(kind, "data", base, "sgd" * (kind != "theories")) for base in bases for kind in kinds]


def test_it_is_drawn_once_when_the_first_networks_are_finetuned(drawn):
    assert drawn(cells(KINDS, range(4)), LEFT) == {2: "partial: 2 of 12 cells"}
    resumed = cells(KINDS, range(2, 4))  # the first two base networks were finished before
    assert drawn(resumed, LEFT, before=6) == {2: "partial: 8 of 12 cells"}
    assert drawn(resumed[1:], LEFT, before=7) == {1: "partial: 8 of 12 cells"}


@pytest.mark.parametrize(
    ("kinds", "bases", "seconds"),
    [
        (KINDS, 2, LEFT / 4),  # 4 cells are left: just not more than LEFT
        (KINDS[:2], 1, 10 * LEFT),  # the whole figure is next
        (("axioms",), 4, 10 * LEFT),  # nothing is scored by theories
        (("theories", "replays"), 4, 10 * LEFT),
    ],
)
def test_it_is_not_drawn_where_it_shows_nothing_or_comes_too_late(drawn, kinds, bases, seconds):
    assert drawn(cells(kinds, range(bases)), seconds) == {}


def test_networks_are_finetuned_right_after_their_theories():
    experiment = other_words.experiment(other_words.PRESETS["smoke"])
    first = [(cell.kind, cell.method) for cell in experiment.cells()[:3]]
    assert first == [("theories", ""), ("finetuned", "sgd"), ("replays", "sgd")]
