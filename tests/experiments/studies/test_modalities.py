"""Modalities: arms and groups, and the part that exact Bayes carries over."""

import jax
import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.studies import modalities as study
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]


def answers(process, data):
    log_probs = np.asarray(process.predict(data.tokens))[np.asarray(data.mask)]
    return np.exp(log_probs[:, 3:])  # cues are 0 ... 2


def test_arms_are_the_alphabets_of_the_data():
    experiment = study.experiment(CONFIG)
    assert [arm.name for arm in experiment.arms] == ["drawing", "text"]
    groups = ["in_domain", "held_out", "as_text", "as_picture", "in_context", "conflict"]
    assert list(experiment.contexts(experiment.arms[0])) == groups
    assert list(experiment.contexts(experiment.arms[1])) == [
        *groups[:2],
        "as_picture",
        "as_drawing",
        *groups[4:],
    ]
    apart = study.experiment(with_options(CONFIG, {"process.together": False}))
    assert "in_context" not in apart.contexts(apart.arms[0])


@pytest.mark.parametrize("theory", [TemperedPosterior(), ExchangeableMixture()])
@pytest.mark.parametrize("together", [True, False])
def test_exact_bayes_carries_over_all_or_nothing(theory, together):
    experiment = study.experiment(with_options(CONFIG, {"process.together": together}))
    prior = experiment.process.distribution()
    for arm in experiment.arms:
        groups = experiment.contexts(arm)
        moved = theory.predict(prior, arm.task.data(jax.random.key(0), 32), 1.0)
        inside, outside = (
            np.abs(answers(moved, groups[name]) - answers(prior, groups[name])).max()
            for name in ("in_domain", "held_out")
        )
        assert inside > 0.2
        assert outside > 0.2 if together else outside < 1e-3


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"finetuned_modalities": ()}, "finetuned_modalities needs at least one entry"),
        ({"process.seed": -1}, "process.seed must be at least 0, got -1"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"concept": 4}, "concept must be from 0 to 3, got 4"), ({"finetuned_modalities": ("song",)}, "'song'")],
)
def test_what_the_process_lacks_is_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.experiment(with_options(CONFIG, wrong))
