"""Context against finetuning: the arms, what exact Bayes says of them, and the figure of made-up answers."""

import json

import jax
import numpy as np
import pytest

from experiments.design.options import to_json, with_options
from experiments.scoring.context_filter import efficiency, prior_odds
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
EXPERIMENT = study.experiment(CONFIG)
PROCESS, STRENGTH = EXPERIMENT.process.distribution(), 0.04
TEMPERED = jax.jit(TemperedPosterior().predict)


@jax.jit
def READ(predictor, tokens):
    part = EXPERIMENT.process.answer_tokens
    components = PROCESS.component_log_probs(tokens)[..., part]
    return answers_at(predictor, tokens, part), components, PROCESS.evidence(tokens)


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_preset_makes_a_comparison(preset):
    config = study.PRESETS[preset]
    experiment = study.experiment(config)
    assert [arm.name for arm in experiment.arms] == [
        f"questions{'_'.join(map(str, questions))}" for questions in config.finetuned_questions
    ]
    assert json.loads(json.dumps(to_json(config)))["shots"] == list(config.shots)
    for arm in experiment.arms:
        groups = experiment.contexts(arm)
        assert list(groups) == [
            *("in_domain", "held_out", "shots_1", "shots_2", "shots_4"),
            *("asked", "asked_1", "asked_2", "asked_4"),
        ]
        # every question that is held out meets every rival equally often
        count = config.process.modulus - int(arm.name.count("_")) - 1
        assert len(groups["shots_1"].tokens) == count * config.repeats
        assert config.repeats % (config.process.modulus - 1) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_exact_bayes_pays_lambda_for_every_shot_at_every_strength(kind, make_contexts):
    """The tempered posterior's beliefs, read off its answers: additive, whatever D' and the context asked."""
    shots, worth = list(CONFIG.shots), options(to_json(CONFIG)).price
    np.testing.assert_allclose(worth, EXPERIMENT.process.evidence_of_a_pair)
    for arm in EXPERIMENT.arms:
        data, beliefs, answers, added = arm.task.data(jax.random.key(0), 8), [], [], []
        for beta in (0.0, STRENGTH, 2 * STRENGTH):
            after = TEMPERED(PROCESS, data, beta)
            read = [answers_in(after, EXPERIMENT.contexts(arm)[name], make_contexts) for name in names(kind)]
            beliefs.append([belief_odds(*each, CONFIG.shift)[0] for each in read])
            answers.append([answer_odds(*each, CONFIG.shift)[0] for each in read])
            counts = [0, *shots]
            added.append([additive(*read[0], CONFIG.shift, count, worth)[0] for count in counts])
        beliefs, answers, added = (np.moveaxis(each, 1, -1) for each in (beliefs, answers, added))
        paid = prices(beliefs, shots)
        assert np.isfinite(paid).sum() >= 3
        np.testing.assert_allclose(paid[np.isfinite(paid)], worth, atol=2e-3)
        # where the beliefs are read, what is added to those without shots gives the answers
        finite = np.isfinite(beliefs[..., :1]) & np.isfinite(beliefs)
        np.testing.assert_allclose(added[finite], answers[finite], atol=2e-3)
        rivals = [k for k in range(CONFIG.process.modulus) if k != CONFIG.shift]
        undo = [EXPERIMENT.process.shots_to_undo(data, STRENGTH, CONFIG.shift, rival) for rival in rivals]
        np.testing.assert_allclose(shots_to_undo(beliefs, shots)[1], np.mean(undo), atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tempered_posterior_moves_the_prior_and_leaves_the_filter(kind, make_contexts):
    """K(s)/K(0) = 1, and log-odds move by β × evidence of D'; with half of the evidence K(s)/K(0) is ½."""
    arm = EXPERIMENT.arms[0]
    data, tuned = arm.task.data(jax.random.key(0), 8), []
    for beta in (0.0, STRENGTH):
        after = TEMPERED(PROCESS, data, beta)
        read = [answers_in(after, EXPERIMENT.contexts(arm)[name], make_contexts) for name in names(kind)]
        tuned.append(np.concatenate([answers[0, 0] for answers, _ in read]))
    process = tuple(
        np.concatenate([getattr(contexts, name) for _, contexts in read], axis=1)
        for name in ("components", "evidence")
    )
    halved = after.log_weights[:, None] + process[1] / 2
    halved = np.exp(halved - np.logaddexp.reduce(halved, axis=0))
    tuned.append(np.log(np.einsum("kc,kca->ca", halved, np.exp(process[0]))))
    counts, _ = efficiency(np.stack(tuned), *process)
    np.testing.assert_allclose(counts / counts[0], [1, 1, 0.5], atol=0.006)
    odds = prior_odds(np.stack(tuned), *process, counts, CONFIG.shift)
    explained = [EXPERIMENT.process.explained(data.tokens, data.mask, k).sum() for k in range(4)]
    rivals = np.delete(explained, CONFIG.shift).mean()
    worth = STRENGTH * EXPERIMENT.process.evidence_of_a_pair * (explained[CONFIG.shift] - rivals)
    np.testing.assert_allclose(odds - odds[0], [0, worth, worth], atol=0.03)


def names(kind):
    first, after = KINDS[kind]
    return [first, *(after.format(count) for count in CONFIG.shots)]


def answers_in(predictor, group, make_contexts):
    """Answers (1, 1, c, a) in a group of contexts, and what the process says there."""
    tokens = np.zeros((24, EXPERIMENT.process.length), np.int32)  # one shape, one program
    tokens[: len(group.tokens)] = group.tokens
    log_probs, components, evidence = READ(predictor, tokens)
    where = np.nonzero(np.asarray(group.mask))
    components, evidence = np.asarray(components)[:, *where], np.asarray(evidence)[:, *where]
    contexts = make_contexts(["held_out"] * len(where[0]), components, evidence=evidence)
    return np.asarray(log_probs)[where][None, None], contexts


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"finetuned_questions": ()}, "finetuned_questions needs at least one entry"),
        ({"finetuned_questions": ("0;1",)}, r"must be like \(\(0,\), \(0, 1, 2\)\), got \('0;1',\)"),
        ({"shots": ()}, "shots must be at least one number, ascending"),
        ({"shots": (2, 1)}, r"ascending, got \[2, 1\]"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)


def test_questions_that_do_not_exist_are_refused():
    with pytest.raises(Misuse, match="from 0 to 3"):
        study.experiment(with_options(CONFIG, {"finetuned_questions": ((7,),)}))
