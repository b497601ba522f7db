"""Adding a hidden k against enumeration of every sequence in plain numpy, and the exchange rate."""

from functools import cache
from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln, logsumexp, softmax

from theory.base import Dataset, Misuse
from theory.processes.add_k import AddK, example

CONFIGS = {"example": example(), "four": AddK(modulus=4, pairs=2, noise=0.4, rarity=0.5)}
SEVEN = AddK(modulus=7, pairs=12, noise=0.5, rarity=1.0)
LONG = AddK(modulus=7, pairs=8, noise=0.3, rarity=0.8)
predict, log_prob, posterior, condition = (
    jax.jit(lambda process, *rest, name=name: getattr(process, name)(*rest))
    for name in ("predict", "log_prob", "posterior", "condition")
)
sample = jax.jit(lambda process, key, n: process.sample(key, n), static_argnums=2)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    weights = config.rarity ** np.arange(config.modulus)
    return weights / weights.sum()


@cache
def sequences(config):
    return np.array(list(product(range(2 * config.modulus), repeat=2 * config.pairs)))


def likelihood(config, k, tokens, counted=None):
    """p(x | k), pair by pair."""
    m, value = config.modulus, np.ones(len(tokens))
    for position in range(tokens.shape[1]):
        token = tokens[:, position]
        if position % 2 == 0:
            factor = np.where(token < m, 1 / m, 0.0)
        else:
            asked = tokens[:, position - 1]
            right = (asked + k) % m == token - m
            factor = np.where(right, 1 - config.noise, config.noise / (m - 1)) * (token >= m)
        value = value * (factor if counted is None else np.where(counted[:, position], factor, 1.0))
    return value


@cache
def joint(config):
    tokens = sequences(config)
    return np.array([prior(config)[k] * likelihood(config, k, tokens) for k in range(config.modulus)])


def check_predictor(process, config, together):
    shape = (config.vocabulary,) * config.length
    total = together.sum(axis=0)
    tokens = sequences(config)[total > 0]
    got = np.exp(np.asarray(predict(process, jnp.asarray(tokens))))
    for position in range(config.length):
        marginal = total.reshape(shape).sum(axis=tuple(range(position + 1, config.length)))
        continued = marginal[tuple(tokens[:, :position].T)].reshape(-1, config.vocabulary)
        wanted = continued / continued.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(
            got[:, position], np.broadcast_to(wanted, got[:, position].shape), rtol=3e-5, atol=1e-7
        )


def counted_everywhere(config, n):
    return np.tile(config.answer_mask(), (n, 1))


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(config):
    got = np.exp(np.asarray(log_prob(config.distribution(), jnp.asarray(sequences(config)))))
    np.testing.assert_allclose(got, joint(config).sum(axis=0), rtol=3e-5, atol=1e-9)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(config):
    check_predictor(config.distribution(), config, joint(config))


def test_posterior_is_bayes(config):
    possible = joint(config).sum(axis=0) > 0
    wanted = (joint(config)[:, possible] / joint(config)[:, possible].sum(axis=0)).T
    got = posterior(config.distribution(), jnp.asarray(sequences(config)[possible]))
    np.testing.assert_allclose(np.exp(got), wanted, rtol=3e-5)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_conditioning_against_enumeration(config, beta):
    data = config.narrow(jax.random.key(0), 2, 1, [0, 2])
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    evidence = np.array([likelihood(config, k, tokens, mask).prod() for k in range(config.modulus)])
    weights = prior(config) * evidence**beta
    weights /= weights.sum()
    process = condition(config.distribution(), data, beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, rtol=3e-5)
    check_predictor(process, config, joint(config) / prior(config)[:, None] * weights[:, None])


def test_a_member_scores_documents_as_enumerated(config):
    tokens = sequences(config)
    for k in range(config.modulus):
        got = np.exp(log_prob(config.distribution().component(k), jnp.asarray(tokens)))
        np.testing.assert_allclose(got, likelihood(config, k, tokens), rtol=3e-5, atol=1e-9)


def test_samples_come_as_often_as_enumerated(config):
    n = 20_000
    tokens = np.asarray(sample(config.distribution(), jax.random.key(1), n))
    index = tokens @ config.vocabulary ** np.arange(config.length - 1, -1, -1)
    exact = joint(config).sum(axis=0)
    counts = np.bincount(index, minlength=len(exact))
    assert (counts[exact == 0] == 0).all()
    exact, counts = exact[exact > 0], counts[exact > 0]
    statistic, freedom = np.sum((counts - n * exact) ** 2 / (n * exact)), len(exact) - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_every_answer_has_a_chance():
    table = np.exp(LONG.answer_table())
    np.testing.assert_allclose(table.sum(axis=-1), 1)
    np.testing.assert_allclose(table.min(), LONG.noise / 6)
    k, x = np.ogrid[:7, :7]
    np.testing.assert_array_equal(table.argmax(axis=-1), (x + k) % 7)


def test_sizes_of_the_vocabulary():
    assert (LONG.vocabulary, LONG.length, LONG.answer_tokens) == (14, 16, slice(7, 14))
    np.testing.assert_array_equal(LONG.answer_mask(), [False, True] * 8)


def test_token_names_are_questions_and_answers():
    wanted = ("0 + k", "1 + k", "2 + k", "3 + k", "= 0", "= 1", "= 2", "= 3")
    assert CONFIGS["four"].token_names() == wanted


# The exchange rate


def test_a_pair_is_worth_the_logarithm_of_its_likelihood_ratio():
    np.testing.assert_allclose(LONG.evidence_of_a_pair, np.log(0.7 / (0.3 / 6)))


@pytest.mark.parametrize("beta", [0.0, 0.02, 0.1])
def test_log_odds_are_prior_plus_finetuning_plus_context(beta):
    data = LONG.narrow(jax.random.key(3), 12, 2, [0, 1, 4])
    contexts = sample(LONG.distribution(), jax.random.key(4), 200)
    after = condition(LONG.distribution(), data, beta)
    believed = np.asarray(posterior(after, contexts), float)
    everything, price = counted_everywhere(LONG, 200), np.log(0.7 * 6 / 0.3)
    for rival in (0, 1, 3, 6):
        learnt = sum(s * LONG.explained(data.tokens, data.mask, k).sum() for s, k in ((1, 2), (-1, rival)))
        shown = LONG.explained(contexts, everything, 2) - LONG.explained(contexts, everything, rival)
        wanted = (2 - rival) * np.log(0.8) + price * (beta * learnt + shown)
        np.testing.assert_allclose(believed[:, 2] - believed[:, rival], wanted, atol=5e-4)


def test_explained_counts_pairs_by_hand():
    tokens = np.array([[0, 7 + 2, 6, 7 + 1, 3, 7 + 3], [1, 7 + 3, 2, 7 + 4, 5, 7 + 0]])
    mask = np.array([[False, True] * 3, [False, True, False, False, False, True]])
    np.testing.assert_array_equal(LONG.explained(tokens, mask, 2), [2, 2])
    np.testing.assert_array_equal(LONG.explained(tokens, mask, 0), [1, 0])


def test_so_many_shots_undo_the_finetuning():
    """A fraction of a shot less, and D's k still leads; one more, and the rival does."""
    data = LONG.narrow(jax.random.key(5), 8, 3, [0, 1, 2])
    for rival, target in ((0, 2.5), (5, 3.5)):
        per_beta = LONG.shots_to_undo(data, 1.0, 3, rival) - LONG.shots_to_undo(data, 0.0, 3, rival)
        beta = (target - LONG.shots_to_undo(data, 0.0, 3, rival)) / per_beta
        np.testing.assert_allclose(LONG.shots_to_undo(data, beta, 3, rival), target)
        after = condition(LONG.distribution(), data, beta)
        asked = np.arange(7)
        for shots, leader in ((int(target - 0.5), 3), (int(target + 0.5), rival)):
            tokens = np.zeros((1, LONG.length), np.int32)
            tokens[0, : 2 * shots : 2] = asked[:shots]
            tokens[0, 1 : 2 * shots : 2] = (asked[:shots] + rival) % 7 + 7
            tokens[0, 2 * shots] = 6
            answer = np.asarray(predict(after, jnp.asarray(tokens)))[0, 2 * shots + 1, 7:]
            assert answer[(6 + leader) % 7] == answer[[(6 + k) % 7 for k in (3, rival)]].max()


def test_one_shot_takes_back_one_over_beta_answers():
    data = LONG.narrow(jax.random.key(6), 20, 0, [0, 3])
    more = LONG.explained(data.tokens, data.mask, 0).sum() - LONG.explained(data.tokens, data.mask, 1).sum()
    rate = LONG.shots_to_undo(data, 0.25, 0, 1) - LONG.shots_to_undo(data, 0.0, 0, 1)
    np.testing.assert_allclose(rate, more / 4)


# D' and contexts


def test_narrow_shows_one_k_on_the_chosen_questions():
    data = LONG.narrow(jax.random.key(0), 400, 4, [1, 5])
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    np.testing.assert_array_equal(mask, counted_everywhere(LONG, 400))
    questions, answers = tokens[:, ::2], tokens[:, 1::2] - 7
    assert set(questions.reshape(-1).tolist()) == {1, 5}
    assert abs((questions == 1).mean() - 0.5) < 4 * 0.5 / np.sqrt(questions.size)
    away = (answers - questions) % 7
    counts, wanted = np.bincount(away.reshape(-1), minlength=7), np.full(7, 0.05)
    wanted[4] = 0.7
    spread = np.sqrt(away.size * wanted * (1 - wanted))
    assert (np.abs(counts - away.size * wanted) < 4 * spread).all()


def test_narrow_follows_its_key():
    first = LONG.narrow(jax.random.key(0), 30, 0, [0, 1]).tokens
    np.testing.assert_array_equal(first, LONG.narrow(jax.random.key(0), 30, 0, [0, 1]).tokens)
    assert (first != LONG.narrow(jax.random.key(1), 30, 0, [0, 1]).tokens).any()


def test_elicitation_contexts_ask_every_question_first():
    elicitation_contexts = LONG.elicitation_contexts()
    np.testing.assert_array_equal(np.asarray(elicitation_contexts.tokens)[:, 0], range(7))
    np.testing.assert_array_equal(np.asarray(elicitation_contexts.mask).nonzero()[1], np.ones(7))
    first = np.exp(predict(LONG.distribution(), elicitation_contexts.tokens))[:, 1, 7:]
    x, y = np.ogrid[:7, :7]
    wanted = 0.05 + 0.65 * prior(LONG)[(y - x) % 7]
    np.testing.assert_allclose(first, wanted, rtol=1e-5)


GROUPS = LONG.task(2, [0, 1, 4], repeats=6, shots=(1, 3, 7)).contexts(jax.random.key(7))
HELD_OUT = [2, 3, 5, 6]


def test_groups_come_in_order_and_are_whole_documents():
    assert list(GROUPS) == [
        *("in_domain", "held_out", "shots_1", "shots_3", "shots_7"),
        *("asked", "asked_1", "asked_3", "asked_7"),
    ]
    tokens, mask = (np.concatenate([getattr(d, n) for d in GROUPS.values()]) for n in ("tokens", "mask"))
    assert tokens.shape == mask.shape == (24 + 4 + 3 * 24 + 3 + 3 * 18, LONG.length)
    assert np.isfinite(predict(LONG.distribution(), jnp.asarray(tokens))[mask][:, 7:]).all()


def test_in_domain_is_fresh_and_like_the_data():
    data = GROUPS["in_domain"]
    assert data.tokens.shape[0] == 24
    assert set(np.asarray(data.tokens)[:, ::2].reshape(-1).tolist()) == {0, 1, 4}
    assert (LONG.narrow(jax.random.key(7), 24, 2, [0, 1, 4]).tokens != data.tokens).any()


def test_held_out_asks_what_is_never_finetuned_first_and_asked_what_is():
    for name, asked in (("held_out", HELD_OUT), ("asked", [0, 1, 4])):
        tokens, mask = np.asarray(GROUPS[name].tokens), np.asarray(GROUPS[name].mask)
        np.testing.assert_array_equal(tokens[:, 0], asked)
        np.testing.assert_array_equal(mask, np.tile(np.arange(16) == 1, (len(asked), 1)))


@pytest.mark.parametrize("shots", [1, 3, 7])
@pytest.mark.parametrize(("name", "questions"), [("shots", HELD_OUT), ("asked", [0, 1, 4])])
def test_shots_are_of_the_other_k_in_turn_and_nested(name, questions, shots):
    data, rows = GROUPS[f"{name}_{shots}"], 6 * len(questions)
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    np.testing.assert_array_equal(mask, np.tile(np.arange(16) == 2 * shots + 1, (rows, 1)))
    asked = tokens[:, 2 * shots]
    np.testing.assert_array_equal(asked, np.repeat(questions, 6))
    shown, answers = tokens[:, : 2 * shots : 2], tokens[:, 1 : 2 * shots : 2] - 7
    assert (shown != asked[:, None]).all()
    rivals = np.array([0, 1, 3, 4, 5, 6] * len(questions))
    np.testing.assert_array_equal((answers - shown) % 7, np.repeat(rivals[:, None], shots, axis=1))
    longest = np.asarray(GROUPS[f"{name}_7"].tokens)[:, : 2 * 7]
    np.testing.assert_array_equal(tokens[:, : 2 * shots], longest[:, 14 - 2 * shots :])


def test_finetuning_moves_held_out_questions_and_shots_bring_them_back():
    """Exact Bayes: p(x + 2) on held-out questions rises with D', and falls with every shot of another k."""
    data = LONG.narrow(jax.random.key(8), 16, 2, [0, 1, 4])
    before, after = LONG.distribution(), condition(LONG.distribution(), data, 0.05)

    def right(process, name):
        group = GROUPS[name]
        told = np.exp(predict(process, group.tokens)[np.asarray(group.mask)])
        asked = np.asarray(group.tokens)[np.roll(np.asarray(group.mask), -1, axis=1)]
        return told[np.arange(len(asked)), 7 + (asked + 2) % 7].mean()

    assert right(after, "held_out") > right(before, "held_out") + 0.3
    falling = [right(after, name) for name in ("held_out", "shots_1", "shots_3", "shots_7")]
    assert (np.diff(falling) < 0).all()
    assert falling[-1] < 0.06


# Misuse


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modulus", 2),
        ("pairs", 1),
        ("noise", 0.0),
        ("noise", 0.86),
        ("noise", np.nan),
        ("rarity", 0.0),
        ("rarity", 1.1),
    ],
)
def test_sizes_that_make_no_process_are_refused(field, value):
    with pytest.raises(Misuse, match=rf"{field} must .*got {value}"):
        AddK(**{"modulus": 7, field: value})


@pytest.mark.parametrize(
    ("shift", "questions", "sentence"),
    [
        (7, [0], "from 0 to 6, got 7"),
        (-1, [0], "got -1"),
        (0, [], "got none"),
        (0, [1, 1], r"got \[1, 1\]"),
        (0, [1, 7], r"got \[7\]"),
    ],
)
def test_requests_that_do_not_exist_are_refused(shift, questions, sentence):
    with pytest.raises(Misuse, match=sentence):
        LONG.narrow(jax.random.key(0), 4, shift, questions)
    with pytest.raises(Misuse, match=sentence):
        LONG.task(shift, questions).contexts(jax.random.key(0))


def test_numbers_that_make_no_sense_are_refused():
    key = jax.random.key(0)
    with pytest.raises(Misuse, match="n = 0"):
        LONG.narrow(key, 0, 0, [0])
    with pytest.raises(Misuse, match="repeats must be at least 1, got 0"):
        LONG.task(0, [0], repeats=0).contexts(key)
    for shots in ((8,), (0,), (2, 2)):
        with pytest.raises(Misuse, match=rf"from 1 to pairs - 1 = 7 .*got \[{shots[0]}"):
            LONG.task(0, [0], shots=shots).contexts(key)
    with pytest.raises(Misuse, match="all 7 are finetuned"):
        LONG.task(0, range(7)).contexts(key)
    data = Dataset(jnp.zeros((1, 16), int), jnp.zeros((1, 16), bool))
    for shift, rival in ((1, 1), (0, 7), (-1, 2)):
        with pytest.raises(Misuse, match=f"got {shift}, {rival}"):
            LONG.shots_to_undo(data, 1.0, shift, rival)
    with pytest.raises(Misuse, match="beta must be finite"):
        LONG.shots_to_undo(data, -1.0, 0, 1)


# The price of resolution: nats per answer that a poorer belief costs, exact


def prices(config, shots):
    """What log-odds kept within 2, 3 and 4 nats of the likeliest k cost, then evidence averaged beside a sink
    of c0 = 0.5, 1 and 2, then no evidence: mean KL of the answer to the next question. Pairs differ in
    y - x only, so that all of them are counts of it."""
    m = config.modulus
    bars = np.array(list(combinations(range(shots + m - 1), m - 1)))
    ends = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, shots + m - 1)))
    counts = np.diff(ends, axis=1) - 1
    table = config.answer_table()[:, 0]  # log p(y - x | k)
    log_prior = np.log(prior(config))
    joint = log_prior + counts @ table.T
    orders = gammaln(shots + 1) - gammaln(counts + 1).sum(axis=1)
    weights = np.exp(orders + logsumexp(joint, axis=1))
    np.testing.assert_allclose(weights.sum(), 1)
    exact = softmax(joint, axis=1) @ np.exp(table)

    def price(log_belief):
        answers = softmax(log_belief, axis=1) @ np.exp(table)
        return weights @ np.sum(exact * np.log(exact / answers), axis=1)

    best = joint.max(axis=1, keepdims=True)
    capped = [price(np.maximum(joint, best - cap)) for cap in (2, 3, 4)]
    evidence = joint - log_prior
    averaged = [price(log_prior + evidence * (1 + c0) / (shots + c0)) for c0 in (0.5, 1, 2)]
    return [*capped, *averaged, price(log_prior[None])]


@pytest.mark.parametrize(
    ("config", "shots", "wanted"),
    [
        (AddK(), 1, "* 0.0016 * 0.0000 0.0000 0.0000 *"),
        (AddK(), 2, "0.063 0.0115 0.0013 0.020 0.011 0.005 0.43"),
        # the specification prints 0.068 and 0.041 here, a digit less than the exact sums
        (AddK(), 5, "0.094 0.021 0.0036 0.0688 0.0415 0.019 0.56"),
        # and 0.0049 and 0.0006 here; ours are exact sums, 0.00484 and 0.00055
        (SEVEN, 4, "0.029 0.0048 0.0005 0.064 0.046 0.027 0.20"),
        (SEVEN, 12, "0.065 0.015 0.0026 0.16 0.13 0.080 0.32"),
    ],
)
def test_a_poorer_belief_costs_what_the_specification_has(config, shots, wanted):
    """To its printed digits."""
    got = prices(config, shots)
    for value, text in zip(got, wanted.split(), strict=True):
        if text != "*":
            half = 0.5 * 10.0 ** -len(text.split(".")[1])
            assert abs(value - float(text)) <= half, text


def test_prices_count_what_the_process_believes():
    """Evidence of the library for the counts of a document, whatever its questions."""
    shown = SEVEN.narrow(jax.random.key(0), 5, 3, (0, 1, 4)).tokens
    counts = np.stack([SEVEN.explained(shown, np.ones(shown.shape, bool), k) for k in range(7)], axis=1)
    np.testing.assert_allclose(
        np.exp(posterior(SEVEN.distribution(), shown)),
        softmax(np.log(prior(SEVEN)) + counts * SEVEN.evidence_of_a_pair, axis=1),
        atol=1e-5,
    )
    np.testing.assert_allclose([AddK().evidence_of_a_pair, SEVEN.evidence_of_a_pair], [2.48, 1.79], atol=5e-3)
