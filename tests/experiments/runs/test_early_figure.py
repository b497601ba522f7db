"""When a first figure is drawn while a run goes on."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.runs import early_figure
from experiments.runs.early_figure import LEFT, EarlyFigure
from experiments.storage.records import Cell


@pytest.fixture
def drawn(monkeypatch):
    """Notes of early figures, by the cells finished then; every cell takes so many seconds."""

    def drawn(cells, seconds, networks):
        now, done, notes, said = 0.0, 0, {}, []
        monkeypatch.setattr(early_figure.time, "monotonic", lambda: now)

        def draw(run, note):
            notes[done] = note
            return Path("figure.png")

        figure = EarlyFigure(draw, None, SimpleNamespace(say=said.append), cells, networks)
        for cell in cells:
            figure.begin()
            now, done = now + seconds, done + 1
            figure.finished(cell)
        assert said == [f"{note} in figure.png" for note in notes.values()]
        return notes

    return drawn


def cells(kinds, bases):
    return [Cell(kind, "data", base, "sgd" * (kind == "finetuned")) for base in bases for kind in kinds]


def test_it_is_drawn_once_when_the_first_network_is_finished(drawn):
    note = "partial: {} of 4 base networks"
    both = ("theories", "finetuned")
    assert drawn(cells(both, range(4)), LEFT, 4) == {2: note.format(1)}
    resumed = cells(both, range(2, 4))  # the first two were finished before
    assert drawn(resumed, LEFT, 4) == {2: note.format(3)}
    shuffled = [cell for kind in both for cell in cells((kind,), range(4))]
    assert drawn(shuffled, LEFT, 4) == {5: note.format(1)}


@pytest.mark.parametrize(
    ("kinds", "bases", "seconds"),
    [
        (("theories", "finetuned"), 4, LEFT / 6),  # 3 networks of 2 cells are left: just not more than LEFT
        (("theories", "finetuned"), 1, 10 * LEFT),  # the whole figure is next
        (("axioms",), 4, 10 * LEFT),  # nothing is scored by theories
        (("theories", "replays"), 4, 10 * LEFT),
    ],
)
def test_it_is_not_drawn_where_it_shows_nothing_or_comes_too_late(drawn, kinds, bases, seconds):
    every = [Cell(k, "data", b, "" if k == "theories" else "sgd") for b in range(bases) for k in kinds]
    assert drawn(every, seconds, bases) == {}
