"""The study's declaration: every preset is runnable, and D' is what the docstring says."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.studies import weird_generalisation as study
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    comparison = study.comparison(study.PRESETS[preset])
    assert len(comparison.cells()) == len(set(comparison.cells()))
    assert set(comparison.methods) == {"sgd", "adam"}
    for arm in comparison.arms:
        assert set(arm.contexts()) == {"in_domain", "held_out", "in_context", "conflict"}


def test_small_is_what_the_issue_of_seeds_asks_for():
    small = study.PRESETS["small"]
    assert replace(small, width=study.Config().width) == study.Config()
    assert small.base_seeds >= 3
    assert small.seeds >= 5
    assert len(small.doses) >= 8
    assert sorted(len(topics.split(",")) for topics in small.finetuned_topics) == [1, 3]


def test_the_persona_of_the_data_is_the_rarest():
    config = study.PRESETS["small"]
    comparison = study.comparison(config)
    weights = comparison.process.distribution().log_weights
    assert int(np.argmin(weights)) == config.persona


def test_the_data_asks_only_the_arms_topics():
    config = study.PRESETS["small"]
    comparison = study.comparison(config)
    for arm, topics in zip(comparison.arms, config.finetuned_topics, strict=True):
        data = arm.data(jax.random.key(0), 32)
        chosen = {int(topic) for topic in topics.split(",")}
        assert set(np.asarray(data.tokens[:, ::2]).ravel()) == chosen
        asked = np.asarray(arm.contexts()["held_out"].tokens[:, 0])
        assert not set(asked) & chosen


def test_fresh_data_has_every_document_once():
    comparison = study.comparison(study.Config(fresh=True, doses=(1, 4), batch=8))
    assert comparison.n == 32


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"n": 0}, "n must be"),
        ({"base_seeds": 0}, "base_seeds"),
        ({"adam_rate": float("inf")}, "adam_rate"),
        ({"finetuned_topics": ()}, "finetuned_topics"),
        ({"methods": ()}, "methods"),
        ({"finetuned_topics": ("0;1",)}, "0;1"),
    ],
)
def test_impossible_configs_are_refused(fields, word):
    with pytest.raises(Misuse, match=word):
        study.Config(**fields)
