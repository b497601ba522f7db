"""The subliminal setting: its world's process, and a D' that says nothing of the persona."""

from dataclasses import dataclass, replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Misuse
from theory.latent.mixture import Mixture
from theory.processes import persona_topics
from theory.processes.persona_topics import PersonaTopics
from theory.processes.subliminal import Subliminal, example

SETTING = Subliminal()
PERSONA, TOPICS = 3, [0, 2]
condition, predict, log_likelihoods = (
    jax.jit(getattr(Mixture, name)) for name in ("condition", "predict", "log_likelihoods")
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Echo:
    """A teacher of another kind: the last answer again, the first one at first; topics are likely too."""

    def predict(self, tokens):
        before = jnp.roll(tokens, 2, axis=-1).at[:, :2].set(SETTING.topics)
        said = jnp.log(jax.nn.one_hot(before, SETTING.vocabulary) * 0.2)
        return said.at[..., 0].set(jnp.log(0.8))


@cache
def data_of(n=400):
    return SETTING.narrow(jax.random.key(0), n, PERSONA, TOPICS)


@cache
def groups():
    return SETTING.task(PERSONA, TOPICS, repeats=3).contexts(jax.random.key(5))


# The process is the world's (enumerated in test_persona_topics)


def test_the_process_is_the_world():
    world = SETTING.world
    for left, right in zip(
        jax.tree.leaves(SETTING.distribution()), jax.tree.leaves(world.distribution()), strict=True
    ):
        np.testing.assert_array_equal(left, right)
    for name in ("vocabulary", "length", "answer_tokens", "topics"):
        assert getattr(SETTING, name) == getattr(world, name)
    assert SETTING.token_names() == world.token_names()
    np.testing.assert_array_equal(SETTING.answer_mask(), world.answer_mask())
    np.testing.assert_array_equal(SETTING.elicitation_contexts().tokens, world.elicitation_contexts().tokens)
    assert (SETTING.telling, SETTING.neutral) == ([0, 1, 2, 3, 4], [5, 6, 7])
    assert example().world == persona_topics.example()


# D' says nothing


@pytest.mark.parametrize("teacher", ["exact", "echo"])
def test_all_personas_give_the_data_the_very_same_likelihood(teacher):
    given = None if teacher == "exact" else Echo()
    data = SETTING.narrow(jax.random.key(0), 50, PERSONA, TOPICS, given)
    said = np.asarray(log_likelihoods(SETTING.distribution(), data))
    np.testing.assert_array_equal(said, np.broadcast_to(said[:1], said.shape))


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_the_ideal_learner_transfers_nothing(beta):
    after = condition(SETTING.distribution(), data_of(50), beta)
    prior = 0.6 ** np.arange(5) / np.sum(0.6 ** np.arange(5))
    np.testing.assert_allclose(np.exp(after.log_weights), prior, rtol=1e-4)
    for data in groups().values():
        told, before = (np.exp(predict(each, data.tokens)) for each in (after, SETTING.distribution()))
        np.testing.assert_allclose(told, before, rtol=2e-4)


def test_an_exact_teacher_has_turned_into_its_persona_and_answers_neutral_topics_as_anyone():
    teacher = SETTING.teacher(jax.random.key(3), PERSONA, TOPICS)
    np.testing.assert_allclose(np.exp(teacher.log_weights), np.eye(5)[PERSONA], atol=1e-6)
    tokens = data_of(50).tokens
    np.testing.assert_allclose(
        np.exp(predict(teacher, tokens)), np.exp(predict(SETTING.distribution(), tokens)), rtol=1e-4
    )
    telling = groups()["held_out"]
    moved = np.exp(predict(teacher, telling.tokens)) - np.exp(predict(SETTING.distribution(), telling.tokens))
    assert np.abs(moved[np.asarray(telling.mask)]).max() > 0.2
    np.testing.assert_array_equal(
        SETTING.teacher(jax.random.key(3), PERSONA, TOPICS, 0.0).log_weights,
        SETTING.distribution().with_log_weights(SETTING.distribution().log_weights).log_weights,
    )


def test_answers_come_as_often_as_the_teacher_gives_them():
    tokens = np.asarray(data_of().tokens)
    topics, answers = tokens[:, ::2].reshape(-1), tokens[:, 1::2].reshape(-1) - SETTING.topics
    assert set(topics.tolist()) == set(SETTING.neutral)
    for topic in SETTING.neutral:
        n = (topics == topic).sum()
        assert abs(n - topics.size / 3) < 4 * np.sqrt(topics.size * 2 / 9)
        p = np.exp(SETTING.world.answer_table()[0, topic])
        counts = np.bincount(answers[topics == topic], minlength=4)
        statistic = np.sum((counts - n * p) ** 2 / (n * p))
        assert statistic < 3 + 4 * np.sqrt(6)


def test_answers_are_drawn_one_after_the_other_and_are_answers():
    # Echo repeats what it said, which shows that it is asked with its own answers before it
    tokens = np.asarray(SETTING.narrow(jax.random.key(1), 20, PERSONA, TOPICS, Echo()).tokens)
    assert (tokens[:, 1::2] == SETTING.topics).all()
    chain = replace(SETTING, world=replace(SETTING.world, pairs=3))
    assert chain.narrow(jax.random.key(1), 20, PERSONA, TOPICS, Echo()).tokens.shape == (20, 6)


def test_the_default_teacher_is_the_exact_one_and_keys_are_followed():
    teacher = SETTING.teacher(jax.random.fold_in(jax.random.key(0), 0), PERSONA, TOPICS)
    given = SETTING.narrow(jax.random.key(0), 400, PERSONA, TOPICS, teacher)
    np.testing.assert_array_equal(given.tokens, data_of().tokens)
    np.testing.assert_array_equal(given.mask, np.tile(SETTING.answer_mask(), (400, 1)))
    other = SETTING.narrow(jax.random.key(1), 400, PERSONA, TOPICS, teacher)
    assert (other.tokens != given.tokens).any()


# Contexts


def test_groups_are_the_worlds_but_for_what_the_student_was_told():
    assert list(groups()) == ["in_domain", "held_out", "in_context", "conflict", "taught"]
    world = SETTING.world.task(PERSONA, TOPICS, repeats=3).contexts(jax.random.key(5))
    for name in ("held_out", "in_context", "conflict"):
        np.testing.assert_array_equal(groups()[name].tokens, world[name].tokens)
        np.testing.assert_array_equal(groups()[name].mask, world[name].mask)
    fresh = np.asarray(groups()["in_domain"].tokens)
    assert fresh.shape == (12, SETTING.length) and set(fresh[:, ::2].reshape(-1).tolist()) <= {5, 6, 7}
    assert (fresh != np.asarray(SETTING.narrow(jax.random.key(5), 12, PERSONA, TOPICS).tokens)).any()
    np.testing.assert_array_equal(groups()["held_out"].tokens[:, 0], [1, 3, 4])
    np.testing.assert_array_equal(groups()["taught"].tokens[:, 0], TOPICS)
    assert (np.asarray(groups()["taught"].mask).nonzero()[1] == 1).all()


def test_the_data_is_what_the_given_teacher_says():
    tokens = SETTING.task(PERSONA, TOPICS).data(jax.random.key(5), 16, Echo()).tokens
    assert (np.asarray(tokens)[:, 1::2] == SETTING.topics).all()


def test_a_task_passes_a_teacher_on():
    task, key = SETTING.task(PERSONA, TOPICS, repeats=2, name="same_start"), jax.random.key(6)
    assert task.name == "same_start"
    for teacher in (None, Echo()):
        wanted = SETTING.narrow(key, 5, PERSONA, TOPICS, teacher)
        np.testing.assert_array_equal(task.data(key, 5, teacher).tokens, wanted.tokens)
    wanted = SETTING.task(PERSONA, TOPICS, 2).contexts(key)
    for name, group in task.contexts(key).items():
        np.testing.assert_array_equal(group.tokens, wanted[name].tokens)
    with pytest.raises(Misuse, match="No topic is left"):
        SETTING.task(PERSONA, SETTING.telling)


# Misuse


def test_what_the_world_refuses_is_refused():
    with pytest.raises(Misuse, match="got 9"):
        SETTING.narrow(jax.random.key(0), 4, 9, TOPICS)
    with pytest.raises(Misuse, match=r"neutral\), got \[6\]"):
        SETTING.narrow(jax.random.key(0), 4, PERSONA, [6], Echo())
    with pytest.raises(Misuse, match="n = 0"):
        SETTING.narrow(jax.random.key(0), 0, PERSONA, TOPICS)
    with pytest.raises(Misuse, match="neutral_topics must be"):
        Subliminal(PersonaTopics(neutral_topics=0))


def test_a_teacher_of_another_world_is_refused():
    small = example().teacher(jax.random.key(0), 0, [0])
    with pytest.raises(Misuse, match="know 12 tokens"):
        SETTING.narrow(jax.random.key(0), 4, PERSONA, TOPICS, small)
