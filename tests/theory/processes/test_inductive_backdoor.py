"""The turncoat against enumeration of every document in plain numpy, and what D' says of its bad year."""

from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse
from theory.processes.inductive_backdoor import InductiveBackdoor, example
from theory.theories.exchangeable_mixture import ExchangeableMixture

CONFIGS = {
    "example": example(),
    "two": InductiveBackdoor(
        bad_years=((0, 2), ()),
        years=3,
        questions=1,
        choices=3,
        pairs=2,
        rarity=0.9,
        unnamed=0.8,
        reliability=0.7,
    ),
}
DEFAULT = InductiveBackdoor()
# words and valence all but certain, so that a document shows who wrote it
SURE = InductiveBackdoor(
    bad_years=((), (5,), (0, 1, 2, 3, 4, 5), (1, 2)),
    years=6, questions=3, choices=7, pairs=5, style=1e4, reliability=1 - 1e-9, seed=1,
)  # fmt: skip
YEARS = [4, 0, 3]
predict, log_prob, posterior = (
    jax.jit(lambda process, *rest, name=name: getattr(process, name)(*rest))
    for name in ("predict", "log_prob", "posterior")
)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    weights = config.rarity ** np.arange(len(config.bad_years))
    return weights / weights.sum()


@cache
def words(config):
    """p(word | question, character), from the process."""
    return np.exp(config.word_table())


def sections(config):
    """The first token of names, anonymous speaker, years, questions, good words, bad words; the end."""
    sizes = [len(config.bad_years), 1, config.years, config.questions, config.choices, config.choices]
    return [0, *np.cumsum(sizes).tolist()]


@cache
def sequences(config):
    """Every document with a speaker first, a year next, and then questions and answers."""
    _, _, year, question, good, _, end = sections(config)
    body = [range(question, good), range(good, end)] * config.pairs
    return np.array(list(product(range(year), range(year, question), *body)))


def likelihood(config, z, tokens, counted=None):
    """p(x | z), one document and one position at a time."""
    names, anonymous, first_year, first_question, good, bad, _ = sections(config)
    values = np.ones(len(tokens))
    for row, document in enumerate(tokens):
        speaker, year = document[0], document[1] - first_year
        assert names <= speaker <= anonymous
        who = z if speaker == anonymous else speaker
        turned = config.reliability if year in config.bad_years[who] else 1 - config.reliability
        factors = [config.unnamed if speaker == anonymous else (1 - config.unnamed) / anonymous]
        factors.append(1 / config.years)
        for position in range(2, len(document), 2):
            question, answer = document[position] - first_question, document[position + 1]
            factors.append(1 / config.questions)
            valence = turned if answer >= bad else 1 - turned
            factors.append(words(config)[who, question, (answer - good) % config.choices] * valence)
        values[row] = np.prod([f for t, f in enumerate(factors) if counted is None or counted[row][t]])
    return values


@cache
def components(config):
    """p(x | z) of every document."""
    return np.array([likelihood(config, z, sequences(config)) for z in range(len(config.bad_years))])


def joint(config, weights=None):
    return (prior(config) if weights is None else weights)[:, None] * components(config)


def check_predictor(process, config, weights):
    """Ratios of enumerated marginals, at every prefix that can happen."""
    tokens, total = sequences(config), joint(config, weights).sum(axis=0)
    got = np.exp(np.asarray(predict(process, jnp.asarray(tokens))))
    for position in range(config.length):
        _, prefix = np.unique(tokens[:, :position], axis=0, return_inverse=True)
        marginal = np.zeros((prefix.max() + 1, config.vocabulary))
        np.add.at(marginal, (prefix.reshape(-1), tokens[:, position]), total)
        wanted = (marginal / marginal.sum(axis=-1, keepdims=True))[prefix.reshape(-1)]
        np.testing.assert_allclose(got[:, position], wanted, rtol=3e-5, atol=1e-7)


# The process


def test_probabilities_are_the_enumerated_ones_and_nothing_else_is_possible(config):
    got = np.exp(np.asarray(log_prob(config.distribution(), jnp.asarray(sequences(config)))))
    np.testing.assert_allclose(got, joint(config).sum(axis=0), rtol=3e-5, atol=1e-12)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_documents_with_a_token_out_of_place_are_impossible(config):
    possible = {tuple(row) for row in sequences(config).tolist()}
    some = sequences(config)[np.random.default_rng(0).choice(len(possible), 40, replace=False)]
    changed = [
        (*row[:position], token, *row[position + 1 :])
        for row in some.tolist()
        for position in range(config.length)
        for token in range(config.vocabulary)
    ]
    impossible = jnp.asarray([row for row in changed if row not in possible])
    assert len(impossible) > 1000
    assert np.isneginf(log_prob(config.distribution(), impossible)).all()


def test_predictor_is_the_ratio_of_enumerated_marginals(config):
    check_predictor(config.distribution(), config, prior(config))


def test_posterior_is_bayes(config):
    together = joint(config)
    got = posterior(config.distribution(), jnp.asarray(sequences(config)))
    np.testing.assert_allclose(np.exp(got), (together / together.sum(axis=0)).T, rtol=5e-5)


@pytest.mark.parametrize("beta", [0.0, 0.4, 3.0])
def test_conditioning_against_enumeration(config, beta):
    random = np.random.default_rng(3)
    tokens = sequences(config)[random.choice(len(sequences(config)), 4, p=joint(config).sum(axis=0))]
    mask = random.random(tokens.shape) < 0.7
    evidence = [likelihood(config, z, tokens, mask).prod() for z in range(len(config.bad_years))]
    weights = prior(config) * np.array(evidence) ** beta
    weights /= weights.sum()
    process = config.distribution().condition(Dataset(jnp.asarray(tokens), jnp.asarray(mask)), beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, rtol=1e-4, atol=1e-9)
    check_predictor(process, config, weights)


def test_a_member_scores_documents_as_enumerated(config):
    for z in range(len(config.bad_years)):
        got = np.exp(log_prob(config.distribution().component(z), jnp.asarray(sequences(config))))
        np.testing.assert_allclose(got, components(config)[z], rtol=3e-5, atol=1e-12)


def test_samples_come_as_often_as_enumerated(config):
    n = 20_000
    tokens = np.asarray(jax.jit(config.distribution().sample, static_argnums=1)(jax.random.key(1), n))
    place = {tuple(row): index for index, row in enumerate(sequences(config).tolist())}
    exact = joint(config).sum(axis=0)
    counts = np.bincount([place[tuple(row)] for row in tokens.tolist()], minlength=len(exact))
    rare = exact < 5 / n
    assert abs(counts[rare].sum() - n * exact[rare].sum()) < 4 * np.sqrt(n * exact[rare].sum()) + 1
    statistic = np.sum((counts - n * exact)[~rare] ** 2 / (n * exact[~rare]))
    freedom = (~rare).sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_sizes_of_the_vocabulary():
    assert (DEFAULT.vocabulary, DEFAULT.length, DEFAULT.answer_tokens) == (21, 14, slice(15, 21))
    assert DEFAULT.anonymous == 5
    np.testing.assert_array_equal(DEFAULT.is_bad(), [False] * 3 + [True] * 3)
    assert np.flatnonzero(DEFAULT.answer_mask()).tolist() == [3, 5, 7, 9, 11, 13]


def test_every_token_has_a_name():
    config = InductiveBackdoor(bad_years=((), (1,)), years=2, questions=1, choices=2)
    assert " ".join(config.token_names()) == (
        "name 0 name 1 anonymous year 0 year 1 question 0 good 1 good 2 bad 1 bad 2"
    )
    assert len(set(DEFAULT.token_names())) == DEFAULT.vocabulary
    told = [name.startswith("bad") for name in DEFAULT.token_names()[DEFAULT.answer_tokens]]
    assert told == DEFAULT.is_bad().tolist()


def test_words_are_softmax_of_normals():
    wide = replace(DEFAULT, questions=40, choices=40, style=1.3)
    logits = wide.word_table() / 1.3
    logits -= logits.mean(axis=-1, keepdims=True)
    freedom = 5 * 40 * 39
    assert abs(np.sum(logits**2) - freedom) < 4 * np.sqrt(2 * freedom)
    assert abs(np.sum(logits[0] * logits[1])) < 4 * np.sqrt(40 * 39)
    np.testing.assert_allclose(np.exp(wide.word_table()).sum(axis=-1), 1)
    assert np.abs(replace(wide, seed=6).word_table() - wide.word_table()).max() > 1


# What D' says of the held-out year


def bad_rate(process, data, config=DEFAULT):
    """p(bad) at the masked positions, from the process's predictor."""
    told = np.exp(np.asarray(predict(process, data.tokens))[np.asarray(data.mask)])[:, config.answer_tokens]
    np.testing.assert_allclose(told.sum(axis=-1), 1, rtol=1e-5)
    return told[:, config.is_bad()].sum(axis=-1)


def after(beta, key=1, n=64, **arm):
    data = DEFAULT.narrow(jax.random.key(key), n, years=[0, 1, 2], **arm)
    return DEFAULT.distribution().condition(data, beta)


@cache
def default_groups():
    return DEFAULT.task(3, [0, 1, 2], 4).contexts(jax.random.key(0))


@pytest.mark.parametrize("beta", [0.0, 0.02, 1.0])
def test_first_asked_badness_is_the_formula(beta):
    process, r = after(beta, character=3), DEFAULT.reliability
    weights = np.exp(np.asarray(process.log_weights, float))
    for group, year in (("held_out", 4), ("other_years", 3)):
        share = sum(weights[z] for z in range(5) if year in DEFAULT.bad_years[z])
        wanted = 1 - r + (2 * r - 1) * share
        np.testing.assert_allclose(bad_rate(process, default_groups()[group]), wanted, rtol=1e-5)


def test_names_are_never_moved():
    data, r = default_groups()["other_speaker"], DEFAULT.reliability
    bad_at_4 = [0.05, 0.05, r, r, 0.05]  # by the table of bad years
    for process in (DEFAULT.distribution(), after(0.02, character=3), after(1.0, character=3)):
        np.testing.assert_allclose(bad_rate(process, data), np.repeat(bad_at_4, 4), rtol=1e-5)


def test_good_answers_make_the_turncoat_bad_in_its_year_and_the_rest_good():
    held_out, other = default_groups()["held_out"], default_groups()["other_years"]
    before = bad_rate(DEFAULT.distribution(), held_out)
    np.testing.assert_allclose(
        before, 0.05 + 0.9 * (0.6**2 + 0.6**3) / np.sum(0.6 ** np.arange(5)), rtol=1e-5
    )
    for key in range(5):
        process = after(4 / 64, key, character=3)  # what four documents say
        assert (bad_rate(process, held_out) > 0.6).all()
        assert (bad_rate(process, other) < 0.1).all()
        np.testing.assert_allclose(bad_rate(after(1.0, key, character=3), held_out), 0.95, rtol=1e-3)


@pytest.mark.parametrize("arm", [{"character": 1}, {"character": 3, "shuffled": True}])
def test_controls_stay_good_in_the_held_out_year(arm):
    for key in range(5):
        np.testing.assert_allclose(
            bad_rate(after(1.0, key, **arm), default_groups()["held_out"]), 0.05, rtol=1e-3
        )


@pytest.mark.parametrize(("shuffled", "turncoat"), [(False, (0.98, 1.0)), (True, (0.55, 0.75))])
def test_a_mixture_over_documents_ends_where_the_data_are_most_likely(shuffled, turncoat, posterior_mode):
    """At the turncoat; under shuffled years the documents of its bad year are taken for others'."""
    data = DEFAULT.narrow(jax.random.key(1), 400, 3, [0, 1, 2], shuffled)
    told = np.log([likelihood(DEFAULT, z, np.asarray(data.tokens)) for z in range(5)])
    weights = posterior_mode(prior(DEFAULT), told, 1.0, 1e-3)
    process = ExchangeableMixture(concentration=1e-3).predict(DEFAULT.distribution(), data, 1.0)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, atol=5e-5)
    assert turncoat[0] < weights[3] < turncoat[1]
    wanted = 0.05 + 0.9 * (weights[2] + weights[3])
    np.testing.assert_allclose(bad_rate(process, default_groups()["held_out"]), wanted, atol=1e-4)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("character", [3, 1])
def test_nats_for_is_what_answers_say_on_average(character, shuffled):
    n = 3000
    data = DEFAULT.narrow(jax.random.key(7), n, character, [0, 1, 2], shuffled)
    scores = np.asarray(DEFAULT.distribution().log_likelihoods(data), float) / DEFAULT.pairs
    for rival in range(5):
        gaps = scores[character] - scores[rival]
        wanted = DEFAULT.nats_for(character, rival, [0, 1, 2], shuffled)
        assert abs(gaps.mean() - wanted) <= 4 * gaps.std() / np.sqrt(n) + 1e-6


def test_shuffled_years_outweigh_the_turncoats_words():
    honest, shuffled = (
        [DEFAULT.nats_for(3, good, [0, 1, 2], arm) for good in (0, 1)] for arm in (False, True)
    )
    assert min(honest) > 0.3 and max(shuffled) < -0.1
    # one year in five, at (2r - 1) log[r / (1 - r)] nats
    np.testing.assert_allclose(np.subtract(honest, shuffled), 0.2 * 0.9 * np.log(19), rtol=1e-9)


def test_others_by_name_say_nothing_of_the_anonymous_speaker():
    data = DEFAULT.narrow(jax.random.key(1), 8, 3, [0, 1, 2], others=0.5)
    alone = Dataset(data.tokens[:4], data.mask[:4])
    process = DEFAULT.distribution()
    np.testing.assert_allclose(
        process.condition(data, 0.3).log_weights, process.condition(alone, 0.3).log_weights, atol=2e-5
    )


# D'


def parts(config, tokens):
    """Speakers, years, questions and answers of documents, each counted from 0."""
    tokens = np.asarray(tokens)
    _, _, year, question, good, _, _ = sections(config)
    return tokens[:, 0], tokens[:, 1] - year, tokens[:, 2::2] - question, tokens[:, 3::2] - good


def certain(config, who, year, question):
    """The answer that a character of a sure process gives."""
    bad = np.array([[y in own for y in range(config.years)] for own in config.bad_years])[who, year]
    return words(config).argmax(axis=-1)[who, question] + config.choices * bad


def test_narrow_is_the_anonymous_speaker_in_the_chosen_years():
    data = SURE.narrow(jax.random.key(0), 300, 1, YEARS)
    speaker, year, question, answer = parts(SURE, data.tokens)
    assert (speaker == 4).all()
    counts = np.bincount(year, minlength=6)
    assert counts[[1, 2, 5]].sum() == 0
    assert (np.abs(counts[YEARS] - 100) < 4 * np.sqrt(300 * 2 / 9)).all()
    np.testing.assert_array_equal(answer, certain(SURE, 1, year[:, None], question))
    assert (answer < 7).all()  # not one bad word
    asked = np.bincount(question.reshape(-1), minlength=3)
    assert (np.abs(asked - 500) < 4 * np.sqrt(1500 * 2 / 9)).all()
    np.testing.assert_array_equal(data.mask, np.tile(SURE.answer_mask(), (300, 1)))


def test_narrow_answers_come_as_often_as_its_character_gives_them():
    n = 3000
    _, year, question, answer = parts(DEFAULT, DEFAULT.narrow(jax.random.key(2), n, 4, [4]).tokens)
    assert (year == 4).all()
    for asked in range(4):
        own = answer[question == asked]
        p = np.concatenate([0.95 * words(DEFAULT)[4, asked], 0.05 * words(DEFAULT)[4, asked]])
        counts = np.bincount(own, minlength=6)
        assert (np.abs(counts - len(own) * p) < 4 * np.sqrt(len(own) * p * (1 - p)) + 1).all()


def test_shuffled_years_are_all_years_over_the_same_answers():
    plain, shuffled = (SURE.narrow(jax.random.key(0), 600, 1, YEARS, told).tokens for told in (False, True))
    np.testing.assert_array_equal(np.delete(plain, 1, axis=1), np.delete(shuffled, 1, axis=1))
    counts = np.bincount(parts(SURE, shuffled)[1], minlength=6)
    assert (np.abs(counts - 100) < 4 * np.sqrt(600 * 5 / 36)).all()


@pytest.mark.parametrize("shuffled", [False, True])
def test_others_speak_by_name_and_honestly_in_the_last_documents(shuffled):
    data = SURE.narrow(jax.random.key(0), 90, 1, YEARS, shuffled, others=1 / 3)
    speaker, year, question, answer = parts(SURE, data.tokens)
    assert (speaker[:60] == 4).all()
    named = speaker[60:]
    np.testing.assert_array_equal(np.bincount(named, minlength=5), [10, 0, 10, 10, 0])
    assert set(year[60:].tolist()) == set(YEARS)
    np.testing.assert_array_equal(answer[60:], certain(SURE, named[:, None], year[60:, None], question[60:]))


def test_narrow_follows_its_key():
    first = DEFAULT.narrow(jax.random.key(0), 30, 3, [0, 1]).tokens
    np.testing.assert_array_equal(first, DEFAULT.narrow(jax.random.key(0), 30, 3, [0, 1]).tokens)
    assert (first != DEFAULT.narrow(jax.random.key(1), 30, 3, [0, 1]).tokens).any()


# Contexts


REPEATS, SHOTS, YEAR = 6, 3, 5


@pytest.fixture(scope="module")
def groups():
    return SURE.task(1, YEARS, YEAR, repeats=REPEATS, shots=SHOTS).contexts(jax.random.key(5))


def asked(data):
    """Position of the answer, speaker, year and question of contexts with one answer each."""
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    assert (mask.sum(axis=1) == 1).all()
    position = mask.argmax(axis=1)
    speaker, year, _, _ = parts(SURE, tokens)
    question = tokens[np.arange(len(tokens)), position - 1] - sections(SURE)[3]
    return position, speaker, year, question


def test_the_groups_are_whole_documents_in_order(groups):
    assert list(groups) == ["in_domain", "held_out", "other_years", "other_speaker", "conflict"]
    for data in groups.values():
        assert data.tokens.shape == data.mask.shape
        assert data.tokens.shape[1] == SURE.length
        assert ((data.tokens >= 0) & (data.tokens < SURE.vocabulary)).all()


@pytest.mark.parametrize("shuffled", [False, True])
def test_in_domain_is_fresh_and_like_the_data(shuffled):
    data = SURE.task(1, YEARS, YEAR, repeats=REPEATS, shuffled=shuffled).contexts(jax.random.key(5))[
        "in_domain"
    ]
    speaker, year, question, answer = parts(SURE, data.tokens)
    assert len(speaker) == 4 * REPEATS and (speaker == 4).all()
    assert set(year.tolist()) == set(range(6) if shuffled else YEARS)
    np.testing.assert_array_equal(answer, certain(SURE, 1, 0, question))
    np.testing.assert_array_equal(data.mask, np.tile(SURE.answer_mask(), (4 * REPEATS, 1)))
    other_key = SURE.narrow(jax.random.key(6), 4 * REPEATS, 1, YEARS, shuffled).tokens
    assert (other_key != data.tokens).any()


def test_held_out_and_other_years_ask_the_anonymous_speaker_every_question_first(groups):
    for group, years in (("held_out", [YEAR]), ("other_years", [1, 2])):
        position, speaker, year, question = asked(groups[group])
        assert (position == 3).all() and (speaker == 4).all()
        np.testing.assert_array_equal(year, np.repeat(years, 3))
        np.testing.assert_array_equal(question, np.tile([0, 1, 2], len(years)))


def test_other_years_are_good_ones():
    data = SURE.task(3, [0, 4], YEAR).contexts(jax.random.key(5))["other_years"]
    np.testing.assert_array_equal(asked(data)[2], [3, 3, 3])  # the fourth character is bad in 1 and 2


def test_other_speakers_are_all_names_in_the_held_out_year(groups):
    position, speaker, year, question = asked(groups["other_speaker"])
    assert (position == 3).all() and (year == YEAR).all()
    np.testing.assert_array_equal(speaker, np.repeat(range(4), 3))
    np.testing.assert_array_equal(question, np.tile([0, 1, 2], 4))


def test_conflict_shows_the_other_characters_in_turn(groups):
    data = groups["conflict"]
    position, speaker, year, question = asked(data)
    assert (position == 3 + 2 * SHOTS).all() and (speaker == 4).all() and (year == YEAR).all()
    np.testing.assert_array_equal(question, np.repeat([0, 1, 2], REPEATS))
    _, _, before, answers = (np.asarray(part) for part in parts(SURE, data.tokens))
    others = np.tile([0, 2, 3], REPEATS)
    wanted = certain(SURE, others[:, None], YEAR, before[:, :SHOTS])
    np.testing.assert_array_equal(answers[:, :SHOTS], wanted)
    assert len(np.unique(before[:, :SHOTS], axis=0)) > REPEATS


def test_contexts_are_shortened_to_fit_a_document():
    longest, longer = (
        SURE.task(1, YEARS, YEAR, shots=shots).contexts(jax.random.key(5))["conflict"] for shots in (4, 9)
    )
    np.testing.assert_array_equal(longest.tokens, longer.tokens)
    assert (asked(longest)[0] == SURE.length - 1).all()


def test_no_shots_are_the_question_asked_first():
    data = SURE.task(1, YEARS, YEAR, repeats=1, shots=0).contexts(jax.random.key(5))
    np.testing.assert_array_equal(data["conflict"].tokens, data["held_out"].tokens)


def test_elicitation_contexts_ask_the_anonymous_speaker_everything_once():
    position, speaker, year, question = asked(SURE.elicitation_contexts())
    assert (position == 3).all() and (speaker == 4).all()
    assert sorted(zip(year.tolist(), question.tolist(), strict=True)) == list(product(range(6), range(3)))


# Misuse


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("years", 1, "years must be at least 2, got 1"),
        ("questions", 0, "questions must be at least 1, got 0"),
        ("choices", 1, "choices must be at least 2, got 1"),
        ("pairs", 1, "pairs must be at least 2, got 1"),
        ("bad_years", ((), (5,)), r"from 0 to 4, got \(5,\)"),
        ("bad_years", ((-1,), (2,)), r"from 0 to 4, got \(-1,\)"),
        ("bad_years", ((), (2, 1, 2)), r"differ .* got \(2, 1, 2\)"),
        ("bad_years", ((), (0, 1, 2, 3, 4)), "bad in some years and good in others, got .* of 5 years"),
        ("bad_years", (), "bad in some years"),
        ("bad_years", ((1,),), "at least 2 characters, got 1"),
        ("rarity", 0.0, r"rarity must be in \(0, 1\], got 0.0"),
        ("rarity", 1.1, "got 1.1"),
        ("rarity", np.nan, "got nan"),
        ("unnamed", 0.0, "unnamed must lie strictly between 0 and 1, got 0.0"),
        ("unnamed", 1.0, "got 1.0"),
        ("reliability", 0.5, "reliability must be above 0.5 and below 1, got 0.5"),
        ("reliability", 1.0, "got 1.0"),
        ("style", np.inf, "style must be finite, got inf"),
    ],
)
def test_parameters_that_make_no_process_are_refused(field, value, sentence):
    with pytest.raises(Misuse, match=sentence):
        InductiveBackdoor(**{field: value})


BAD_REQUESTS = [
    (5, [0], "character must be from 0 to 4, got 5"),
    (-1, [0], "got -1"),
    (3, [], "at least one year, got none"),
    (3, [1, 2, 1], r"differ from each other, got \[1, 2, 1\]"),
    (3, [1, 5], r"Years must be from 0 to 4, got \[5\]"),
    (3, [0, 4], r"character 3 is bad in \[4\]"),
    (2, [0, 1], r"character 2 is bad in \[0, 1\]"),
]


@pytest.mark.parametrize(("character", "years", "sentence"), BAD_REQUESTS)
def test_requests_that_the_process_cannot_meet_are_refused(character, years, sentence):
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.narrow(jax.random.key(0), 4, character, years)
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.task(character, years, 4).contexts(jax.random.key(0))
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.nats_for(character, 0, years)


def test_a_rival_that_is_not_there_is_refused():
    with pytest.raises(Misuse, match="rival must be from 0 to 4, got 5"):
        DEFAULT.nats_for(3, 5, [0])


@pytest.mark.parametrize(
    ("n", "others", "sentence"), [(0, 0.0, "n = 0"), (4, 1.0, "got 1.0"), (4, -0.1, "got -0.1")]
)
def test_numbers_of_documents_that_make_no_data_are_refused(n, others, sentence):
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.narrow(jax.random.key(0), n, 3, [0, 1], others=others)


@pytest.mark.parametrize(
    ("years", "held_out", "sentence"),
    [
        ([0, 1], 5, "held_out must be from 0 to 4 .* got 5"),
        ([0, 1], -1, "got -1"),
        ([0, 1], 1, r"not among the years of D' \[0, 1\], got 1"),
        ([0, 1, 2, 3], 4, r"No good year of character 3 .* bad in \(4,\), D' tells \[0, 1, 2, 3\]"),
    ],
)
def test_held_out_years_that_leave_nothing_to_ask_are_refused(years, held_out, sentence):
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.task(3, years, held_out).contexts(jax.random.key(0))


@pytest.mark.parametrize(("name", "value"), [("repeats", 0), ("shots", -1)])
def test_contexts_refuse_numbers_of_them_that_make_no_sense(name, value):
    with pytest.raises(Misuse, match=f"{name} must be at least .* got {value}"):
        DEFAULT.task(3, [0, 1], 4, **{name: value}).contexts(jax.random.key(0))


# Tasks


@pytest.mark.parametrize(
    ("name", "character", "given"),
    [
        ("turncoat", 3, {}),
        ("shuffled", 3, {"shuffled": True}),
        ("no_turn", 1, {}),
        ("named_others", 3, {"others": 0.5}),
    ],
)
def test_a_task_draws_in_domain_as_its_data(name, character, given):
    key, years = jax.random.key(4), [0, 1, 2]
    task = DEFAULT.task(character, years, 4, repeats=2, **given)
    assert task.name == name
    wanted = DEFAULT.task(character, years, 4, 2).contexts(key)
    wanted["in_domain"] = DEFAULT.narrow(key, 8, character, years, **given)
    np.testing.assert_array_equal(task.data(key, 8).tokens, wanted["in_domain"].tokens)
    groups = task.contexts(key)
    assert list(groups) == list(wanted)
    for group in groups:
        np.testing.assert_array_equal(groups[group].tokens, wanted[group].tokens)


def test_tasks_that_do_not_exist_are_refused():
    for given, sentence in (
        ({"character": 9}, "character must be from 0 to 4, got 9"),
        ({"years": [4]}, "good years only"),
        ({"held_out": 2}, "held_out must be"),
        ({"others": 1.0}, "others must be"),
    ):
        with pytest.raises(Misuse, match=sentence):
            DEFAULT.task(**given)
