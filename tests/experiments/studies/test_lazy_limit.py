"""The declaration of the study."""

import pytest

from experiments.runs.base_networks import describe
from experiments.studies import lazy_limit as study
from experiments.studies import weird_generalisation
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    comparison = study.comparison(config)
    assert len(comparison.cells()) == len(set(comparison.cells()))
    assert {name: method.learning_rate for name, method in comparison.methods.items()} == {
        name: rate for name, (_, rate) in study.rates(config).items()
    }


def test_step_sizes_are_halved_and_networks_are_those_of_the_other_studies_of_personas():
    config = study.Config(halvings=2)
    found = study.rates(config)
    assert found["sgd-0.008"] == ("sgd", 0.008) and found["adam-0.0012"] == ("adam", 0.0012)
    assert len(found) == 6
    main = weird_generalisation.Config()
    assert describe(study.comparison(config)) == describe(weird_generalisation.comparison(main))


def test_no_halving_is_refused():
    with pytest.raises(Misuse, match="halvings must be at least 1, got 0"):
        study.Config(halvings=0)
