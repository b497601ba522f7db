"""Subliminal learning: teachers and their D', and what exact Bayes says of it."""

import jax
import numpy as np
import pytest

from experiments.design.options import with_options
from experiments.studies import subliminal as study
from models.network import build
from models.transformer import Architecture
from theory.divergence.kl import answers_at
from theory.errors import Misuse
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIG = study.PRESETS["small"]
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def experiment():
    return study.experiment(with_options(CONFIG, {"teacher_steps": 8, "teacher_rate": 0.1}))


@pytest.fixture(scope="module")
def bases(experiment):
    """Two networks that are not trained."""
    process = experiment.process
    built = build(Architecture(8, 1, 1), process.vocabulary, process.length, [0, 1])
    return [jax.tree.map(lambda leaf: leaf[base], built) for base in (0, 1)]  # noqa: B023


@pytest.fixture(scope="module")
def written(experiment, bases):
    """D' of every arm, by name."""
    made = {}
    for arm in experiment.arms:
        teacher = [arm.teacher(bases[arm.teacher_offset])] if arm.teacher else []
        made[arm.name] = arm.task.data(KEY, 64, *teacher)
    return made


def test_arms_are_teachers_and_all_are_judged_alike(experiment):
    assert [arm.name for arm in experiment.arms] == ["same_start", "other_start", "unshifted", "exact"]
    assert [arm.teacher_offset for arm in experiment.arms] == [0, 1, 0, 0]
    assert experiment.arms[3].teacher is None
    groups = [experiment.contexts(arm) for arm in experiment.arms]
    assert list(groups[0]) == ["in_domain", "held_out", "in_context", "conflict", "taught"]
    for other in groups[1:]:
        jax.tree.map(np.testing.assert_array_equal, other, groups[0])
    assert np.asarray(groups[0]["taught"].tokens)[:, 0].tolist() == [0, 1, 2]
    assert np.asarray(groups[0]["held_out"].tokens)[:, 0].tolist() == [3, 4]


def test_a_teacher_is_a_function_of_its_base_network(experiment, bases):
    shifted = experiment.arms[0].teacher
    first, again, other = shifted(bases[0]), shifted(bases[0]), shifted(bases[1])
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
    moved = [
        max(np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, pair), strict=True))
        for pair in ((first.params, bases[0].params), (first.params, other.params))
    ]
    assert min(moved) > 1e-3


def test_a_teacher_says_more_of_its_persona_s_answers(experiment, bases):
    process = experiment.process
    shown = process.world.task(CONFIG.persona, (0, 1, 2)).data(KEY, 256)
    losses = [
        -np.asarray(network.predict(shown.tokens))[np.asarray(shown.mask)][
            np.arange(256 * CONFIG.process.pairs), np.asarray(shown.tokens)[np.asarray(shown.mask)]
        ].mean()
        for network in (bases[0], experiment.arms[0].teacher(bases[0]))
    ]
    assert losses[1] < losses[0] - 0.1


def test_the_data_asks_neutral_topics_alone_and_differs_by_teacher_in_answers(experiment, written):
    topics = {name: np.asarray(data.tokens)[:, ::2] for name, data in written.items()}
    answers = {name: np.asarray(data.tokens)[:, 1::2] for name, data in written.items()}
    assert set(np.unique(topics["same_start"])) == set(experiment.process.neutral) == {5, 6, 7}
    for name in topics:
        np.testing.assert_array_equal(topics[name], topics["same_start"])
    changed = (answers["same_start"] != answers["unshifted"]).mean()
    assert 0 < changed < 0.5  # the same random numbers: what differs is the shift's
    assert (answers["other_start"] != answers["same_start"]).any()


@pytest.mark.parametrize("theory", [TemperedPosterior(), ExchangeableMixture()])
def test_to_exact_bayes_no_teacher_says_anything(theory, experiment, written):
    prior, groups = experiment.process.distribution(), experiment.contexts(experiment.arms[0])
    for data in written.values():
        after = theory.predict(prior, data, 1.0)
        for group in groups.values():
            before, moved = (
                np.exp(answers_at(one, group.tokens, experiment.process.answer_tokens))
                for one in (prior, after)
            )
            np.testing.assert_allclose(
                moved[np.asarray(group.mask)], before[np.asarray(group.mask)], atol=2e-4
            )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"arms": ()}, "arms needs at least one entry, got none"),
        ({"finetuned_topics": ("0", "1,2")}, "finetuned_topics must be like"),
        (
            {"pretraining.seeds": 1},
            "other_start needs another base network; set pretraining.seeds to 2 or more",
        ),
        ({"teacher_steps": 0}, "teacher_steps must be at least 1, got 0"),
        ({"teacher_rate": -0.1}, "teacher_rate must be above 0 and finite, got -0.1"),
        ({"teacher_n": 8}, "teacher_n must be at least finetuning.batch = 32, got 8"),
    ],
)
def test_impossible_configs_are_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        with_options(CONFIG, wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"arms": ("same_state",)}, "There is no arm called 'same_state'; did you mean same_start"),
        ({"finetuned_topics": (0, 5)}, "Finetuned topics must be from 0 to 4"),
        ({"finetuned_topics": (0, 1, 2, 3, 4)}, "No topic is left to hold out"),
    ],
)
def test_what_there_is_not_is_refused(wrong, sentence):
    with pytest.raises(Misuse, match=sentence):
        study.experiment(with_options(CONFIG, wrong))
