"""Context against finetuning: the arms, what exact Bayes says of them, and the figure of made-up answers."""

import dataclasses
import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.studies import exchange_rate as study
from experiments.studies.figures.exchange_rate import (
    KINDS,
    additive,
    answer_odds,
    belief_odds,
    options,
    prices,
    shots_to_undo,
)
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]
TOLD = study.comparison(CONFIG)
PROCESS, STRENGTH = TOLD.process.distribution(), 0.04
TEMPERED = jax.jit(TemperedPosterior().predict)


@jax.jit
def READ(predictor, tokens):
    part = TOLD.process.answer_tokens
    components = PROCESS.component_log_probs(tokens)[..., part]
    return answers_at(predictor, tokens, part), components, PROCESS.evidence(tokens)


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    told = study.comparison(config)
    assert [arm.name for arm in told.arms] == [
        f"questions{text.replace(',', '_')}" for text in config.finetuned_questions
    ]
    assert json.loads(json.dumps(dataclasses.asdict(config)))["shots"] == list(config.shots)
    for arm in told.arms:
        groups = arm.contexts()
        assert list(groups) == [
            *("in_domain", "held_out", "shots_1", "shots_2", "shots_4"),
            *("asked", "asked_1", "asked_2", "asked_4"),
        ]
        # every question that is held out meets every rival equally often
        count = config.modulus - int(arm.name.count("_")) - 1
        assert len(groups["shots_1"].tokens) == count * config.repeats
        assert config.repeats % (config.modulus - 1) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_exact_bayes_pays_lambda_for_every_shot_at_every_strength(kind, make_contexts):
    """The tempered posterior's beliefs, read off its answers: additive, whatever D' and the context asked."""
    shots, worth = list(CONFIG.shots), options(dataclasses.asdict(CONFIG)).price
    np.testing.assert_allclose(worth, TOLD.process.evidence_of_a_pair)
    for arm in TOLD.arms:
        data, beliefs, answers, added = arm.data(jax.random.key(0), 8), [], [], []
        for beta in (0.0, STRENGTH, 2 * STRENGTH):
            after = TEMPERED(PROCESS, data, beta)
            said = [told(after, arm.contexts()[name], make_contexts) for name in names(kind)]
            beliefs.append([belief_odds(*each, CONFIG.shift)[0] for each in said])
            answers.append([answer_odds(*each, CONFIG.shift)[0] for each in said])
            counts = [0, *shots]
            added.append([additive(*said[0], CONFIG.shift, count, worth)[0] for count in counts])
        beliefs, answers, added = (np.array(each) for each in (beliefs, answers, added))
        found = prices(beliefs, shots)
        assert np.isfinite(found).sum() >= 3
        np.testing.assert_allclose(found[np.isfinite(found)], worth, atol=2e-3)
        # where the beliefs are read, what is added to those without shots gives the answers
        read = np.isfinite(beliefs[:, :1]) & np.isfinite(beliefs)
        np.testing.assert_allclose(added[read], answers[read], atol=2e-3)
        rivals = [k for k in range(CONFIG.modulus) if k != CONFIG.shift]
        undo = [TOLD.process.shots_to_undo(data, STRENGTH, CONFIG.shift, rival) for rival in rivals]
        np.testing.assert_allclose(shots_to_undo(beliefs, shots)[1], np.mean(undo), atol=2e-3)


def names(kind):
    first, after = KINDS[kind]
    return [first, *(after.format(count) for count in CONFIG.shots)]


def told(predictor, group, make_contexts):
    """Answers (1, 1, c, a) in a group of contexts, and what the process says there."""
    tokens = np.zeros((24, TOLD.process.length), np.int32)  # one shape, one program
    tokens[: len(group.tokens)] = group.tokens
    said, components, evidence = READ(predictor, tokens)
    where = np.nonzero(np.asarray(group.mask))
    components, evidence = np.asarray(components)[:, *where], np.asarray(evidence)[:, *where]
    contexts = make_contexts(["held_out"] * len(where[0]), components, evidence=evidence)
    return np.asarray(said)[where][None, None], contexts


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"finetuned_questions": ()}, "finetuned_questions needs at least one set"),
        ({"finetuned_questions": ("0;1",)}, "numbers with commas between, like 0,1; got '0;1'"),
        ({"shots": ()}, "shots must be at least one number, ascending"),
        ({"shots": (2, 1)}, r"ascending, got \[2, 1\]"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        replace(CONFIG, **wrong)


def test_questions_that_do_not_exist_are_refused():
    with pytest.raises(Misuse, match="from 0 to 3"):
        study.comparison(replace(CONFIG, finetuned_questions=("7",)))
