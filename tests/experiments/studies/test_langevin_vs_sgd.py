"""The study's declaration: the same networks as weird-generalisation, one arm for each batch size."""

import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.runs.base_networks import describe
from experiments.studies import langevin_vs_sgd as study
from experiments.studies import weird_generalisation
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    experiment = study.experiment(config)
    assert len(experiment.cells()) == len(set(experiment.cells()))
    assert [arm.batch for arm in experiment.arms] == list(config.batches)
    assert experiment.sampling.fisher
    assert experiment.sampling.times == config.times
    assert experiment.sampling.temperatures == config.sampling.temperatures


def test_base_networks_are_those_of_the_other_studies_of_personas():
    mine, main = (
        study.experiment(study.Config()),
        weird_generalisation.experiment(weird_generalisation.Config()),
    )
    assert describe(mine) == describe(main)


def test_arms_differ_in_their_batch_alone():
    import jax

    experiment = study.experiment(study.Config())
    first, *others = experiment.arms
    for arm in others:
        assert arm.name != first.name
        key = jax.random.key(3)
        np.testing.assert_array_equal(arm.task.data(key, 8).tokens, first.task.data(key, 8).tokens)
        assert {name: group.tokens.tolist() for name, group in experiment.contexts(arm).items()} == {
            name: group.tokens.tolist() for name, group in experiment.contexts(first).items()
        }


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"batches": ()}, "batches"),
        ({"batches": (0,)}, "got 0"),
        ({"sampling.temperatures": ()}, "temperatures"),
    ],
)
def test_bad_configs_are_refused_in_a_sentence(fields, word):
    with pytest.raises(Misuse, match=word):
        with_options(study.Config(), fields)


@pytest.mark.parametrize("time", [-0.1, float("nan"), float("inf")])
def test_times_are_finite(time):
    with pytest.raises(Misuse, match=rf"times must be finite.*, got {time}"):
        study.experiment(with_options(study.Config(), {"times": (0.0, time)}))
