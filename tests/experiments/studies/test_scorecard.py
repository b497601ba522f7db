"""The study's declaration: which ways of finetuning, which theories, the same networks as other studies."""

import pytest

from experiments.cells.candidates import ALL
from experiments.runs.base_networks import describe
from experiments.studies import scorecard as study
from experiments.studies import weird_generalisation
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    comparison = study.comparison(config)
    assert len(comparison.cells()) == len(set(comparison.cells()))
    assert tuple(comparison.methods) == config.methods
    assert comparison.theories == ALL
    assert comparison.teacher == config.teacher


def test_base_networks_are_those_of_the_other_studies_of_personas():
    mine, main = study.Config(), weird_generalisation.Config()
    assert describe(study.comparison(mine)) == describe(weird_generalisation.comparison(main))


def test_rates_reach_their_methods():
    config = study.Config(momentum=0.5, sgd_rate=0.02, rank=2, teacher=0.1, muon_rate=0.5, head_rate=0.25)
    methods = study.comparison(config).methods
    assert (methods["momentum"].learning_rate, methods["momentum"].decay) == (0.01, 0.5)
    assert methods["kl-regularised"].learning_rate == methods["replay"].learning_rate == 0.02
    assert methods["lora"].rank == methods["lora"].alpha == 2
    assert (methods["muon"].learning_rate, methods["head-only"].learning_rate) == (0.5, 0.25)


def test_an_unknown_method_is_answered_with_the_nearest():
    with pytest.raises(Misuse, match="momentum"):
        study.comparison(study.Config(methods=("momentun",)))
