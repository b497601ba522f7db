"""The study's declaration: Adam alone, its metric at several times and temperatures."""

import pytest

from experiments.design.options import with_options
from experiments.runs.base_networks import describe
from experiments.studies import langevin_vs_adam as study
from experiments.studies import weird_generalisation
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    experiment = study.experiment(config)
    assert len(experiment.cells()) == len(set(experiment.cells()))
    assert list(experiment.methods) == ["adam"]
    assert experiment.sampling.moments == config.moments
    sets = [(each.theory, each.temperature) for each in experiment.sampling.sets()]
    assert sets == [
        *(("langevin-posterior", temperature) for temperature in config.sampling.temperatures),
        *(("adam-gibbs", temperature) for temperature in config.adam_temperatures),
    ]


def test_base_networks_are_those_of_the_other_studies_of_personas():
    main = weird_generalisation.experiment(weird_generalisation.Config())
    assert describe(study.experiment(study.Config())) == describe(main)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"finetuning.methods": ("sgd",)}, "adam among them, got sgd"),
        ({"sampling.temperatures": ()}, "sampling.temperatures needs"),
        ({"moments": ()}, "moments needs"),
    ],
)
def test_bad_configs_are_refused_in_a_sentence(fields, word):
    with pytest.raises(Misuse, match=word):
        with_options(study.Config(), fields)


@pytest.mark.parametrize("moments", [-1, 10**9])
def test_moments_are_steps(moments):
    with pytest.raises(Misuse, match=f"moments must be steps of Adam, from 0 to 10000, got {moments}"):
        study.experiment(study.Config(moments=(0, moments)))
