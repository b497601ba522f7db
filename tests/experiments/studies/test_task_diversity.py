"""A known and a new regression task: arms, and what exact Bayes must say of each."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.design.options import to_json, with_options
from experiments.studies import task_diversity as study
from theory.base import Dataset
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]
EXPERIMENT = study.experiment(CONFIG)
answers = jax.jit(lambda process, tokens: answers_at(process, tokens, EXPERIMENT.process.answer_tokens))


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison_of_a_known_and_a_new_task(preset):
    config = study.PRESETS[preset]
    experiment = study.experiment(config)
    assert [arm.name for arm in experiment.arms] == ["known", "new"][preset == "smoke" :]
    assert json.loads(json.dumps(to_json(config)))["task"] == config.task
    for arm in experiment.arms:
        assert list(experiment.contexts(arm)) == ["in_domain", "held_out", "in_context", "conflict", "unseen"]
        inputs = np.asarray(experiment.contexts(arm)["held_out"].tokens)[:, 0]
        np.testing.assert_array_equal(inputs, [3, 4, 5, 6, 7])


def held_out(after, arm):
    group = EXPERIMENT.contexts(arm)["held_out"]
    return np.exp(np.asarray(answers(after, group.tokens))[np.asarray(group.mask)])


def test_a_known_task_spreads_to_every_input_and_a_new_one_says_only_that_it_is_new():
    process, prior = EXPERIMENT.process, EXPERIMENT.process.distribution()
    base = held_out(prior, EXPERIMENT.arms[0])
    tables = np.exp(process.log_chances(process.weights()))[:, 3:]
    for arm, task in zip(EXPERIMENT.arms, (CONFIG.task, CONFIG.process.tasks), strict=True):
        data = arm.task.data(jax.random.key(0), 32)
        after = TemperedPosterior().predict(prior, data, 1.0)
        assert np.exp(after.log_weights)[task] > 0.999
        answered = held_out(after, arm)
        if task == CONFIG.task:
            np.testing.assert_allclose(answered, tables[task], atol=1e-3)
        else:  # the same at every input, far from the new task's own answers and from what the base answers
            np.testing.assert_allclose(answered, np.tile(answered[0], (5, 1)), atol=1e-3)
            assert np.abs(answered - tables[task]).sum(axis=1).min() > 0.5
            assert np.abs(answered - base).sum(axis=1).min() > 0.05


def test_the_exchangeable_mixture_ends_at_the_task_alone(posterior_mode):
    """Where no other task is on average likelier than it, Σ_x p(x | z) / p(x | task) ≤ n, no blend is."""
    prior, n = EXPERIMENT.process.distribution(), 32
    before = np.exp(np.asarray(prior.log_weights, float))
    for arm, task in zip(EXPERIMENT.arms, (CONFIG.task, CONFIG.process.tasks), strict=True):
        data = arm.task.data(jax.random.key(0), n)
        told = prior.log_likelihoods(Dataset(data.tokens, jnp.ones(data.tokens.shape, bool)))
        told = np.asarray(told, float)
        assert np.exp(told - told[task]).mean(axis=1).max() <= 1
        ends, weights = (
            np.exp(ExchangeableMixture().predict(prior, data, beta).log_weights) for beta in (1e6, 1.0)
        )
        np.testing.assert_allclose(ends, np.eye(len(ends))[task], atol=1e-5)
        np.testing.assert_allclose(weights, posterior_mode(before, told, 1.0), atol=1e-5)
        # one document of prior is left, and little else
        assert -0.01 < weights[task] - (before[task] + n) / (1 + n) < 0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"task": 4}, "task must be one of the known ones, 0 to 3, got 4"),
        ({"kinds": ()}, "kinds must be known, new or both, got"),
        ({"kinds": ("new", "old")}, "got .'new', 'old'"),
        ({"process.seed": -1}, "process.seed must be at least 0, got -1"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.experiment(with_options(CONFIG, wrong))


def test_inputs_that_leave_nothing_to_ask_are_refused():
    with pytest.raises(Misuse, match="No input is left"):
        study.experiment(with_options(CONFIG, {"finetuned_inputs": tuple(range(8))}))
