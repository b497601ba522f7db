"""Far away: arms, what exact Bayes must say inside and outside, and the bells that go on, in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.design.options import to_json, with_options
from experiments.studies import far_away as study
from experiments.studies.figures.far_away import extrapolated_answers, extrapolated_evidence, options
from theory.base import Dataset
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = with_options(study.PRESETS["small"], {"finetuning.n": 40})
PROCESS, FARTHEST, WIDEST = options(to_json(CONFIG)), 3, 4


def arms():
    experiment = study.experiment(CONFIG)
    return experiment, {arm.name: arm for arm in experiment.arms}


def test_arms_are_inside_just_outside_and_farther():
    experiment, by_name = arms()
    process = experiment.process
    assert list(by_name) == ["inside2", "outside0", "outside2"]
    for arm, first in zip(by_name.values(), (8, 10, 12), strict=True):
        groups = experiment.contexts(arm)
        assert list(groups) == ["in_domain", "held_out", "in_context", "conflict"]
        assert groups["held_out"].tokens[0, 0] == 1  # "what" is asked first, before anything else
        data = arm.task.data(jax.random.key(0), 40)
        shown = set(np.asarray(data.tokens)[np.asarray(data.mask)].tolist())
        assert {process.token_names()[token] for token in shown} == {
            f"distance {first}",
            f"distance {first + 1}",
        }


def test_exact_bayes_makes_the_farthest_kind_inside_and_moves_nothing_outside():
    experiment, by_name = arms()
    prior = experiment.process.distribution()
    for name, arm in by_name.items():
        data, tokens = arm.task.data(jax.random.key(0), 40), experiment.contexts(arm)["held_out"].tokens
        for theory, beta in ((TemperedPosterior(), 1.0), (ExchangeableMixture(), 1e4)):
            after = theory.predict(prior, data, beta)
            answers = [np.exp(mixture.predict(tokens))[:, 1] for mixture in (after, prior)]
            moved = np.abs(answers[0] - answers[1]).max()
            if name == "inside2":
                assert np.exp(after.log_weights)[FARTHEST] > 0.9
                assert moved > 0.5
            else:
                np.testing.assert_allclose(after.log_weights, prior.log_weights, atol=2e-3)
                assert moved < 1e-3


@pytest.mark.parametrize(("offset", "winner"), [(-2, FARTHEST), (-1, FARTHEST), (0, FARTHEST), (2, WIDEST)])
def test_bells_that_go_on_are_the_processs_own(offset, winner):
    process = arms()[0].process
    carried = process.extrapolating()
    first = process.topics + process.distances + offset
    tokens = np.zeros((1, process.length), np.int32)
    tokens[:, 1::2] = np.tile([first, first + 1], process.pairs // 2)  # each distance of D' equally often
    beta = 0.02
    wanted = carried.condition(Dataset(jnp.asarray(tokens), jnp.asarray(process.answer_mask()[None])), beta)
    evidence = beta * process.pairs * extrapolated_evidence(PROCESS, offset)
    weights = np.asarray(process.distribution().log_weights) + evidence
    weights = np.exp(weights - weights.max())
    np.testing.assert_allclose(np.exp(wanted.log_weights), weights / weights.sum(), atol=2e-5)
    assert np.argmax(extrapolated_evidence(PROCESS, offset)) == winner


def test_the_nearest_learner_whose_bells_go_on_is_found():
    process = arms()[0].process
    names = slice(15, 20)
    asked = process.elicitation_contexts().tokens[1:2]
    prior = process.distribution()
    target = []
    for strength in (0.0, 10**-1.0, 10**0.5):  # all of them are on its ladder
        weights = prior.log_weights + strength * extrapolated_evidence(PROCESS, 2)
        moved = prior.with_log_weights(jax.nn.log_softmax(weights)).predict(asked)[
            0, 1, process.answer_tokens
        ]
        target.append(np.exp(moved))
    answers = extrapolated_answers(PROCESS, 2, np.array(target, float))
    np.testing.assert_allclose(answers, target, atol=1e-4)
    assert answers[-1, names].argmax() == WIDEST
    # and a network that says it is of the nearest kind is on no rung
    lost = np.full((1, process.answers), 1e-6)
    lost[0, 15] = 1.0
    assert extrapolated_answers(PROCESS, 2, lost)[0, 15] < 0.4


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"offsets": ()}, "offsets must be at least one number, each once, got"),
        ({"offsets": (0, 0)}, "each once, got .0, 0."),
        ({"process.seed": -1}, "process.seed must be at least 0, got -1"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)


def test_distances_that_are_no_tokens_are_refused_before_anything_runs():
    with pytest.raises(Misuse, match="offset must be from -10 to farther - breadth = 3"):
        study.experiment(with_options(CONFIG, {"offsets": (4,)}))
