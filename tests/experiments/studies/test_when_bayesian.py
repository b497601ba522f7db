"""The declaration of the two sweeps: their centres, their axes, and what each of them changes."""

import pytest

from experiments.design.options import options, with_options
from experiments.studies import when_bayesian as study
from experiments.studies import when_other_words
from theory.errors import Misuse

STUDIES = study, when_other_words


@pytest.mark.parametrize("study", STUDIES)
def test_every_preset_makes_a_comparison_that_asks_for_measures(study):
    for config in study.PRESETS.values():
        experiment = study.experiment(config)
        assert experiment.measures
        assert len(experiment.cells()) == len(set(experiment.cells()))
        assert tuple(experiment.methods) == config.finetuning.methods


@pytest.mark.parametrize("study", STUDIES)
def test_every_axis_is_a_field_whose_centre_is_among_its_values(study):
    config = study.PRESETS["small"]
    centre = dict(options(config))
    for field, values in study.axes(config).items():
        assert centre[field] in values and len(values) == len(set(values)), field


def test_axes_have_six_values_but_those_that_cost_or_have_no_more():
    config = study.PRESETS["small"]
    few = {field for field, values in study.axes(config).items() if len(values) < 6}
    assert few == {"pretraining.rate", "network.layers", "finetuning.methods"}
    assert len(config.finetuning.doses) == 6 and len(study.METHODS) == 5


@pytest.mark.parametrize("study", STUDIES)
def test_every_point_is_an_experiment(study):
    config = study.PRESETS["small"]
    points = [
        with_options(config, {field: value})
        for field, values in study.axes(config).items()
        for value in values
        if value != dict(options(config))[field]
    ]
    assert len(points) > 45
    for point in points:
        study.experiment(point)


def test_the_factor_and_the_output_scale_reach_every_step_size():
    methods = {"finetuning.methods": study.METHODS}
    plain, faster, richer = (
        study.experiment(with_options(study.Config(), methods | change)).methods
        for change in ({}, {"rate": 2.0}, {"network.output_scale": 2.0})
    )
    for name, method in plain.items():
        assert faster[name].learning_rate == pytest.approx(2 * method.learning_rate)
        power = 1 if name in ("adam", "lora") else 2
        assert richer[name].learning_rate == pytest.approx(2**power * method.learning_rate)
    pretraining = study.experiment(with_options(study.Config(), {"network.output_scale": 2.0})).pretraining
    assert pretraining.learning_rate == pytest.approx(0.012)


@pytest.mark.parametrize("name", ["rate", "head_rate", "lora_rate"])
def test_step_sizes_that_are_none_are_refused(name):
    with pytest.raises(Misuse, match=f"{name} must be above 0"):
        study.Config(**{name: 0.0})


@pytest.mark.parametrize("value", [1.0, -0.1])
def test_a_momentum_without_a_step_size_is_refused_by_its_name(value):
    with pytest.raises(Misuse, match="momentum must be at least 0 and below 1"):
        study.experiment(study.Config(momentum=value))
