"""Modalities: arms and groups, and the part that exact Bayes carries over."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.studies import modalities as study
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]


def answers(process, arm, group):
    data = arm.contexts()[group]
    told = np.asarray(process.predict(data.tokens))[np.asarray(data.mask)]
    return np.exp(told[:, 3:])  # cues are 0 ... 2


def test_arms_are_the_alphabets_of_the_data():
    told = study.comparison(CONFIG)
    assert [arm.name for arm in told.arms] == ["drawing", "text"]
    groups = ["in_domain", "held_out", "as_text", "as_picture", "in_context", "conflict"]
    assert list(told.arms[0].contexts()) == groups
    assert list(told.arms[1].contexts()) == [*groups[:2], "as_picture", "as_drawing", *groups[4:]]
    apart = study.comparison(replace(CONFIG, together=False))
    assert "in_context" not in apart.arms[0].contexts()


@pytest.mark.parametrize("theory", [TemperedPosterior(), ExchangeableMixture()])
@pytest.mark.parametrize("together", [True, False])
def test_exact_bayes_carries_over_all_or_nothing(theory, together):
    for arm in study.comparison(replace(CONFIG, together=together)).arms:
        prior = study.comparison(replace(CONFIG, together=together)).process.distribution()
        moved = theory.predict(prior, arm.data(jax.random.key(0), 32), 1.0)
        inside, outside = (
            np.abs(answers(moved, arm, group) - answers(prior, arm, group)).max()
            for group in ("in_domain", "held_out")
        )
        assert inside > 0.2
        assert outside > 0.2 if together else outside < 1e-3


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"finetuned_modalities": ()}, "finetuned_modalities needs at least one alphabet"),
        ({"process_seed": -1}, "Seeds must be at least 0, got -1"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        replace(CONFIG, **wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"concept": 4}, "concept must be from 0 to 3, got 4"), ({"finetuned_modalities": ("song",)}, "'song'")],
)
def test_what_the_process_lacks_is_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.comparison(replace(CONFIG, **wrong))
