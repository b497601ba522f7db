"""The config that all studies share: its checks, and the experiment that is made of it."""

import subprocess
import sys

import pytest

from experiments.design.checks import check_kinds, check_some, known
from experiments.design.config import FinetuningConfig, StudyConfig
from experiments.design.options import with_options
from experiments.design.presets import BRIEF, FULL, MANY_CHAINS, SHORT_CHAINS, SMOKE
from experiments.design.sampling import Sampling
from experiments.studies import weird_generalisation as study
from models.finetuning.adam import Adam
from models.finetuning.sgd import Sgd
from models.pretraining import Pretraining
from theory.errors import Misuse
from theory.mcmc.chains import Plan

CONFIG = study.PRESETS["small"]


def make(changes):
    return study.experiment(with_options(CONFIG, changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pretraining.seeds": 0}, "pretraining.seeds must be at least 1, got 0"),
        ({"pretraining.groups": 0}, "pretraining.groups must be at least 1, got 0"),
        ({"pretraining.groups": 3}, "pretraining.groups must divide pretraining.seeds = 4, got 3"),
        (
            {"pretraining.groups": 2, "sampling.temperatures": (0.1,)},
            "pretraining.groups must be 1 where networks are retrained or posteriors sampled, got 2",
        ),
        ({"pretraining.rate": 0.0}, "pretraining.rate must be above 0 and finite, got 0.0"),
        ({"finetuning.n": 0}, "finetuning.n must be at least 1, got 0"),
        ({"finetuning.seeds": -1}, "finetuning.seeds must be at least 1, got -1"),
        ({"finetuning.adam_rate": float("nan")}, "finetuning.adam_rate must be above 0 and finite, got nan"),
        ({"finetuning.methods": ()}, "finetuning.methods needs at least one way of finetuning, got none"),
        ({"finetuning.methods": ("sgd", "sgd")}, "must differ from each other, got sgd, sgd"),
        ({"sampling.chains": 0}, "sampling.chains must be at least 1, got 0"),
        ({"repeats": 0}, "^repeats must be at least 1, got 0"),
        ({"seed": -1}, "^seed must be at least 0, got -1"),
        ({"seed": 10**20}, "^seed must be at most 2000000, got a number of about 20 digits"),
        ({"process.seed": -3}, "process.seed must be at least 0, got -3"),
        ({"finetuned_topics": ()}, "finetuned_topics needs at least one entry, got none"),
    ],
)
def test_impossible_options_are_refused(changes, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, changes)


@pytest.mark.parametrize("preset", [SMOKE, BRIEF, FULL, SMOKE | SHORT_CHAINS, MANY_CHAINS])
def test_presets_are_options_that_every_study_has(preset):
    assert type(with_options(StudyConfig(), preset)) is StudyConfig


def test_an_experiment_has_the_numbers_of_its_config():
    made = make({"finetuning.sgd_rate": 0.02, "pretraining.rate": 0.003, "network.layers": 1, "seed": 7})
    assert (made.shape.width, made.shape.layers, made.shape.heads, made.shape.activation) == (
        24,
        1,
        2,
        "relu",
    )
    assert (made.pretraining.optimizer, made.pretraining.learning_rate, made.pretraining.steps) == (
        "muon",
        0.003,
        1200,
    )
    assert (made.pretraining.targets, made.pretraining.until_learnt) == ("exact", None)
    by_rule = make({"network.width": 36, "pretraining.until_learnt": 0.95, "pretraining.targets": "tokens"})
    assert by_rule.pretraining == Pretraining("muon", 0.005, 1200, 64, targets="tokens", until_learnt=0.95)
    assert made.methods == {"sgd": Sgd(0.02), "adam": Adam(0.0003)}
    assert (made.base_seeds, made.seeds, made.n, made.batch, made.seed) == (4, 5, 32, 16, 7)
    assert made.doses == (1, 2, 4, 8, 16, 32, 64, 128) and made.steps == 128 and not made.fresh
    assert [arm.name for arm in made.arms] == ["topics0", "topics0_1_2"]
    assert made.process == CONFIG.process.build()
    assert made.theories == () and made.extra_theories == ()


def test_methods_are_found_by_name_at_their_defaults():
    made = make({"finetuning.methods": ("adam", "lora", "momentum")})
    from models.finetuning import lora, momentum

    assert list(made.methods) == ["adam", "lora", "momentum"]
    assert made.methods["lora"] == lora.example() and made.methods["momentum"] == momentum.example()
    with pytest.raises(Misuse, match="no method called 'adma'; did you mean adam"):
        make({"finetuning.methods": ("adma",)})


def test_fresh_documents_are_all_that_the_steps_meet():
    assert FinetuningConfig(fresh=True, doses=(1, 8), batch=4).documents == 32
    made = make({"finetuning.fresh": True, "finetuning.doses": (1, 8), "finetuning.batch": 4})
    assert made.n == 32 and made.fresh
    assert made.training("sgd", made.arms[0]).passes.tolist() == [1 / 8, 1]


def test_posteriors_are_sampled_where_there_is_a_temperature():
    assert make({"sampling.temperatures": ()}).sampling is None
    changes = {
        "sampling.temperatures": (0.01,),
        "sampling.bases": 9,
        "sampling.seeds": 9,
        "sampling.warmup": 3,
    }
    sampling = make(changes | {"sampling.samples": 5, "sampling.chains": 4, "sampling.rounds": 1}).sampling
    expected = Sampling((0.01,), plan=Plan(3, 5, 2), chains=4, rounds=1, bases=4, seeds=5)
    assert sampling == expected  # no more bases and seeds than there are
    cells = make(changes).cells()
    assert sum(cell.kind == "posteriors" for cell in cells) == 4 * 2


def test_checks_of_arms():
    assert known(3, persona=2) == 2
    with pytest.raises(Misuse, match="persona must be one of the known ones, 0 to 2, got 3"):
        known(3, persona=3)
    with pytest.raises(Misuse, match="kinds must be known, new or both, got \\['old'\\]"):
        check_kinds(("old",))
    with pytest.raises(Misuse, match="biases needs at least one entry, got none"):
        check_some("biases", ())


def test_configs_import_no_jax():
    """So that help answers at once."""
    code = (
        "import sys\nfrom experiments.discovery import Catalogue\n"
        "from experiments.design.study import Study\n"
        "for name in Catalogue().names('studies'):\n    Study(name).module.PRESETS\n"
        "assert not {'jax', 'flax', 'numpyro', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
