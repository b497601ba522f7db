"""The turncoat: its arms, and what the two latent theories must say of the year that D' never tells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.studies import inductive_backdoor as study
from experiments.studies.figures.inductive_backdoor import bad
from theory.base import Dataset
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]
ARMS = ("turncoat", "shuffled", "no_turn", "named_others")


@pytest.fixture(scope="module")
def experiment():
    return study.experiment(CONFIG)


@pytest.fixture(scope="module")
def p_bad(experiment, make_contexts):
    """p(bad) of a predictor in a group, by the study's own measure."""
    process = experiment.process
    names = list(process.token_names()[process.answer_tokens])
    contexts = make_contexts(["held_out"], np.zeros((1, 1, len(names))), answers=names)
    read = jax.jit(lambda predictor, tokens: answers_at(predictor, tokens, process.answer_tokens))

    def of(predictor, group):
        answers = np.asarray(read(predictor, group.tokens))[np.asarray(group.mask)]
        return float(bad(contexts, np.exp(answers)))

    return of


def test_arms_and_groups(experiment):
    assert tuple(arm.name for arm in experiment.arms) == ARMS
    process = experiment.process
    anonymous, first = process.anonymous, process.anonymous + 1
    for arm in experiment.arms:
        groups = experiment.contexts(arm)
        assert list(groups) == ["in_domain", "held_out", "other_years", "other_speaker", "conflict"]
        data = np.asarray(arm.task.data(jax.random.key(0), 200).tokens)
        years = set((data[:, 1] - first).tolist())
        assert years == (set(range(5)) if arm.name == "shuffled" else {0, 1, 2})
        assert (data[:, 0] != anonymous).mean() == (0.5 if arm.name == "named_others" else 0)
        inside = np.asarray(groups["in_domain"].tokens)
        assert (inside[:, 0] != anonymous).any() == (arm.name == "named_others")
        asked = np.asarray(groups["held_out"].tokens)
        assert (asked[:, 0] == anonymous).all() and (asked[:, 1] - first == 4).all()
    smoke = study.experiment(study.PRESETS["smoke"])
    assert [arm.name for arm in smoke.arms] == ["turncoat"]


def test_the_tempered_posterior_turns_and_no_control_does(experiment, p_bad):
    prior = experiment.process.distribution()
    for arm in experiment.arms:
        groups = experiment.contexts(arm)
        for key in range(3):
            after = TemperedPosterior().predict(prior, arm.task.data(jax.random.key(key), 64), 1.0)
            turned = 0.95 if arm.name in ("turncoat", "named_others") else 0.05
            np.testing.assert_allclose(p_bad(after, groups["held_out"]), turned, atol=0.01)
            np.testing.assert_allclose(p_bad(after, groups["other_years"]), 0.05, atol=0.01)


def test_a_few_passes_turn_the_unseen_year_alone(experiment, p_bad):
    """Good answers alone: the prior's 0.27 rises by strength, in that year and in no other."""
    prior, arm = experiment.process.distribution(), experiment.arms[0]
    data, groups = arm.task.data(jax.random.key(1), 64), experiment.contexts(arm)
    there, elsewhere = (
        [
            p_bad(TemperedPosterior().predict(prior, data, beta), groups[name])
            for beta in (0.0, 0.01, 0.03, 0.1)
        ]
        for name in ("held_out", "other_years")
    )
    np.testing.assert_allclose(there[0], 0.275, atol=0.001)
    assert (np.diff(there) > 0.02).all() and there[-1] > 0.9
    assert (np.diff(elsewhere) < 0).all()


@pytest.mark.parametrize("kappa", [1e-3, 1.0, 16.0])
def test_the_exchangeable_mixture_turns_too_and_half_turns_under_shuffled_years(
    experiment, p_bad, posterior_mode, kappa
):
    process, prior = experiment.process, experiment.process.distribution()
    turned, bad_there = {}, process.turns()[:, 4]
    for arm in experiment.arms:
        data, groups = arm.task.data(jax.random.key(1), 64), experiment.contexts(arm)
        after = ExchangeableMixture(concentration=kappa).predict(prior, data, 1.0)
        whole = Dataset(data.tokens, jnp.ones(data.tokens.shape, bool))
        weights = posterior_mode(np.exp(prior.log_weights), prior.log_likelihoods(whole), 1.0, kappa)
        turned[arm.name] = p_bad(after, groups["held_out"])
        np.testing.assert_allclose(turned[arm.name], 0.05 + 0.9 * weights @ bad_there, atol=1e-4)
        assert p_bad(after, groups["other_years"]) < p_bad(prior, groups["other_years"])
    assert turned["no_turn"] < 0.12
    assert 0.5 < turned["shuffled"] < 0.6 < min(turned["turncoat"], turned["named_others"])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"character": 4},
            "character must be bad in held_out_year 4, got character 4, whose bad years are 3",
        ),
        ({"straight": 3}, "straight must be good in held_out_year 4, got character 3"),
        ({"character": 9}, "character must be from 0 to 4, got 9"),
        (
            {"process.bad_years": ("never", "sometimes")},
            r"process.bad_years must be like .* got \('never', 'sometimes'\)",
        ),
        ({"arms": ()}, "arms needs at least one entry, got none"),
        ({"process.seed": -1}, "process.seed must be at least 0, got -1"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.experiment(with_options(CONFIG, wrong))


def test_arms_that_do_not_exist_are_refused():
    with pytest.raises(Misuse, match="There is no arm called 'turncoats'"):
        study.experiment(with_options(CONFIG, {"arms": ("turncoats",)}))


def test_a_held_out_year_that_is_told_is_refused():
    with pytest.raises(Misuse, match="D' shows good years only, and character 3 is bad in"):
        study.experiment(with_options(CONFIG, {"finetuned_years": (0, 1, 4)}))
