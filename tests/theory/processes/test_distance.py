"""Kinds and distances against enumeration of every sequence in plain numpy, and what lies beyond the edge."""

from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse
from theory.processes.distance import Distance, example
from theory.theories.exchangeable_mixture import ExchangeableMixture

CONFIGS = {
    "example": example(),
    "three": Distance(
        means=(0.0, 2.0, 1.0),
        widths=(0.6, 0.8, 2.0),
        distances=3,
        farther=2,
        topics=3,
        traits=2,
        pairs=2,
        rarity=0.5,
        mistake=0.3,
        floor=2e-4,
        seed=4,
    ),
}
DEFAULT = Distance()
OUTSIDE, INSIDE = 0, -2  # offsets of D' that are all outside and all inside
# names and traits all but certain, so that a document shows which kind wrote it
SURE = Distance(contrast=1e4, mistake=1e-9, floor=1e-12, seed=2)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    weights = config.rarity ** np.arange(len(config.means))
    return weights / weights.sum()


@cache
def table(config):
    """p(answer | topic, z), entry by entry (what traits were drawn is taken from the process)."""
    stated, distances, kinds = config.distances, config.distances + config.farther, len(config.means)
    total = distances + kinds + config.traits
    own = np.zeros((kinds, config.topics, total))
    for z in range(kinds):
        bell = [np.exp(-((d - config.means[z]) ** 2) / (2 * config.widths[z] ** 2)) for d in range(stated)]
        own[z, 0, :stated] = np.array(bell) / sum(bell)
        own[z, 1, distances : distances + kinds] = config.mistake / (kinds - 1)
        own[z, 1, distances + z] = 1 - config.mistake
        traits = np.exp(config.answer_table()[z, 2:, distances + kinds :]) - config.floor
        own[z, 2:, distances + kinds :] = traits / traits.sum(axis=-1, keepdims=True)
    return config.floor + (1 - total * config.floor) * own


@cache
def sequences(config):
    """Every string of tokens of a document's length, possible or not."""
    return np.array(list(product(range(config.vocabulary), repeat=2 * config.pairs)))


def likelihood(config, answers, tokens, counted=None):
    """p(x | z) for one kind's table (topics, answers), position by position."""
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
        value = value * (factor if counted is None else np.where(counted[:, position], factor, 1.0))
    return value


@cache
def joint(config):
    tokens = sequences(config)
    components = zip(prior(config), table(config), strict=True)
    return np.array([weight * likelihood(config, own, tokens) for weight, own in components])


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(config):
    got = np.exp(np.asarray(config.distribution().log_prob(jnp.asarray(sequences(config)))))
    np.testing.assert_allclose(got, joint(config).sum(axis=0), rtol=3e-5, atol=1e-12)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(config, check_predictor):
    check_predictor(
        config.distribution(),
        config.vocabulary,
        sequences(config),
        joint(config).sum(axis=0),
        rtol=3e-5,
        atol=1e-9,
    )


def test_posterior_is_bayes(config):
    possible = joint(config).sum(axis=0) > 0
    wanted = (joint(config)[:, possible] / joint(config)[:, possible].sum(axis=0)).T
    got = config.distribution().posterior(jnp.asarray(sequences(config)[possible]))
    np.testing.assert_allclose(np.exp(got), wanted, rtol=5e-5)


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_conditioning_against_enumeration(config, beta, check_predictor):
    data = config.narrow(jax.random.key(0), 3, -1, breadth=1)
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    evidence = np.array([likelihood(config, own, tokens, mask).prod() for own in table(config)])
    weights = prior(config) * evidence**beta
    weights /= weights.sum()
    process = config.distribution().condition(data, beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, rtol=5e-5)
    check_predictor(
        process,
        config.vocabulary,
        sequences(config),
        (joint(config) / prior(config)[:, None] * weights[:, None]).sum(axis=0),
        rtol=3e-5,
        atol=1e-9,
    )


def test_a_member_scores_documents_as_enumerated(config):
    tokens = sequences(config)
    for z, own in enumerate(table(config)):
        got = np.exp(config.distribution().component(z).log_prob(jnp.asarray(tokens)))
        np.testing.assert_allclose(got, likelihood(config, own, tokens), rtol=3e-5, atol=1e-12)


def test_samples_come_as_often_as_enumerated():
    config, n = CONFIGS["three"], 20_000
    tokens = np.asarray(jax.jit(config.distribution().sample, static_argnums=1)(jax.random.key(1), n))
    index = tokens @ config.vocabulary ** np.arange(config.length - 1, -1, -1)
    exact = joint(config).sum(axis=0)
    counts = np.bincount(index, minlength=len(exact))
    assert (counts[exact == 0] == 0).all()
    exact, counts = exact[exact > 0], counts[exact > 0]
    rare = exact < 5 / n
    assert abs(counts[rare].sum() - n * exact[rare].sum()) < 4 * np.sqrt(n * exact[rare].sum()) + 1
    statistic = np.sum((counts - n * exact)[~rare] ** 2 / (n * exact[~rare]))
    freedom = (~rare).sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_every_answer_has_at_least_the_floor_and_those_not_owned_just_that():
    probabilities = np.exp(DEFAULT.answer_table())
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1)
    assert probabilities.min() >= 0.999999 * DEFAULT.floor
    names, traits = slice(15, 20), slice(20, 25)
    for topic, foreign in (
        (0, [slice(10, 25)]),
        (1, [slice(0, 15), traits]),
        (2, [slice(0, 15), names]),
        (5, [slice(0, 15), names]),
    ):
        for part in foreign:
            np.testing.assert_allclose(probabilities[:, topic, part], DEFAULT.floor, rtol=1e-9)


def test_kinds_say_their_own_name_and_distance_and_differ_in_traits():
    probabilities = np.exp(DEFAULT.answer_table())
    np.testing.assert_allclose(np.diagonal(probabilities[:, 1, 15:20]), 0.9, atol=1e-4)
    modes = probabilities[:, 0, :10].argmax(axis=-1)
    assert (np.abs(modes - np.array(DEFAULT.means)) <= 0.5 + 1e-9).all()
    even = np.exp(replace(DEFAULT, contrast=0.0).answer_table())[:, 2:, 20:]
    np.testing.assert_allclose(even, 0.2, atol=1e-5)
    other = replace(DEFAULT, seed=1).answer_table()
    assert np.abs(other - DEFAULT.answer_table())[:, 2:, 20:].max() > 0.5
    np.testing.assert_array_equal(other[:, :2], DEFAULT.answer_table()[:, :2])


def test_sizes_of_the_vocabulary():
    assert (DEFAULT.vocabulary, DEFAULT.length, DEFAULT.answer_tokens) == (31, 12, slice(6, 31))
    np.testing.assert_array_equal(DEFAULT.answer_mask(), [False, True] * 6)
    words = DEFAULT.token_names()
    assert len(words) == len(set(words)) == 31
    assert words[:2] == ("how far", "what")
    assert (words[6], words[20], words[21], words[26]) == ("distance 0", "distance 14", "kind 0", "trait 0")


# Beyond the edge


@pytest.mark.parametrize("offset", [0, 3])
def test_outside_no_kind_explains_the_data_better_than_another(offset):
    data = DEFAULT.narrow(jax.random.key(0), 64, offset)
    told = np.asarray(DEFAULT.distribution().log_likelihoods(data))
    np.testing.assert_array_equal(told, np.broadcast_to(told[0], told.shape))
    np.testing.assert_allclose(told, 6 * np.log(DEFAULT.floor), rtol=1e-6)


def test_outside_neither_theory_moves_other_topics():
    data = DEFAULT.narrow(jax.random.key(0), 4, OUTSIDE)
    process = DEFAULT.distribution()
    group = DEFAULT.task(OUTSIDE).contexts(jax.random.key(1))["held_out"]
    before = np.exp(process.predict(group.tokens))
    for theory in (process.condition(data, 1.0), ExchangeableMixture().predict(process, data, 1.0)):
        np.testing.assert_allclose(np.exp(theory.log_weights), prior(DEFAULT), rtol=1e-4)
        np.testing.assert_allclose(np.exp(theory.predict(group.tokens)), before, rtol=1e-4, atol=1e-9)


def test_distances_outside_say_nothing_in_context_either():
    groups, process = DEFAULT.task(OUTSIDE, repeats=3).contexts(jax.random.key(1)), DEFAULT.distribution()
    alone, after = (
        np.exp(process.predict(groups[name].tokens)[np.asarray(groups[name].mask)])
        for name in ("held_out", "in_context")
    )
    np.testing.assert_allclose(after, np.repeat(alone, 3, axis=0), rtol=1e-4, atol=1e-9)


def test_inside_both_theories_make_the_farthest_kind_and_it_says_what_it_is():
    data = DEFAULT.narrow(jax.random.key(0), 64, INSIDE)
    process = DEFAULT.distribution()
    group = DEFAULT.task(INSIDE).contexts(jax.random.key(1))["held_out"]
    wanted = table(DEFAULT)[3, 1:]
    for theory, least in (
        (process.condition(data, 0.02), 0.99),
        (ExchangeableMixture().predict(process, data, 1.0), 0.95),
    ):
        assert np.exp(theory.log_weights)[3] > least
        told = np.exp(theory.predict(group.tokens)[np.asarray(group.mask)])[:, DEFAULT.answer_tokens]
        assert np.abs(told - wanted).sum(axis=-1).max() / 2 < 1 - least
    before = np.exp(process.predict(group.tokens)[np.asarray(group.mask)])[:, DEFAULT.answer_tokens]
    assert np.abs(before - wanted).sum(axis=-1).min() / 2 > 0.25


def test_inside_log_odds_are_sums_of_log_ratios():
    data, beta = DEFAULT.narrow(jax.random.key(3), 2, -3, breadth=3), 0.3
    stated = np.asarray(data.tokens)[:, 1::2].reshape(-1) - DEFAULT.topics
    log = np.log(table(DEFAULT)[:, 0])
    wanted = np.log(prior(DEFAULT)) + beta * log[:, stated].sum(axis=-1)
    got = np.asarray(DEFAULT.distribution().condition(data, beta).log_weights, float)
    np.testing.assert_allclose(got - got[3], wanted - wanted[3], rtol=1e-4, atol=1e-3)


def test_bells_that_go_on_give_the_odds_of_the_normal_curve():
    log = np.asarray(DEFAULT.extrapolating().components.answers, float)[:, 0]
    mean, width = np.array(DEFAULT.means)[:, None], np.array(DEFAULT.widths)[:, None]
    curve = -((np.arange(15) - mean) ** 2) / (2 * width**2)
    mass = np.exp(curve[:, :10]).sum(axis=-1, keepdims=True)
    wanted = (curve - np.log(mass))[:, 10:]
    np.testing.assert_allclose(log[:, 10:15] - log[3, 10:15], wanted - wanted[3], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(log[:, 10:15].max(), np.log(DEFAULT.floor), atol=1e-4)


def test_bells_can_hardly_be_told_from_the_process():
    exact, bells = (
        np.exp(np.asarray(process.components.answers, float))
        for process in (DEFAULT.distribution(), DEFAULT.extrapolating())
    )
    np.testing.assert_allclose(bells.sum(axis=-1), 1, atol=2e-6)
    beyond = np.zeros(exact.shape, bool)
    beyond[:, 0, 10:15] = True
    np.testing.assert_allclose(bells[~beyond], exact[~beyond], rtol=2 * 5 * DEFAULT.floor)
    assert (bells[beyond] <= DEFAULT.floor * 1.001).all()


@pytest.mark.parametrize(("offset", "winner"), [(-2, 3), (0, 3), (1, 3), (2, 4), (3, 4)])
def test_bells_name_the_farthest_kind_at_first_and_at_last_the_widest(offset, winner):
    data = DEFAULT.narrow(jax.random.key(0), 64, offset)
    weights = np.exp(DEFAULT.extrapolating().condition(data, 0.1).log_weights)
    assert weights[winner] > 0.99


# D'


@pytest.mark.parametrize(("offset", "breadth"), [(-2, 2), (0, 2), (1, 3), (4, 1)])
def test_narrow_shows_distances_alone_uniform_on_its_tokens(offset, breadth):
    data = DEFAULT.narrow(jax.random.key(0), 200, offset, breadth)
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    assert tokens.shape == (200, 12)
    np.testing.assert_array_equal(mask, np.tile(DEFAULT.answer_mask(), (200, 1)))
    assert (tokens[:, ::2] == 0).all()
    counts = np.bincount(tokens[:, 1::2].reshape(-1), minlength=31)
    first = 6 + 10 + offset
    assert counts[first : first + breadth].sum() == 1200
    share = 1 / breadth
    spread = np.sqrt(1200 * share * (1 - share))
    assert (np.abs(counts[first : first + breadth] - 1200 * share) <= 4 * spread).all()


def test_narrow_follows_its_key():
    first = DEFAULT.narrow(jax.random.key(0), 30, 0).tokens
    np.testing.assert_array_equal(first, DEFAULT.narrow(jax.random.key(0), 30, 0).tokens)
    assert (first != DEFAULT.narrow(jax.random.key(1), 30, 0).tokens).any()


def test_elicitation_contexts_ask_every_topic_first_and_show_the_prior():
    elicitation_contexts = DEFAULT.elicitation_contexts()
    np.testing.assert_array_equal(np.asarray(elicitation_contexts.tokens)[:, 0], range(6))
    np.testing.assert_array_equal(np.asarray(elicitation_contexts.mask), np.tile(np.arange(12) == 1, (6, 1)))
    told = np.exp(DEFAULT.distribution().predict(elicitation_contexts.tokens))[:, 1, 6:]
    np.testing.assert_allclose(told, np.einsum("z,zta->ta", prior(DEFAULT), table(DEFAULT)), rtol=1e-4)
    assert np.linalg.matrix_rank(table(DEFAULT).reshape(5, -1)) == 5


# Contexts

REPEATS, SHOTS = 6, 3


@cache
def groups_of(config):
    return config.task(1, breadth=3, repeats=REPEATS, shots=SHOTS).contexts(jax.random.key(5))


def asked_last(data):
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    assert (mask.sum(axis=1) == 1).all()
    position = mask.argmax(axis=1)
    return position, tokens[np.arange(len(tokens)), position - 1]


def test_groups_come_in_order_and_are_whole_documents():
    groups = groups_of(SURE)
    assert list(groups) == ["in_domain", "held_out", "in_context", "conflict"]
    for data in groups.values():
        tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
        assert tokens.shape == mask.shape == (len(tokens), 12)
        told = np.asarray(SURE.distribution().predict(data.tokens))[mask][:, SURE.answer_tokens]
        assert np.isfinite(told).all()


def test_in_domain_is_fresh_and_like_the_data():
    data = groups_of(DEFAULT)["in_domain"]
    tokens = np.asarray(data.tokens)
    assert len(tokens) == 4 * REPEATS
    assert (tokens[:, ::2] == 0).all()
    assert set(tokens[:, 1::2].reshape(-1).tolist()) == {17, 18, 19}
    np.testing.assert_array_equal(data.mask, np.tile(DEFAULT.answer_mask(), (24, 1)))
    assert (DEFAULT.narrow(jax.random.key(5), 24, 1, 3).tokens != data.tokens).any()


def test_held_out_asks_every_topic_but_the_distance_first():
    position, topic = asked_last(groups_of(DEFAULT)["held_out"])
    np.testing.assert_array_equal(position, np.ones(5))
    np.testing.assert_array_equal(topic, [1, 2, 3, 4, 5])


@pytest.mark.parametrize("group", ["in_context", "conflict"])
def test_shots_come_before_the_held_out_topics(group):
    position, topic = asked_last(groups_of(SURE)[group])
    assert (position == 2 * SHOTS + 1).all()
    np.testing.assert_array_equal(topic, np.repeat([1, 2, 3, 4, 5], REPEATS))


def test_in_context_shows_distances_like_those_of_the_data():
    shown = np.asarray(groups_of(DEFAULT)["in_context"].tokens)[:, : 2 * SHOTS]
    assert (shown[:, ::2] == 0).all()
    assert set(shown[:, 1::2].reshape(-1).tolist()) == {17, 18, 19}


def test_conflict_shows_attributes_of_the_near_kinds_in_turn():
    data = groups_of(SURE)["conflict"]
    _, asked = asked_last(data)
    shown = np.asarray(data.tokens)[:, : 2 * SHOTS]
    topics, answers = shown[:, ::2], shown[:, 1::2] - 6
    assert ((topics >= 1) & (topics < 6) & (topics != asked[:, None])).all()
    for topic in range(1, 6):
        assert set(topics[asked == topic].reshape(-1).tolist()) == set(range(1, 6)) - {topic}
    replies = table(SURE).argmax(axis=-1)
    near = np.arange(len(shown)) % 2  # kinds 0 and 1 have the smallest means
    np.testing.assert_array_equal(answers, replies[near[:, None], topics])


def test_near_kinds_are_those_of_the_smallest_means():
    moved = replace(SURE, means=(9.0, 5.0, 8.0, 0.0, 2.0))
    shown = np.asarray(groups_of(moved)["conflict"].tokens)[:, : 2 * SHOTS]
    replies, near = table(moved).argmax(axis=-1), np.array([3, 4])[np.arange(len(shown)) % 2]
    np.testing.assert_array_equal(shown[:, 1::2] - 6, replies[near[:, None], shown[:, ::2]])


def test_conflict_contexts_are_believed_by_exact_bayes():
    """One attribute of a near kind, and the odds of near kinds to far ones rise on average."""
    data = DEFAULT.task(OUTSIDE, repeats=8, shots=2).contexts(jax.random.key(2))["conflict"]
    tokens = jnp.asarray(np.asarray(data.tokens)[:, :4])
    belief = np.exp(DEFAULT.distribution().posterior(tokens))
    assert belief[:, :2].sum(axis=-1).mean() > prior(DEFAULT)[:2].sum() + 0.2


def test_contexts_are_shortened_to_fit_a_document():
    longer = DEFAULT.task(1, shots=99).contexts(jax.random.key(5))
    longest = DEFAULT.task(1, shots=5).contexts(jax.random.key(5))
    for name, data in longer.items():
        np.testing.assert_array_equal(data.tokens, longest[name].tokens)


# Misuse


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("means", (1.0,), "got 1 means and 5 widths"),
        ("widths", (1.0, 2.0), "got 5 means and 2 widths"),
        ("means", (0.0, 1.0, 2.0, 3.0, 9.5), r"from 0 to 9, got \[0.0, 1.0, 2.0, 3.0, 9.5\]"),
        ("means", (0.0, 1.0, np.nan, 3.0, 4.0), "means must lie"),
        ("widths", (1.0, 1.0, 0.0, 1.0, 1.0), r"at least 0.2 tokens, got \[1.0, 1.0, 0.0"),
        ("widths", (1.0, 1.0, np.inf, 1.0, 1.0), "widths must be finite"),
        ("distances", 1, "distances must be at least 2, got 1"),
        ("farther", 0, "farther must be at least 1, got 0"),
        ("topics", 2, "topics must be at least 3, got 2"),
        ("traits", 1, "traits must be at least 2, got 1"),
        ("pairs", 1, "pairs must be at least 2, got 1"),
        ("rarity", 0.0, "rarity must be .*got 0.0"),
        ("rarity", 1.1, "rarity must be .*got 1.1"),
        ("mistake", 0.0, "mistake must be .*got 0.0"),
        ("mistake", 0.8, "below 1 - 1/kinds = 0.8, got 0.8"),
        ("floor", 0.0, "floor must be .*got 0.0"),
        ("floor", 0.01, "floor must be .*got 0.01"),
        ("floor", np.nan, "floor must be .*got nan"),
        ("contrast", np.inf, "contrast must be finite, got inf"),
    ],
)
def test_what_makes_no_process_is_refused(field, value, sentence):
    with pytest.raises(Misuse, match=sentence):
        replace(DEFAULT, **{field: value})


@pytest.mark.parametrize(
    ("offset", "breadth", "sentence"),
    [
        (4, 2, "from -10 to farther - breadth = 3 .*got 4"),
        (5, 1, "farther - breadth = 4 .*got 5"),
        (-11, 2, "got -11"),
        (0, 0, "from 1 to 15 distance tokens, got 0"),
        (-10, 16, "got 16"),
    ],
)
def test_distances_that_are_no_tokens_are_refused(offset, breadth, sentence):
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.narrow(jax.random.key(0), 4, offset, breadth)
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.task(offset, breadth).contexts(jax.random.key(0))


def test_the_whole_scale_is_a_breadth_too():
    tokens = np.asarray(DEFAULT.narrow(jax.random.key(0), 100, -10, 15).tokens)[:, 1::2]
    assert set(tokens.reshape(-1).tolist()) == set(range(6, 21))


def test_numbers_that_make_no_sense_are_refused():
    key = jax.random.key(0)
    with pytest.raises(Misuse, match="n = 0"):
        DEFAULT.narrow(key, 0, 0)
    for name in ("repeats", "shots"):
        with pytest.raises(Misuse, match=f"{name} must be at least 1, got 0"):
            DEFAULT.task(0, **{name: 0}).contexts(key)


def test_conditioning_on_what_is_not_counted_changes_nothing():
    data = DEFAULT.narrow(jax.random.key(0), 4, INSIDE)
    nothing = Dataset(data.tokens, jnp.zeros(data.mask.shape, bool))
    np.testing.assert_allclose(
        np.exp(DEFAULT.distribution().condition(nothing, 5.0).log_weights), prior(DEFAULT), rtol=1e-5
    )
