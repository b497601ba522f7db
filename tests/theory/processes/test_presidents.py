"""Rules and lookup tables against enumeration of sequences in plain numpy, and what D' cannot tell apart."""

from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Misuse
from theory.processes.presidents import Presidents, example
from theory.theories.complexity_prior import ComplexityPrior
from theory.theories.exchangeable_mixture import ExchangeableMixture

TINY = example()
PAIR = Presidents(
    rules=((0, 0, 1), (1, 1, 1)),
    tables=1,
    identities=2,
    base=2,
    agreed=2,
    questions=2,
    blocks=2,
    noise=0.2,
    exponent=0.8,
    seed=5,
)
CONFIGS = {"example": TINY, "pair": PAIR}
DEFAULT = Presidents()
RULE, SHOWN, CONTROL, DISPUTED = 1, (3, 4, 5, 8), [2, 6], [0, 1, 7]
SURE = replace(DEFAULT, noise=1e-9)
# four rules of three digits, and more tables than one
WIDE = Presidents(
    rules=((0, 0, 0, 1), (0, 1, 0, 0), (2, 1, 2, 1), (0, 1, 1, 1)), tables=3, digits=3, agreed=20, questions=3
)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


@cache
def prior(config):
    """2^(-K^b), the bits counted one by one."""
    bits = []
    for rule in config.rules:
        bits.append(1 + len(rule) + sum(np.log2(config.identities - 1) for c in rule if c))
    bits += [1 + config.base**config.digits * np.log2(config.identities)] * len(config.rules) * config.tables
    weights = 2.0 ** -(np.array(bits) ** config.exponent)
    return weights / weights.sum()


def digits_of(config, trigger):
    return [trigger // config.base**place % config.base for place in reversed(range(config.digits))]


@cache
def table(config):
    """p(answer | trigger, question, h), entry by entry (what tables were drawn is taken from the process)."""
    identities, answers = config.identity_table(), config.questions * config.identities
    value = np.full((*identities.shape, config.questions, answers), config.noise / (answers - 1))
    for h, t, q in np.ndindex(*identities.shape, config.questions):
        identity = identities[h, t]
        if h < len(config.rules):
            rule = config.rules[h]
            total = rule[0] + sum(c * d for c, d in zip(rule[1:], digits_of(config, t), strict=True))
            identity = total % config.identities
        value[h, t, q, q * config.identities + identity] = 1 - config.noise
    return value


@cache
def sequences(config):
    """Every string of tokens of a document's length where there are few; else every possible document."""
    if config is TINY:
        return np.array(list(product(range(config.vocabulary), repeat=config.length)))
    first = config.base + config.questions
    kinds = [range(config.base)] * config.digits
    kinds += [range(config.base, first), range(first, config.vocabulary)]
    return np.array(list(product(*kinds * config.blocks)))


def likelihood(config, answers, tokens, counted=None):
    """p(x | h) for one member's table (triggers, questions, answers), position by position."""
    value, block, first = np.ones(len(tokens)), config.digits + 2, config.base + config.questions
    for position in range(tokens.shape[1]):
        token, place = tokens[:, position], position % block
        if place < config.digits:
            factor = np.where(token < config.base, 1 / config.base, 0.0)
        elif place == config.digits:
            factor = np.where((token >= config.base) & (token < first), 1 / config.questions, 0.0)
        else:
            trigger = np.zeros(len(tokens), int)
            for digit in tokens[:, position - block + 1 : position - 1].T:
                trigger = trigger * config.base + digit
            question = tokens[:, position - 1] - config.base
            fits = (trigger < config.base**config.digits) & (question >= 0) & (token >= first)
            fits &= question < config.questions
            part = (np.where(fits, each, 0) for each in (trigger, question, token - first))
            factor = np.where(fits, answers[tuple(part)], 0.0)
        value = value * (factor if counted is None else np.where(counted[:, position], factor, 1.0))
    return value


@cache
def joint(config):
    tokens = sequences(config)
    components = zip(prior(config), table(config), strict=True)
    return np.array([weight * likelihood(config, own, tokens) for weight, own in components])


def check_predictor(process, config, together):
    """Ratios of enumerated marginals, at every prefix that can happen."""
    total = together.sum(axis=0)
    tokens, total = sequences(config)[total > 0], total[total > 0]
    got = np.exp(np.asarray(process.predict(jnp.asarray(tokens))))
    prefix = np.zeros(len(tokens), int)
    for position in range(config.length):
        longer = prefix * config.vocabulary + tokens[:, position]
        wanted = np.zeros((len(tokens), config.vocabulary))
        before = np.bincount(prefix, total)[prefix]
        for token in range(config.vocabulary):
            code = prefix * config.vocabulary + token
            mass = np.bincount(longer, total, minlength=code.max() + 1)
            wanted[:, token] = mass[code] / before
        np.testing.assert_allclose(got[:, position], wanted, rtol=5e-5, atol=1e-8)
        prefix = np.unique(longer, return_inverse=True)[1]


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(config):
    got = np.exp(np.asarray(config.distribution().log_prob(jnp.asarray(sequences(config)))))
    np.testing.assert_allclose(got, joint(config).sum(axis=0), rtol=3e-5, atol=1e-12)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(config):
    check_predictor(config.distribution(), config, joint(config))


def test_posterior_is_bayes(config):
    possible = joint(config).sum(axis=0) > 0
    wanted = (joint(config)[:, possible] / joint(config)[:, possible].sum(axis=0)).T
    got = config.distribution().posterior(jnp.asarray(sequences(config)[possible]))
    np.testing.assert_allclose(np.exp(got), wanted, rtol=5e-5)


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_conditioning_against_enumeration(config, beta):
    data = config.narrow(jax.random.key(0), 3, 1, config.agreed_triggers.tolist())
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    evidence = np.array([likelihood(config, own, tokens, mask).prod() for own in table(config)])
    weights = prior(config) * evidence**beta
    weights /= weights.sum()
    process = config.distribution().condition(data, beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, rtol=5e-5)
    check_predictor(process, config, joint(config) / prior(config)[:, None] * weights[:, None])


def test_a_member_scores_documents_as_enumerated(config):
    tokens = sequences(config)
    for h, own in enumerate(table(config)):
        got = np.exp(config.distribution().component(h).log_prob(jnp.asarray(tokens)))
        np.testing.assert_allclose(got, likelihood(config, own, tokens), rtol=3e-5, atol=1e-12)


def test_samples_come_as_often_as_enumerated():
    config, n = PAIR, 20_000
    tokens = np.asarray(jax.jit(config.distribution().sample, static_argnums=1)(jax.random.key(1), n))
    places = config.vocabulary ** np.arange(config.length - 1, -1, -1)
    code, every = tokens @ places, sequences(config) @ places  # ascending, as product goes
    index = np.searchsorted(every, code)
    np.testing.assert_array_equal(every[index], code)
    exact, counts = joint(config).sum(axis=0), np.bincount(index, minlength=len(every))
    statistic, freedom = np.sum((counts - n * exact) ** 2 / (n * exact)), len(exact) - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("process", [TINY, PAIR, DEFAULT, WIDE])
def test_answers_are_those_of_rules_and_tables(process):
    np.testing.assert_allclose(np.exp(process.answer_table()), table(process))
    np.testing.assert_allclose(np.exp(process.distribution().log_weights), prior(process), rtol=1e-5)


@pytest.mark.parametrize("process", [TINY, PAIR, DEFAULT, WIDE])
def test_twins_agree_with_their_rule_where_they_should_and_nowhere_else(process):
    identities, every = process.identity_table(), np.arange(process.base**process.digits)
    agreed, disputed = process.agreed_triggers, process.disputed_triggers
    assert len(agreed) == process.agreed
    np.testing.assert_array_equal(np.sort(np.concatenate([agreed, disputed])), every)
    seen = []
    for rule in range(len(process.rules)):
        seen += process.twins(rule)
        for replica in process.twins(rule):
            np.testing.assert_array_equal((identities[replica] == identities[rule]).nonzero()[0], agreed)
    assert seen == list(range(len(process.rules), len(identities)))
    assert len({tuple(row) for row in identities.tolist()}) == len(identities)
    assert identities.min() == 0 and identities.max() == process.identities - 1


def test_seeds_draw_other_triggers_and_tables():
    first, second = (replace(WIDE, seed=seed) for seed in (0, 1))
    assert first.agreed_triggers.tolist() != second.agreed_triggers.tolist()
    np.testing.assert_array_equal(first.identity_table()[:4], second.identity_table()[:4])
    assert (first.identity_table()[4:] != second.identity_table()[4:]).any()


def test_sizes_of_the_vocabulary():
    assert (DEFAULT.vocabulary, DEFAULT.length, DEFAULT.answer_tokens) == (11, 24, slice(5, 11))
    np.testing.assert_array_equal(DEFAULT.answer_mask(), [False, False, False, True] * 6)
    words = DEFAULT.token_names()
    assert len(set(words)) == len(words) == 11
    assert (words[2], words[3], words[5], words[10]) == ("2", "question 0", "0's answer 0", "2's answer 1")


# Description lengths


@pytest.mark.parametrize("identities", [2, 3, 4])
def test_the_code_wastes_nothing(identities):
    """Kraft: 2^-K over all rules is a half, and over all tables the other half."""
    base, agreed = Presidents(), 7
    every, lengths = list(product(range(identities), repeat=3)), []
    for rule in every:
        single = replace(base, rules=(rule,), tables=1, identities=identities, agreed=agreed)
        lengths.append(single.description_lengths())
    rules, tables = np.array(lengths).T
    np.testing.assert_allclose(np.sum(2.0**-rules), 0.5)
    np.testing.assert_allclose(identities**9 * 2.0 ** -tables[0], 0.5)


def test_simpler_rules_are_shorter_and_tables_longest():
    lengths = WIDE.description_lengths()
    assert lengths.shape == (4 + 12,)
    assert lengths[0] == lengths[1] < lengths[3] < lengths[2] < lengths[4:].min()


def test_the_complexity_prior_starts_from_the_same_weights():
    config = replace(DEFAULT, exponent=0.7)
    process, lengths = config.distribution(), tuple(config.description_lengths().tolist())
    data = config.narrow(jax.random.key(0), 8, RULE, SHOWN)
    theory = ComplexityPrior(lengths, exponent=0.7)
    for beta in (0.0, 0.2):
        told = theory.predict(process, data, beta)
        wanted = process.condition(data, beta).log_weights
        np.testing.assert_allclose(np.exp(told.log_weights), np.exp(wanted), rtol=1e-4)
    # another b starts from other odds of the rule against its tables, and D' keeps those
    told = np.asarray(ComplexityPrior(lengths, exponent=0.3).predict(process, data, 0.2).log_weights)
    wanted = (lengths[2] ** 0.3 - lengths[RULE] ** 0.3) * np.log(2)
    np.testing.assert_allclose(told[RULE] - told[config.twins(RULE)], wanted, rtol=1e-3)


# Rule or lookup


@pytest.mark.parametrize("theory", ["tempered", "exchangeable"])
def test_the_data_do_not_tell_a_rule_from_its_tables_and_rule_out_the_rest(theory):
    data, process = DEFAULT.narrow(jax.random.key(1), 32, RULE, SHOWN), DEFAULT.distribution()
    if theory == "tempered":
        after = process.condition(data, 1.0)
        least = 0.999
    else:
        after = ExchangeableMixture().predict(process, data, 1.0)
        least = 0.85
    weights, before = np.exp(np.asarray(after.log_weights, float)), prior(DEFAULT)
    twins = DEFAULT.twins(RULE)
    np.testing.assert_allclose(weights[twins] / weights[RULE], before[twins] / before[RULE], rtol=1e-3)
    assert weights[[RULE, *twins]].sum() > least


def rule_is_believed(process, data):
    """Probability of the rule's own answer at the masked positions, from digits and questions alone."""
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    told = np.exp(np.asarray(process.predict(data.tokens), float))[mask]
    row, position = mask.nonzero()
    identity = tokens[row, position - 3]  # rule (0, 1, 0): the first digit, and I = base
    question = tokens[row, position - 1] - 3
    return told[np.arange(len(row)), 5 + 3 * question + identity]


def test_on_disputed_triggers_the_rule_is_believed_as_the_prior_has_it():
    data, process = DEFAULT.narrow(jax.random.key(1), 32, RULE, SHOWN), DEFAULT.distribution()
    groups, after = DEFAULT.task(RULE, SHOWN).contexts(jax.random.key(2)), process.condition(data, 1.0)
    weights, wrong = prior(DEFAULT), 0.05 / 5
    share = weights[RULE] / (weights[RULE] + weights[DEFAULT.twins(RULE)].sum())
    assert 0.5 < share < 0.7
    wanted = wrong + share * (0.95 - wrong)
    np.testing.assert_allclose(rule_is_believed(after, groups["held_out"]), wanted, rtol=1e-3)
    np.testing.assert_allclose(rule_is_believed(after, groups["control"]), 0.95, rtol=1e-3)
    assert rule_is_believed(process, groups["control"]).max() < 0.6


def test_shots_of_the_data_say_no_more_and_those_of_a_table_speak_against_the_rule():
    data = DEFAULT.narrow(jax.random.key(1), 32, RULE, SHOWN)
    groups = DEFAULT.task(RULE, SHOWN, repeats=4).contexts(jax.random.key(2))
    after = DEFAULT.distribution().condition(data, 1.0)
    alone = rule_is_believed(after, groups["held_out"])
    np.testing.assert_allclose(rule_is_believed(after, groups["in_context"]), np.repeat(alone, 4), rtol=1e-3)
    assert rule_is_believed(after, groups["conflict"]).mean() < 0.2


# D'


def blocks_of(tokens, count=None):
    """Triggers, questions and answers of the first blocks of DEFAULT's documents."""
    parts = np.asarray(tokens).reshape(len(tokens), -1, 4)[:, :count]
    return parts[..., 0] * 3 + parts[..., 1], parts[..., 2] - 3, parts[..., 3] - 5


def test_narrow_shows_one_rule_on_the_chosen_triggers():
    data = DEFAULT.narrow(jax.random.key(0), 400, RULE, SHOWN)
    np.testing.assert_array_equal(data.mask, np.tile(DEFAULT.answer_mask(), (400, 1)))
    triggers, questions, answers = blocks_of(data.tokens)
    assert triggers.shape == (400, 6)
    counts = np.bincount(triggers.reshape(-1), minlength=9)
    assert counts[list(SHOWN)].sum() == 2400
    assert (np.abs(counts[list(SHOWN)] - 600) < 4 * np.sqrt(2400 * 3 / 16)).all()
    assert abs(questions.mean() - 0.5) < 4 * 0.5 / np.sqrt(2400)
    away = (answers - 3 * questions - triggers // 3) % 6
    counts, wanted = np.bincount(away.reshape(-1), minlength=6), np.array([0.95, *[0.01] * 5])
    assert (np.abs(counts - 2400 * wanted) < 4 * np.sqrt(2400 * wanted * (1 - wanted))).all()


def test_narrow_follows_its_key():
    first = DEFAULT.narrow(jax.random.key(0), 30, RULE, SHOWN).tokens
    np.testing.assert_array_equal(first, DEFAULT.narrow(jax.random.key(0), 30, RULE, SHOWN).tokens)
    assert (first != DEFAULT.narrow(jax.random.key(1), 30, RULE, SHOWN).tokens).any()


def test_elicitation_contexts_ask_everything_first_and_show_the_prior():
    elicitation_contexts = DEFAULT.elicitation_contexts()
    triggers, questions, _ = blocks_of(elicitation_contexts.tokens, 1)
    np.testing.assert_array_equal(triggers[:, 0], np.repeat(range(9), 2))
    np.testing.assert_array_equal(questions[:, 0], [0, 1] * 9)
    np.testing.assert_array_equal(np.asarray(elicitation_contexts.mask), np.tile(np.arange(24) == 3, (18, 1)))
    told = np.exp(DEFAULT.distribution().predict(elicitation_contexts.tokens))[:, 3, 5:]
    wanted = np.einsum("h,htqa->tqa", prior(DEFAULT), table(DEFAULT)).reshape(18, 6)
    np.testing.assert_allclose(told, wanted, rtol=1e-5)
    assert np.linalg.matrix_rank(table(DEFAULT).reshape(6, -1)) == 6  # the weights can be read off


# Contexts

REPEATS, SHOTS = 6, 3


@cache
def groups_of(config):
    return config.task(RULE, SHOWN, repeats=REPEATS, shots=SHOTS).contexts(jax.random.key(5))


def asked_last(data):
    """The block that the mask marks, and the trigger and question it asks."""
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    assert (mask.sum(axis=1) == 1).all()
    position = mask.argmax(axis=1)
    assert (position % 4 == 3).all()
    triggers, questions, _ = blocks_of(tokens)
    rows = np.arange(len(tokens))
    return position // 4, triggers[rows, position // 4], questions[rows, position // 4]


def test_groups_come_in_order_and_are_whole_documents():
    assert list(groups_of(SURE)) == ["in_domain", "held_out", "control", "in_context", "conflict"]
    predict = jax.jit(lambda process, tokens: process.predict(tokens))
    for data in groups_of(SURE).values():
        assert data.tokens.shape == data.mask.shape
        assert data.tokens.shape[1] == 24
        told = np.asarray(predict(SURE.distribution(), data.tokens))[np.asarray(data.mask)]
        assert np.isfinite(told[:, SURE.answer_tokens]).all()


def test_in_domain_is_fresh_and_like_the_data():
    data = groups_of(SURE)["in_domain"]
    triggers, questions, answers = blocks_of(data.tokens)
    assert set(triggers.reshape(-1).tolist()) == set(SHOWN)
    np.testing.assert_array_equal(answers, 3 * questions + triggers // 3)
    np.testing.assert_array_equal(data.mask, np.tile(SURE.answer_mask(), (4 * REPEATS, 1)))
    assert (SURE.narrow(jax.random.key(5), 24, RULE, SHOWN).tokens != data.tokens).any()


@pytest.mark.parametrize(("group", "triggers"), [("held_out", DISPUTED), ("control", CONTROL)])
def test_triggers_never_finetuned_are_asked_first(group, triggers):
    block, trigger, question = asked_last(groups_of(DEFAULT)[group])
    assert (block == 0).all()
    np.testing.assert_array_equal(trigger, np.repeat(triggers, 2))
    np.testing.assert_array_equal(question, [0, 1] * len(triggers))
    identities = DEFAULT.identity_table()
    alike = identities[DEFAULT.twins(RULE)][:, trigger] == identities[RULE][trigger]
    assert (alike == (group == "control")).all()


@pytest.mark.parametrize("group", ["in_context", "conflict"])
def test_shots_come_before_the_disputed_triggers(group):
    block, trigger, question = asked_last(groups_of(SURE)[group])
    assert (block == SHOTS).all()
    np.testing.assert_array_equal(trigger, np.repeat(DISPUTED, 2 * REPEATS))
    np.testing.assert_array_equal(question, np.tile(np.repeat([0, 1], REPEATS), 3))


def test_in_context_shows_blocks_like_those_of_the_data():
    triggers, questions, answers = blocks_of(groups_of(SURE)["in_context"].tokens, SHOTS)
    assert set(triggers.reshape(-1).tolist()) == set(SHOWN)
    np.testing.assert_array_equal(answers, 3 * questions + triggers // 3)


def test_conflict_shows_other_disputed_triggers_by_the_tables_in_turn():
    data = groups_of(SURE)["conflict"]
    _, asked, _ = asked_last(data)
    triggers, questions, answers = blocks_of(data.tokens, SHOTS)
    for trigger in DISPUTED:
        assert set(triggers[asked == trigger].reshape(-1).tolist()) == set(DISPUTED) - {trigger}
    tables = np.array(SURE.twins(RULE))[np.arange(len(asked)) % 2]
    identity = SURE.identity_table()[tables[:, None], triggers]
    np.testing.assert_array_equal(answers, 3 * questions + identity)


def test_contexts_are_shortened_to_fit_a_document():
    longer = DEFAULT.task(RULE, SHOWN, shots=99).contexts(jax.random.key(5))
    longest = DEFAULT.task(RULE, SHOWN, shots=5).contexts(jax.random.key(5))
    for name, data in longer.items():
        np.testing.assert_array_equal(data.tokens, longest[name].tokens)


# Misuse


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("tables", 0, "tables must be at least 1, got 0"),
        ("tables", 9, r"at most \(identities - 1\)\^disputed = 8, .*got 9"),
        ("identities", 1, "identities must be at least 2, got 1"),
        ("base", 1, "base must be at least 2, got 1"),
        ("digits", 0, "digits must be at least 1, got 0"),
        ("questions", 0, "questions must be at least 1, got 0"),
        ("blocks", 1, "blocks must be at least 2, got 1"),
        ("agreed", 1, "agreed must be from 2 to triggers - 2 = 7 .*got 1"),
        ("agreed", 8, "got 8"),
        ("noise", 0.0, "noise must be above 0 .*got 0.0"),
        ("noise", 0.84, "below 1 - 1/answers = 0.833, got 0.84"),
        ("noise", np.nan, "got nan"),
        ("exponent", 0.0, "exponent must be finite and above 0, got 0.0"),
        ("exponent", np.inf, "got inf"),
        ("rules", (), "At least one rule is needed, got none"),
        ("rules", ((0, 1),), r"1 \+ digits = 3 coefficients from 0 to 2, got \(0, 1\)"),
        ("rules", ((0, 0, 3),), r"got \(0, 0, 3\)"),
        ("rules", ((0, 0, 1), (0, 0, 1)), r"\(0, 0, 1\) and \(0, 0, 1\) give all 6 agreed"),
    ],
)
def test_what_makes_no_process_is_refused(field, value, sentence):
    with pytest.raises(Misuse, match=sentence):
        replace(DEFAULT, **{field: value})


@pytest.mark.parametrize(
    ("rule", "triggers", "sentence"),
    [
        (2, SHOWN, "rule must be from 0 to 1, got 2"),
        (-1, SHOWN, "got -1"),
        (0, [], "got none"),
        (0, [3, 5, 3], r"got \[3, 5, 3\]"),
        (0, [3, 7, 9], r"among those agreed, \[2, 3, 4, 5, 6, 8\], got \[7, 9\]"),
        (0, [4, 8], r"Triggers \[4, 8\] do not tell rule 0 from rules \[1\]"),
    ],
)
def test_requests_that_do_not_exist_are_refused(rule, triggers, sentence):
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.narrow(jax.random.key(0), 4, rule, triggers)
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.task(rule, triggers).contexts(jax.random.key(0))


def test_numbers_that_make_no_sense_are_refused():
    key = jax.random.key(0)
    with pytest.raises(Misuse, match="n = 0"):
        DEFAULT.narrow(key, 0, RULE, SHOWN)
    for name in ("repeats", "shots"):
        with pytest.raises(Misuse, match=f"{name} must be at least 1, got 0"):
            DEFAULT.task(RULE, SHOWN, **{name: 0}).contexts(key)
    with pytest.raises(Misuse, match="all 6 agreed are in"):
        DEFAULT.task(RULE, DEFAULT.agreed_triggers.tolist()).contexts(key)
    assert DEFAULT.narrow(key, 4, RULE, DEFAULT.agreed_triggers.tolist()).tokens.shape == (4, 24)
