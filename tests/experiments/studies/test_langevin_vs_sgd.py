"""The study's declaration: the same networks as weird-generalisation, one arm for each batch size."""

import numpy as np
import pytest

from experiments.runs.base_networks import describe
from experiments.studies import langevin_vs_sgd as study
from experiments.studies import weird_generalisation
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    comparison = study.comparison(config)
    assert len(comparison.cells()) == len(set(comparison.cells()))
    assert [arm.batch for arm in comparison.arms] == list(config.batches)
    assert comparison.sampling.fisher
    assert comparison.sampling.times == config.times
    assert comparison.sampling.temperatures == config.temperatures


def test_base_networks_are_those_of_the_other_studies_of_personas():
    mine, main = (
        study.comparison(study.Config()),
        weird_generalisation.comparison(weird_generalisation.Config()),
    )
    assert describe(mine) == describe(main)


def test_arms_differ_in_their_batch_alone():
    import jax

    comparison = study.comparison(study.Config())
    first, *others = comparison.arms
    for arm in others:
        assert arm.name != first.name
        key = jax.random.key(3)
        np.testing.assert_array_equal(arm.data(key, 8).tokens, first.data(key, 8).tokens)
        assert {name: group.tokens.tolist() for name, group in arm.contexts().items()} == {
            name: group.tokens.tolist() for name, group in first.contexts().items()
        }


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"batches": ()}, "batches"), ({"batches": (0,)}, "got 0"), ({"temperatures": ()}, "temperatures")],
)
def test_bad_configs_are_refused_in_a_sentence(fields, word):
    with pytest.raises(Misuse, match=word):
        study.Config(**fields)
