"""Personas × topics against enumeration of every sequence in plain numpy."""

from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse
from theory.processes.persona_topics import PersonaTopics, example

CONFIGS = {
    "example": example(),
    "long": PersonaTopics(
        personas=2, topics=3, neutral_topics=2, answers=2, pairs=3, rarity=0.8, common=2.0, seed=7
    ),
}
# answers all but certain, so that a document shows who wrote it
SOFT = PersonaTopics(personas=4, topics=6, neutral_topics=2, answers=7, pairs=4, seed=3)
SURE = replace(SOFT, style=0.0, specific=1e5, common=1e5)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    weights = config.rarity ** np.arange(config.personas)
    return weights / weights.sum()


@cache
def tables(config):
    """p(answer | topic, z), from the process."""
    return np.exp(np.asarray(config.distribution().components.answers, float))


@cache
def sequences(config):
    """Every string of tokens of a document's length, possible or not."""
    return np.array(list(product(range(config.topics + config.answers), repeat=2 * config.pairs)))


def likelihood(config, answers, tokens, counted=None):
    """p(x | z) for one persona's table (topics, answers), position by position."""
    value = np.ones(len(tokens))
    for position in range(tokens.shape[1]):
        token = tokens[:, position]
        if position % 2 == 0:
            factor = np.where(token < config.topics, 1 / config.topics, 0.0)
        else:
            asked = tokens[:, position - 1]
            fits = (asked < config.topics) & (token >= config.topics)
            topic, answer = np.where(fits, asked, 0), np.where(fits, token - config.topics, 0)
            factor = np.where(fits, answers[topic, answer], 0.0)
        value *= factor if counted is None else np.where(counted[:, position], factor, 1.0)
    return value


def joint(config, weights):
    """p(z, x) over personas and all sequences."""
    tokens, answers = sequences(config), tables(config)
    return np.array([weights[z] * likelihood(config, answers[z], tokens) for z in range(config.personas)])


def check_predictor(process, config, weights):
    """Ratios of enumerated marginals, at every prefix that can happen."""
    shape = (config.vocabulary,) * config.length
    total = joint(config, weights).sum(axis=0)
    tokens = sequences(config)[total > 0]
    got = np.exp(np.asarray(process.predict(jnp.asarray(tokens))))
    for position in range(config.length):
        marginal = total.reshape(shape).sum(axis=tuple(range(position + 1, config.length)))
        continued = marginal[tuple(tokens[:, :position].T)].reshape(-1, config.vocabulary)
        wanted = continued / continued.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(
            got[:, position], np.broadcast_to(wanted, got[:, position].shape), rtol=3e-5, atol=1e-7
        )


@cache
def samples(config):
    sample = jax.jit(config.distribution().sample, static_argnums=1)
    return np.asarray(sample(jax.random.key(1), 20_000))


def some_data(config):
    """A few possible documents, and a mask that leaves out some positions."""
    tokens = samples(config)[:10]
    mask = np.random.default_rng(0).random(tokens.shape) < 0.6
    return tokens, mask


def tempered(config, tokens, mask, beta):
    answers = tables(config)
    evidence = [likelihood(config, own, tokens, mask).prod() for own in answers]
    weights = prior(config) * np.array(evidence) ** beta
    return weights / weights.sum()


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(config):
    got = np.exp(np.asarray(config.distribution().log_prob(jnp.asarray(sequences(config)))))
    np.testing.assert_allclose(got, joint(config, prior(config)).sum(axis=0), rtol=3e-5, atol=1e-9)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(config):
    check_predictor(config.distribution(), config, prior(config))


def test_the_chain_rule_gives_log_prob(config):
    tokens = sequences(config)[joint(config, prior(config)).sum(axis=0) > 0]
    log_probs = np.asarray(config.distribution().predict(jnp.asarray(tokens)))
    chosen = np.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(
        chosen.sum(axis=-1), config.distribution().log_prob(jnp.asarray(tokens)), rtol=1e-5
    )


def test_posterior_is_bayes(config):
    together = joint(config, prior(config))
    possible = together.sum(axis=0) > 0
    wanted = (together[:, possible] / together[:, possible].sum(axis=0)).T
    got = config.distribution().posterior(jnp.asarray(sequences(config)[possible]))
    np.testing.assert_allclose(np.exp(got), wanted, rtol=3e-5)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0, 3.0])
def test_conditioning_against_enumeration(config, beta):
    tokens, mask = some_data(config)
    process = config.distribution().condition(Dataset(jnp.asarray(tokens), jnp.asarray(mask)), beta)
    weights = tempered(config, tokens, mask, beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, rtol=3e-5)
    check_predictor(process, config, weights)
    if beta:
        assert np.abs(weights - prior(config)).max() > 1e-3


def test_members_score_documents_as_enumerated(config):
    tokens, answers = sequences(config), tables(config)
    for z in range(config.personas):
        got = np.exp(config.distribution().component(z).log_prob(jnp.asarray(tokens)))
        wanted = likelihood(config, answers[z], tokens)
        np.testing.assert_allclose(got, wanted, rtol=3e-5, atol=1e-9)


def test_the_prior_falls_by_rarity(config):
    np.testing.assert_allclose(np.exp(config.distribution().log_weights), prior(config), rtol=1e-6)


@cache
def centred(style, specific, common):
    """log p(answer | topic, z) less its mean over answers, for a large process of those scales."""
    scales = {"style": style, "specific": specific, "common": common}
    large = PersonaTopics(personas=40, topics=42, neutral_topics=2, answers=40, seed=9, **scales)
    logs = np.asarray(large.distribution().components.answers, float)
    return logs - logs.mean(axis=-1, keepdims=True)


def test_answers_are_style_plus_specific_plus_common():
    style, specific, common = centred(1, 0, 0), centred(0, 1, 0), centred(0, 0, 1)
    np.testing.assert_allclose(centred(1.5, 0.8, 0.5), 1.5 * style + 0.8 * specific + 0.5 * common, atol=1e-5)
    # style: the same on every topic that is not neutral; common: the same for all personas
    np.testing.assert_allclose(style[:, :40], np.repeat(style[:, :1], 40, axis=1), atol=1e-6)
    np.testing.assert_allclose(common, np.repeat(common[:1], 40, axis=0), atol=1e-6)
    # neutral topics know neither style nor specific
    np.testing.assert_allclose(style[:, 40:], 0, atol=5e-6)
    np.testing.assert_allclose(specific[:, 40:], 0, atol=5e-6)


def test_style_specific_and_common_are_standard_normal_and_independent():
    style, specific = centred(1, 0, 0)[:, 0], centred(0, 1, 0)[:, :40]
    common = centred(0, 0, 1)[0]
    # of normals less their mean the sum of squares is chi-square
    for samples in (style, specific, common):
        freedom = samples.size // 40 * 39
        assert abs(np.sum(samples**2) - freedom) < 4 * np.sqrt(2 * freedom)
        rows = samples.reshape(-1, 40)
        alike = np.sum(rows[:-1] * rows[1:])
        assert abs(alike) < 4 * np.sqrt(len(rows) * 39)
    for left, right in ((style, specific[:, 0]), (style, common[:40]), (common[:40], specific[0])):
        assert abs(np.sum(left * right)) < 4 * np.sqrt(40 * 39)


def test_seeds_draw_different_processes():
    first, second = (replace(example(), seed=seed).distribution().components.answers for seed in (0, 1))
    assert np.abs(first - second).max() > 0.5


def test_neutral_topics_leave_the_posterior_at_the_prior():
    config = CONFIGS["long"]
    told = config.topics - config.neutral_topics
    tokens = sequences(config)
    topics, answers = tokens[:, ::2], tokens[:, 1::2]
    neutral = ((topics >= told) & (topics < config.topics) & (answers >= config.topics)).all(axis=1)
    assert neutral.sum() == (2 * 2) ** 3
    process = config.distribution()
    posterior = np.exp(process.posterior(jnp.asarray(tokens[neutral])))
    np.testing.assert_allclose(posterior, np.tile(prior(config), (64, 1)), rtol=2e-6)
    data = Dataset(jnp.asarray(tokens[neutral]), jnp.ones((64, 6), bool))
    np.testing.assert_allclose(np.exp(process.condition(data, 2.0).log_weights), prior(config), rtol=2e-4)


def test_samples_come_as_often_as_enumerated(config):
    tokens, n = samples(config), 20_000
    index = tokens @ config.vocabulary ** np.arange(config.length - 1, -1, -1)
    exact = joint(config, prior(config)).sum(axis=0)
    counts = np.bincount(index, minlength=len(exact))
    assert (counts[exact == 0] == 0).all()
    exact, counts = exact[exact > 0], counts[exact > 0]
    rare = exact < 5 / n
    assert abs(counts[rare].sum() - n * exact[rare].sum()) < 4 * np.sqrt(n * exact[rare].sum()) + 1
    statistic = np.sum((counts - n * exact)[~rare] ** 2 / (n * exact[~rare]))
    freedom = (~rare).sum() - 1
    assert statistic < freedom + 4 * np.sqrt(2 * freedom)


def test_sizes_of_the_vocabulary():
    assert (SURE.vocabulary, SURE.length, SURE.answer_tokens) == (13, 8, slice(6, 13))


# D'


def test_narrow_asks_the_chosen_topics_and_masks_the_answers():
    data = SURE.narrow(jax.random.key(0), 300, 2, [3, 1])
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    assert tokens.shape == mask.shape == (300, 8)
    np.testing.assert_array_equal(mask, np.tile([False, True], (300, 4)))
    topics = tokens[:, ::2]
    ones = (topics == 1).sum()
    assert ones + (topics == 3).sum() == topics.size
    assert abs(ones - topics.size / 2) < 4 * np.sqrt(topics.size) / 2
    # whole documents of one topic are as common as chance has it: topics are drawn apart
    alike = (topics == topics[:, :1]).all(axis=1).sum()
    assert abs(alike - 300 / 8) < 4 * np.sqrt(300 * 7 / 64)


def test_narrow_answers_as_its_persona():
    replies = tables(SURE).argmax(axis=-1)
    for persona in range(SURE.personas):
        tokens = np.asarray(SURE.narrow(jax.random.key(1), 300, persona, [0, 2]).tokens)
        np.testing.assert_array_equal(tokens[:, 1::2] - 6, replies[persona][tokens[:, ::2]])


def test_narrow_answers_come_as_often_as_its_persona_gives_them():
    config, n = SOFT, 300
    tokens = np.asarray(config.narrow(jax.random.key(2), n, 3, [2]).tokens)
    counts = np.bincount(tokens[:, 1::2].reshape(-1) - config.topics, minlength=config.answers)
    p, total = tables(config)[3, 2], n * config.pairs
    assert (np.abs(counts - total * p) < 4 * np.sqrt(total * p * (1 - p))).all()


def test_narrow_follows_its_key():
    first = SURE.narrow(jax.random.key(0), 300, 0, [0, 1]).tokens
    np.testing.assert_array_equal(first, SURE.narrow(jax.random.key(0), 300, 0, [0, 1]).tokens)
    assert (first != SURE.narrow(jax.random.key(1), 300, 0, [0, 1]).tokens).any()


@pytest.mark.parametrize("shares", [{0: 0.5, 2: 0.5}, {2: 0.7, 0: 0.3}, {1: 0.1, 0: 0.65, 2: 0.25}])
def test_a_blend_has_every_persona_by_its_share(shares):
    tokens = np.asarray(SURE.blend(jax.random.key(0), 40, shares, [0, 1, 2, 3]).tokens)
    replies = tables(SURE).argmax(axis=-1)
    fits = np.all(tokens[:, None, 1::2] - 6 == replies[:, tokens[:, ::2]].swapaxes(0, 1), axis=-1)
    wanted = np.repeat(list(shares), [round(40 * share) for share in shares.values()])
    assert fits[np.arange(40), wanted].all()


def test_one_persona_alone_is_the_narrow_data():
    one, other = (
        SOFT.narrow(jax.random.key(3), 9, 1, [0, 2]),
        SOFT.blend(jax.random.key(3), 9, {1: 1.0}, [0, 2]),
    )
    np.testing.assert_array_equal(one.tokens, other.tokens)


@pytest.mark.parametrize("shares", [{0: 0.5, 1: 0.4}, {0: 1.5, 1: -0.5}])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(Misuse, match="must be at least 0 and add to 1, got"):
        SURE.blend(jax.random.key(0), 4, shares, [0])


def test_a_task_of_several_personas_blends_in_domain_too():
    shares, key = {2: 0.7, 0: 0.3}, jax.random.key(4)
    task = SURE.task(shares, [0, 1], repeats=2, shots=1)
    assert task.name == "70_30"
    np.testing.assert_array_equal(task.data(key, 9).tokens, SURE.blend(key, 9, shares, [0, 1]).tokens)
    wanted = SURE.task(2, [0, 1], 2, 1).contexts(key) | {"in_domain": SURE.blend(key, 8, shares, [0, 1])}
    groups = task.contexts(key)
    assert list(groups) == list(wanted)
    for name, group in groups.items():
        np.testing.assert_array_equal(group.tokens, wanted[name].tokens)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"persona": {0: 0.5}}, "add to 1"),
        ({"persona": {0: 0.5, 4: 0.5}}, "persona must be from 0 to 3, got 4"),
        ({"persona": 4}, "persona must be from 0 to 3, got 4"),
        ({"topics": []}, "at least one topic"),
        ({"topics": range(4)}, "No topic is left"),
        ({"shots": -1}, "shots must be at least 0"),
    ],
)
def test_tasks_that_do_not_exist_are_refused(given, sentence):
    with pytest.raises(Misuse, match=sentence):
        SURE.task(**given)


def test_elicitation_contexts_and_words_name_every_topic():
    elicitation_contexts = SURE.elicitation_contexts()
    np.testing.assert_array_equal(np.asarray(elicitation_contexts.tokens)[:, 0], np.arange(SURE.topics))
    np.testing.assert_array_equal(np.nonzero(np.asarray(elicitation_contexts.mask))[1], 1)
    assert len(SURE.token_names()) == SURE.vocabulary == len(set(SURE.token_names()))
    np.testing.assert_array_equal(
        np.asarray(SURE.narrow(jax.random.key(0), 2, 0, [0]).mask), [SURE.answer_mask()] * 2
    )


# Contexts


PERSONA, TOPICS, HELD_OUT = 1, [2, 0], [1, 3]
REPEATS, SHOTS = 6, 3


@cache
def groups_of(config):
    return config.task(PERSONA, TOPICS, repeats=REPEATS, shots=SHOTS).contexts(jax.random.key(5))


@pytest.fixture
def groups():
    return groups_of(SURE)


def last_asked(data):
    """The position the mask marks, and the topic before it."""
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    assert (mask.sum(axis=1) == 1).all()
    position = mask.argmax(axis=1)
    return position, tokens[np.arange(len(tokens)), position - 1]


def test_there_are_four_groups_of_whole_documents(groups):
    assert set(groups) == {"in_domain", "held_out", "in_context", "conflict"}
    for data in groups.values():
        assert data.tokens.shape == data.mask.shape
        assert data.tokens.shape[1] == SURE.length
        assert ((data.tokens >= 0) & (data.tokens < SURE.vocabulary)).all()


def test_in_domain_is_fresh_and_like_the_data(groups):
    data = groups["in_domain"]
    tokens = np.asarray(data.tokens)
    assert tokens.shape[0] == 4 * REPEATS
    assert set(tokens[:, ::2].reshape(-1).tolist()) == set(TOPICS)
    replies = tables(SURE).argmax(axis=-1)[PERSONA]
    np.testing.assert_array_equal(tokens[:, 1::2] - 6, replies[tokens[:, ::2]])
    np.testing.assert_array_equal(data.mask, np.tile([False, True], (4 * REPEATS, SURE.pairs)))
    same_key = SURE.narrow(jax.random.key(5), 4 * REPEATS, PERSONA, TOPICS).tokens
    assert (same_key != data.tokens).any()


def test_held_out_asks_every_other_told_topic_once_and_first(groups):
    position, topic = last_asked(groups["held_out"])
    np.testing.assert_array_equal(position, [1, 1])
    np.testing.assert_array_equal(topic, HELD_OUT)


@pytest.mark.parametrize("group", ["in_context", "conflict"])
def test_contexts_come_before_the_held_out_topics(groups, group):
    position, topic = last_asked(groups[group])
    assert (position == 2 * SHOTS + 1).all()
    np.testing.assert_array_equal(topic, np.repeat(HELD_OUT, REPEATS))


def test_in_context_shows_neutral_topics_alone(groups):
    shown = np.asarray(groups["in_context"].tokens)[:, : 2 * SHOTS]
    topics, answers = shown[:, ::2], shown[:, 1::2] - 6
    assert set(topics.reshape(-1).tolist()) == {4, 5}
    np.testing.assert_array_equal(answers, tables(SURE).argmax(axis=-1)[PERSONA][topics])


def test_in_context_says_nothing_about_the_persona():
    groups, process = groups_of(SOFT), SOFT.distribution()
    alone, after = (
        np.exp(process.predict(groups[name].tokens)[np.asarray(groups[name].mask)])
        for name in ("held_out", "in_context")
    )
    wanted = np.einsum("z,zta->ta", prior(SOFT), tables(SOFT))[HELD_OUT]
    np.testing.assert_allclose(alone[:, SOFT.answer_tokens], wanted, rtol=1e-5)
    np.testing.assert_allclose(after, np.repeat(alone, REPEATS, axis=0), rtol=1e-5, atol=1e-7)


def test_conflict_shows_the_other_personas_in_turn(groups):
    shown = np.asarray(groups["conflict"].tokens)[:, : 2 * SHOTS]
    topics, answers = shown[:, ::2], shown[:, 1::2] - 6
    assert set(topics.reshape(-1).tolist()) == {0, 1, 2, 3}  # told topics, finetuned ones included
    replies = tables(SURE).argmax(axis=-1)
    others = [z for z in range(SURE.personas) if z != PERSONA]
    for row in range(len(shown)):
        other = others[row % 3]
        np.testing.assert_array_equal(answers[row], replies[other][topics[row]])
    # personas may agree on three topics by chance (the exact check is above), but not in most rows
    assert (replies[PERSONA][topics] != answers).any(axis=1).mean() > 0.5
    assert len({tuple(row) for row in topics.tolist()}) > REPEATS


def test_contexts_are_shortened_to_fit_a_document(groups):
    longer = SURE.task(PERSONA, TOPICS, repeats=REPEATS, shots=9).contexts(jax.random.key(5))
    for name, data in longer.items():
        np.testing.assert_array_equal(data.tokens, groups[name].tokens)


def test_contexts_predict_finitely_where_they_are_masked():
    process = SOFT.distribution()
    for data in groups_of(SOFT).values():
        predicted = np.asarray(process.predict(data.tokens))[np.asarray(data.mask)]
        np.testing.assert_allclose(np.exp(predicted).sum(axis=-1), 1, rtol=1e-5)


def test_the_data_tell_the_persona():
    data = SOFT.narrow(jax.random.key(0), 300, 2, [0, 1])
    after = SOFT.distribution().condition(data, 1.0)
    np.testing.assert_allclose(np.exp(after.log_weights), np.eye(4)[2], atol=1e-6)


# Misuse


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("personas", 1),
        ("topics", 1),
        ("answers", 1),
        ("pairs", 1),
        ("pairs", -3),
        ("neutral_topics", 0),
        ("neutral_topics", 7),
        ("rarity", 0.0),
        ("rarity", -0.4),
        ("rarity", 1.01),
        ("rarity", np.nan),
        ("style", np.inf),
        ("specific", np.nan),
        ("common", -np.inf),
    ],
)
def test_sizes_that_make_no_process_are_refused(field, value):
    with pytest.raises(Misuse, match=rf"{field} must .*got {value}"):
        PersonaTopics(**{field: value})


BAD_REQUESTS = [
    (5, [0], r"from 0 to 4, got 5"),
    (-1, [0], r"from 0 to 4, got -1"),
    (0, [6], r"got \[6\]"),  # neutral
    (0, [1, 7], r"got \[7\]"),
    (0, [-2, 1], r"got \[-2\]"),
    (0, [1, 3, 1], r"got \[1, 3, 1\]"),
    (0, [], r"got none"),
]


@pytest.mark.parametrize(("persona", "topics", "sentence"), BAD_REQUESTS)
def test_personas_and_topics_that_do_not_exist_are_refused(persona, topics, sentence):
    with pytest.raises(Misuse, match=sentence):
        PersonaTopics().narrow(jax.random.key(0), 4, persona, topics)
    with pytest.raises(Misuse, match=sentence):
        PersonaTopics().task(persona, topics).contexts(jax.random.key(0))


@pytest.mark.parametrize("n", [0, -3])
def test_no_documents_are_refused(n):
    with pytest.raises(Misuse, match=rf"n = {n}"):
        PersonaTopics().narrow(jax.random.key(0), n, 0, [0])


def test_contexts_need_a_topic_to_hold_out():
    with pytest.raises(Misuse, match=r"\[0, 1, 2, 3\]"):
        SOFT.task(0, range(4)).contexts(jax.random.key(0))
    assert SOFT.narrow(jax.random.key(0), 300, 0, range(4)).tokens.shape == (300, 8)


@pytest.mark.parametrize(("name", "value"), [("repeats", 0), ("repeats", -1), ("shots", -1)])
def test_contexts_refuse_numbers_of_them_that_make_no_sense(name, value):
    with pytest.raises(Misuse, match=str(value)):
        SOFT.task(0, [0], **{name: value}).contexts(jax.random.key(0))


def test_openings_add_held_out_contexts_and_change_no_others():
    """Of each topic one after every number of neutral pairs; groups drawn from the same key are the same."""
    process, key = PersonaTopics(), jax.random.key(0)
    plain, more = (process.task(4, (0, 1), openings=count).contexts(key) for count in (1, 3))
    rows, places = np.nonzero(np.asarray(more["held_out"].mask))
    asked = np.asarray(more["held_out"].tokens)[rows, places - 1]
    assert sorted(zip(asked.tolist(), places.tolist(), strict=True)) == [
        (topic, place) for topic in (2, 3, 4, 5) for place in (1, 3, 5)
    ]
    np.testing.assert_array_equal(more["held_out"].tokens[:4], plain["held_out"].tokens)
    for group in ("in_domain", "in_context", "conflict"):
        np.testing.assert_array_equal(more[group].tokens, plain[group].tokens)
    for count in (0, 7):
        with pytest.raises(Misuse, match=rf"openings must be from 1 to pairs = 6, got {count}"):
            process.task(4, (0, 1), openings=count)
