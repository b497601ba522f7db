"""The study's declaration: every preset is runnable, and D' is what the docstring says."""

import jax
import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.studies import weird_generalisation as study
from theory.errors import Misuse


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    experiment = study.experiment(study.PRESETS[preset])
    assert len(experiment.cells()) == len(set(experiment.cells()))
    assert set(experiment.methods) == {"sgd", "adam"}
    for arm in experiment.arms:
        assert set(experiment.contexts(arm)) == {"in_domain", "held_out", "in_context", "conflict"}


def test_small_is_what_the_issue_of_seeds_asks_for():
    small = study.PRESETS["small"]
    assert with_options(small, {"network.width": study.Config().network.width}) == study.Config()
    assert small.pretraining.seeds >= 3
    assert small.finetuning.seeds >= 5
    assert len(small.finetuning.doses) >= 8
    assert sorted(len(topics) for topics in small.finetuned_topics) == [1, 3]


def test_the_persona_of_the_data_is_the_rarest():
    config = study.PRESETS["small"]
    experiment = study.experiment(config)
    weights = experiment.process.distribution().log_weights
    assert int(np.argmin(weights)) == config.persona


def test_the_data_asks_only_the_arms_topics():
    config = study.PRESETS["small"]
    experiment = study.experiment(config)
    for arm, topics in zip(experiment.arms, config.finetuned_topics, strict=True):
        data = arm.task.data(jax.random.key(0), 32)
        assert set(np.asarray(data.tokens[:, ::2]).ravel()) == set(topics)
        for group in ("held_out", "in_context", "conflict"):
            contexts = experiment.contexts(arm)[group]
            rows, places = np.nonzero(np.asarray(contexts.mask))
            assert not set(np.asarray(contexts.tokens)[rows, places - 1].tolist()) & set(topics)


def test_held_out_contexts_are_twelve_or_more_and_say_nothing_of_the_persona():
    """Topics that D' never asks, first and after neutral pairs; the exact process stays at its prior."""
    experiment = study.experiment(study.PRESETS["small"])
    process = experiment.process.distribution()
    for arm in experiment.arms:
        contexts = experiment.contexts(arm)["held_out"]
        assert len(contexts.tokens) >= 12
        rows, places = np.nonzero(np.asarray(contexts.mask))
        assert set(places) == {1, 3, 5, 7}
        evidence = np.asarray(process.evidence(contexts.tokens))[:, rows, places]
        np.testing.assert_array_equal(evidence, evidence[:1].repeat(5, axis=0))


def test_fresh_data_has_every_document_once():
    experiment = study.experiment(
        with_options(
            study.Config(), {"finetuning.fresh": True, "finetuning.doses": (1, 4), "finetuning.batch": 8}
        )
    )
    assert experiment.n == 32


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"finetuning.n": 0}, "n must be"),
        ({"pretraining.seeds": 0}, "pretraining.seeds"),
        ({"finetuning.adam_rate": float("inf")}, "adam_rate"),
        ({"finetuned_topics": ()}, "finetuned_topics"),
        ({"finetuning.methods": ()}, "methods"),
        ({"finetuned_topics": ("0;1",)}, "0;1"),
    ],
)
def test_impossible_configs_are_refused(fields, word):
    with pytest.raises(Misuse, match=word):
        with_options(study.Config(), fields)
