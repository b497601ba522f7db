"""Belief geometry: arms and groups, which theory forgets the setting shown, what is left of the states."""

import json

import jax
import numpy as np
import pytest

from experiments.design.options import to_json, with_options
from experiments.studies import belief_geometry as study
from experiments.studies.figures.belief_geometry import recovered_states, shown_setting
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]


@pytest.fixture(scope="module")
def experiment():
    return study.experiment(with_options(CONFIG, {"repeats": 8}))


def shift(experiment, theory, group):
    """How far answers go from the exact process to the filter of D', in the first arm."""
    arm, prior = experiment.arms[0], experiment.process.distribution()
    contexts = experiment.contexts(arm)[group]
    mask = np.asarray(contexts.mask)
    before = np.exp(np.asarray(prior.predict(contexts.tokens)))[mask]
    after = np.exp(
        np.asarray(theory.predict(prior, arm.task.data(jax.random.key(0), 32), 1.0).predict(contexts.tokens))
    )[mask]
    alone = np.exp(np.asarray(prior.component_log_probs(contexts.tokens))[2])[mask]
    return np.sum((after - before) * (alone - before)) / np.sum((alone - before) ** 2)


def test_arms_are_the_settings_of_the_data(experiment):
    assert [arm.name for arm in experiment.arms] == ["0.45_0.9", "0.15_0.6", "0.3_0.8"]
    assert experiment.process.settings == ((0.05, 0.85), (0.15, 0.6), (0.45, 0.9))
    names = ["in_domain", "held_out", "early", "switch"]
    assert all(list(experiment.contexts(arm)) == names for arm in experiment.arms)
    assert (
        len(experiment.contexts(experiment.arms[2])["held_out"].tokens) == 3 * 8
    )  # all of pretraining's are others
    assert json.loads(json.dumps(to_json(CONFIG)))["process"]["settings"][0] == [0.05, 0.85]


def test_one_setting_for_all_of_the_data_is_kept_and_a_setting_a_document_given_up(experiment):
    assert shift(experiment, TemperedPosterior(), "held_out") > 0.99
    early, late = (shift(experiment, ExchangeableMixture(), group) for group in ("early", "held_out"))
    assert early > 0.5 and late < early / 2


@pytest.fixture(scope="module")
def contexts(experiment, make_contexts):
    """Held-out contexts of the first arm, as a cell has them, without a run."""
    prior, group = experiment.process.distribution(), experiment.contexts(experiment.arms[0])["held_out"]
    mask = np.asarray(group.mask)
    components = np.asarray(prior.component_log_probs(group.tokens))[:, mask]
    evidence = np.asarray(prior.evidence(group.tokens))[:, mask]
    return make_contexts(["held_out"] * int(mask.sum()), components, evidence=evidence)


def test_an_affine_image_of_the_states_keeps_them_and_a_constant_none(contexts):
    setting, inside = shown_setting(contexts)
    assert setting == 0 and 0.3 < inside.mean() < 0.9
    filters = np.exp(np.asarray(contexts.components, float)[0])
    blurred = 0.3 * filters[:, [1, 2, 0]] + 0.7 / 3
    noise = np.random.default_rng(0).dirichlet(np.ones(3), len(filters))
    constant = np.full_like(filters, 1 / 3)
    probs = np.stack([filters, blurred, noise, constant])[:, None]
    exact, image, random, nothing = recovered_states(contexts, probs)[:, 0]
    assert exact > 1 - 1e-9 and image > 1 - 1e-9
    assert random < 0.1 and abs(nothing) < 1e-9


def test_the_exact_process_keeps_most_of_the_states(experiment, contexts):
    group = experiment.contexts(experiment.arms[0])["held_out"]
    exact = np.exp(
        np.asarray(experiment.process.distribution().predict(group.tokens))[np.asarray(group.mask)]
    )
    assert 0.8 < recovered_states(contexts, exact[None, None].astype(float))[0, 0] < 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"finetuned_settings": ()}, "finetuned_settings needs at least one entry"),
        ({"process.settings": ("0.05;0.85",)}, r"process.settings must be like .*, got \('0.05;0.85',\)"),
        ({"pretraining.seeds": 0}, "pretraining.seeds must be at least 1, got 0"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)


def test_impossible_processes_are_refused_before_anything_runs():
    with pytest.raises(Misuse, match="x of mess3 must be between 0 and"):
        study.experiment(with_options(CONFIG, {"finetuned_settings": ((0.7, 0.9),)}))
    bits = with_options(
        CONFIG,
        {
            "process.family": "golden_mean",
            "process.settings": ((0.5,), (0.2,)),
            "finetuned_settings": ((0.2,),),
        },
    )
    with pytest.raises(
        Misuse, match=r"golden_mean never shows some tokens, .* got process.slip = 0: .* --process.slip 0.01"
    ):
        study.experiment(bits)
    assert not study.experiment(with_options(bits, {"process.slip": 0.01})).process.rules_out()
