"""The study of concepts in several alphabets: two worlds, and what is refused."""

import pytest

from experiments.design.options import with_options
from experiments.design.shared_plans import AlphabetsPlan
from experiments.studies import shared_concepts as study
from theory.errors import Misuse


def test_both_worlds_are_draws_with_base_networks_of_their_own():
    config = study.PRESETS["small"]
    made = [study.experiment(draw) for draw in config.draws()]
    assert [part.arms[0].name for part in made] == ["together", "apart"]
    assert [part.process.together for part in made] == [True, False]
    assert config.pretraining.seeds >= 8 and all(isinstance(part.inside, AlphabetsPlan) for part in made)
    assert {cell.kind for part in made for cell in part.cells()} == {"inside"}


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
