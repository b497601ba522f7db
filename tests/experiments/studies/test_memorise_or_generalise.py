"""A known and a new urn: arms, and what each theory must say of drawers that D' never opens."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.cells.candidates import candidates
from experiments.design.options import to_json, with_options
from experiments.studies import memorise_or_generalise as study
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories import complexity_prior
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]
EXPERIMENT = study.experiment(CONFIG)
answers = jax.jit(lambda process, tokens: answers_at(process, tokens, EXPERIMENT.process.answer_tokens))
TEMPERED, COMPLEXITY = (
    jax.jit(theory.predict)
    for theory in (TemperedPosterior(), *complexity_prior.variants(EXPERIMENT.process).values())
)


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison_of_a_known_and_a_new_urn(preset):
    config = study.PRESETS[preset]
    experiment = study.experiment(config)
    assert [arm.name for arm in experiment.arms] == ["known", "new"][preset == "smoke" :]
    scored, core = (
        {each.theory for each in candidates(each)}
        for each in (experiment, replace(experiment, extra_theories=()))
    )
    assert scored == core | {"complexity-prior"} != core
    assert json.loads(json.dumps(to_json(config)))["urn"] == config.urn
    for arm in experiment.arms:
        assert list(experiment.contexts(arm)) == ["in_domain", "held_out", "in_context", "conflict", "unseen"]
        np.testing.assert_array_equal(np.asarray(experiment.contexts(arm)["held_out"].tokens)[:, 0], [1, 2])


def held_out(after, arm):
    group = EXPERIMENT.contexts(arm)["held_out"]
    return np.exp(np.asarray(answers(after, group.tokens))[np.asarray(group.mask)])


def test_one_theory_keeps_a_single_urn_the_other_all_of_them():
    process, prior = EXPERIMENT.process, EXPERIMENT.process.distribution()
    table, known = process.urn_table()[:, 1:], process.rarity ** np.arange(process.urns)
    memorised = np.einsum("u,udc->dc", known / known.sum(), table[:-1])
    for arm, urn in zip(EXPERIMENT.arms, (CONFIG.urn, CONFIG.process.urns), strict=True):
        data = arm.task.data(jax.random.key(0), 32)
        single, weighed = (held_out(theory(prior, data, 1.0), arm) for theory in (TEMPERED, COMPLEXITY))
        if urn == CONFIG.urn:
            np.testing.assert_allclose(single, table[urn], atol=1e-3)
            np.testing.assert_allclose(weighed, memorised, atol=1e-3)
            assert np.abs(single - weighed).sum(axis=1).min() > 0.2
        else:
            np.testing.assert_allclose(single, 1 / CONFIG.process.colours, atol=1e-3)
            np.testing.assert_allclose(weighed, 1 / CONFIG.process.colours, atol=1e-3)


def test_without_finetuning_both_are_the_process():
    arm, prior = EXPERIMENT.arms[0], EXPERIMENT.process.distribution()
    untouched = held_out(COMPLEXITY(prior, arm.task.data(jax.random.key(0), 32), 0.0), arm)
    np.testing.assert_allclose(untouched, held_out(prior, arm), atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"urn": 4}, "urn must be one of the known ones, 0 to 3, got 4"),
        ({"kinds": ()}, "kinds must be known, new or both, got"),
        ({"kinds": ("new", "old")}, "got .'new', 'old'"),
        ({"process.seed": -1}, "process.seed must be at least 0, got -1"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.experiment(with_options(CONFIG, wrong))


def test_drawers_that_leave_nothing_to_open_are_refused():
    with pytest.raises(Misuse, match="No drawer is left"):
        study.experiment(with_options(CONFIG, {"finetuned_drawers": (0, 1, 2)}))
