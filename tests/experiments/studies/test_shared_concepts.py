"""The study of concepts in several alphabets: two worlds, and what is refused."""

import pytest

from experiments.design.options import with_options
from experiments.design.shared_plans import AlphabetsPlan
from experiments.scoring.alphabets import STEERING
from experiments.scoring.intervals import Estimate
from experiments.scoring.measure_line import MeasureLine
from experiments.studies import shared_concepts as study
from experiments.studies.figures.shared_concepts import panels
from theory.errors import Misuse


def test_both_worlds_are_draws_with_base_networks_of_their_own():
    config = study.PRESETS["small"]
    made = [study.experiment(draw) for draw in config.draws()]
    assert [part.arms[0].name for part in made] == ["together", "apart"]
    assert [part.process.together for part in made] == [True, False]
    assert config.pretraining.seeds >= 8 and all(isinstance(part.inside, AlphabetsPlan) for part in made)
    assert {cell.kind for part in made for cell in part.cells()} == {"inside"}


def test_the_panel_of_steering_draws_slopes_and_no_shares():
    measures = "nats for a nat of the same alphabet", "beyond the span of the same alphabet"
    lines = [MeasureLine(STEERING, name, Estimate(0.5), 8, "together") for name in measures]
    (steering,) = [panel for panel in panels(lines) if panel.title == "nats out / nats in"]
    assert list(steering.ticks) == ["the same alphabet"]
    assert [len(series.values) for series in steering.series] == [1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nats": (1.0, 2.0)}, "0 and more than 0"),
        ({"documents": 4}, "at least 20 documents"),
        ({"worlds": ("nowhere",)}, "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes, words):
    with pytest.raises(Misuse, match=words):
        with_options(study.Config(), changes)
