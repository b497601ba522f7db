"""The declaration of the study."""

import pytest

from experiments.runs.base_networks import describe
from experiments.studies import lazy_limit as study
from experiments.studies import weird_generalisation
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    experiment = study.experiment(config)
    assert len(experiment.cells()) == len(set(experiment.cells()))
    assert {name: method.learning_rate for name, method in experiment.methods.items()} == {
        name: rate for name, (_, rate) in study.rates(config).items()
    }


def test_step_sizes_are_halved_and_networks_are_those_of_the_other_studies_of_personas():
    config = study.Config(halvings=2)
    rates = study.rates(config)
    assert rates["sgd-0.008"] == ("sgd", 0.008) and rates["adam-0.0012"] == ("adam", 0.0012)
    assert len(rates) == 6
    main = weird_generalisation.Config()
    assert describe(study.experiment(config)) == describe(weird_generalisation.experiment(main))


@pytest.mark.parametrize(("halvings", "limit"), [(0, "at least 1"), (40, "at most 20")])
def test_no_halving_is_refused_and_more_than_numbers_resolve(halvings, limit):
    with pytest.raises(Misuse, match=f"halvings must be {limit}, got {halvings}"):
        study.Config(halvings=halvings)
