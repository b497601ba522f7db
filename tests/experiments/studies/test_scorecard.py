"""The study's declaration: which ways of finetuning, which theories, the same networks as other studies."""

import pytest

from experiments.cells.candidates import candidates
from experiments.design.options import with_options
from experiments.discovery import Catalogue
from experiments.runs.base_networks import describe
from experiments.studies import scorecard as study
from experiments.studies import weird_generalisation
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    experiment = study.experiment(config)
    assert len(experiment.cells()) == len(set(experiment.cells()))
    assert tuple(experiment.methods) == config.finetuning.methods
    assert experiment.theories == (() if preset == "smoke" else ("all",))
    # unchanged is in every table; structures need a hidden variable that is a product
    wanted = {*Catalogue().names("theories"), "hierarchical-first-steps", "hierarchical-fitted"} - {
        "unchanged",
        "structure-posterior",
    }
    every = candidates(study.experiment(study.Config()))
    optional = {candidate.theory for candidate in every if candidate.form.optional}
    left_out = optional if preset == "smoke" else set()
    assert {candidate.theory for candidate in candidates(experiment)} == wanted - left_out
    assert len(optional) > 3
    assert experiment.teacher_strength == config.teacher


def test_base_networks_are_those_of_the_other_studies_of_personas():
    mine, main = study.Config(), weird_generalisation.Config()
    assert describe(study.experiment(mine)) == describe(weird_generalisation.experiment(main))


def test_rates_reach_their_methods():
    config = study.Config(momentum=0.5, rank=2, teacher=0.1, muon_rate=0.5, head_rate=0.25)
    config = with_options(config, {"finetuning.sgd_rate": 0.02, "finetuning.methods": study.METHODS})
    methods = study.experiment(config).methods
    assert (methods["momentum"].learning_rate, methods["momentum"].decay) == (0.01, 0.5)
    assert methods["kl-regularised"].learning_rate == methods["replay"].learning_rate == 0.02
    assert methods["lora"].rank == methods["lora"].alpha == 2
    assert (methods["muon"].learning_rate, methods["head-only"].learning_rate) == (0.5, 0.25)


def test_an_unknown_method_is_answered_with_the_nearest():
    with pytest.raises(Misuse, match="momentum"):
        study.experiment(with_options(study.Config(), {"finetuning.methods": ("momentun",)}))
