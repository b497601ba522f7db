"""The study of three currencies: what it measures, and what is refused."""

import pytest

from experiments.design.currencies_plan import CurrenciesPlan
from experiments.design.options import with_options
from experiments.studies import three_currencies as study
from theory.errors import Misuse


def test_small_has_eight_base_networks_of_a_process_that_pays_for_adding():
    config = study.PRESETS["small"]
    made = study.experiment(config)
    assert config.pretraining.seeds >= 8 and made.process.pairs == 12
    assert made.process.evidence_of_a_pair == pytest.approx(1.79, abs=0.01)
    assert isinstance(made.inside, CurrenciesPlan) and made.inside.shots[0] == 0
    assert {cell.kind for cell in made.cells()} == {"inside"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shots": (1, 2)}, "0 and more than 0"),
        ({"nats": (1.0, 2.0)}, "0 and more than 0"),
        ({"documents": 4}, "at least 20 documents"),
        ({"shots": (0, 12)}, "shots must leave room"),
        ({"training_nats": (0.0, 1.0)}, "none of them 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes, words):
    with pytest.raises(Misuse, match=words):
        study.experiment(with_options(study.Config(), changes))
