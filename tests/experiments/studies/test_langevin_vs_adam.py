"""The study's declaration: Adam alone, its metric at several times and temperatures."""

import pytest

from experiments.runs.base_networks import describe
from experiments.studies import langevin_vs_adam as study
from experiments.studies import weird_generalisation
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    comparison = study.comparison(config)
    assert len(comparison.cells()) == len(set(comparison.cells()))
    assert list(comparison.methods) == ["adam"]
    assert comparison.sampling.moments == config.moments
    told = [(each.theory, each.temperature) for each in comparison.sampling.sets()]
    assert told == [
        *(("langevin-posterior", temperature) for temperature in config.temperatures),
        *(("adam-gibbs", temperature) for temperature in config.adam_temperatures),
    ]


def test_base_networks_are_those_of_the_other_studies_of_personas():
    main = weird_generalisation.comparison(weird_generalisation.Config())
    assert describe(study.comparison(study.Config())) == describe(main)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"methods": ("sgd",)}, "adam among them, got sgd"),
        ({"temperatures": ()}, "temperatures and moments"),
        ({"moments": ()}, "temperatures and moments"),
    ],
)
def test_bad_configs_are_refused_in_a_sentence(fields, word):
    with pytest.raises(Misuse, match=word):
        study.Config(**fields)


def test_moments_are_steps():
    with pytest.raises(Misuse, match=r"moments must be steps of Adam, at least 0, got \(-1,\)"):
        study.comparison(study.Config(moments=(-1,)))
