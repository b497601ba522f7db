"""Urns against enumeration of every sequence in plain numpy, new urns by their gamma functions."""

import math
from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse
from theory.processes.urns import Urns, example
from theory.theories.complexity_prior import ComplexityPrior

CONFIGS = {
    "example": example(),
    "three": Urns(urns=3, drawers=2, colours=3, pairs=2, concentration=0.8, seed=4),
}
LONG = Urns()
predict, log_prob, posterior, log_likelihoods, condition = (
    jax.jit(lambda process, *rest, name=name: getattr(process, name)(*rest))
    for name in ("predict", "log_prob", "posterior", "log_likelihoods", "condition")
)
sample = jax.jit(lambda process, key, n: process.sample(key, n), static_argnums=2)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    known = config.rarity ** np.arange(config.urns)
    return np.append((1 - config.fresh) * known / known.sum(), config.fresh)


@cache
def sequences(config):
    return np.array(list(product(range(config.vocabulary), repeat=config.length)))


def possible(config, tokens):
    return (tokens[:, ::2] < config.drawers).all(axis=1) & (tokens[:, 1::2] >= config.drawers).all(axis=1)


def likelihood(config, member, tokens, only=None):
    """p(x | member) of whole documents; of `only` those pairs, where given (n, pairs)."""
    fits = possible(config, tokens)
    drawers = np.where(fits[:, None], tokens[:, ::2], 0)
    colours = np.where(fits[:, None], tokens[:, 1::2] - config.drawers, 0)
    opened = config.drawers**-config.pairs if only is None else 1.0
    if member < config.urns:
        each = config.urn_table()[member][drawers, colours]
        return fits * opened * np.prod(each if only is None else np.where(only, each, 1.0), axis=1)
    value = np.zeros(len(tokens))
    a, c = config.concentration, config.colours
    for row in range(len(tokens)):  # one Dirichlet integral a drawer
        for drawer in range(config.drawers):
            seen = np.bincount(colours[row][drawers[row] == drawer], minlength=c)
            value[row] += math.lgamma(c * a) - math.lgamma(c * a + seen.sum())
            value[row] += sum(math.lgamma(a + count) - math.lgamma(a) for count in seen)
    return fits * opened * np.exp(value)


@cache
def likelihoods(config):
    return np.array([likelihood(config, u, sequences(config)) for u in range(config.urns + 1)])


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(config):
    got = np.exp(np.asarray(log_prob(config.distribution(), jnp.asarray(sequences(config)))))
    np.testing.assert_allclose(got, prior(config) @ likelihoods(config), rtol=3e-5, atol=1e-9)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(config, check_predictor):
    check_predictor(
        config.distribution(),
        config.vocabulary,
        sequences(config),
        prior(config) @ likelihoods(config),
        rtol=5e-5,
        atol=1e-7,
    )


def test_posterior_is_bayes(config):
    fits = possible(config, sequences(config))
    together = prior(config)[:, None] * likelihoods(config)[:, fits]
    got = posterior(config.distribution(), jnp.asarray(sequences(config)[fits]))
    np.testing.assert_allclose(np.exp(got), (together / together.sum(axis=0)).T, rtol=5e-5, atol=1e-8)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_conditioning_against_enumeration(config, beta, check_predictor):
    data = config.narrow(jax.random.key(0), 2, config.urns, [1])
    tokens, everything = np.asarray(data.tokens), np.ones((2, config.pairs), bool)
    evidence = [likelihood(config, u, tokens, everything).prod() for u in range(config.urns + 1)]
    weights = prior(config) * np.array(evidence) ** beta
    weights /= weights.sum()
    process = condition(config.distribution(), data, beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, rtol=5e-5)
    check_predictor(
        process, config.vocabulary, sequences(config), weights @ likelihoods(config), rtol=5e-5, atol=1e-7
    )


def test_members_score_documents_as_enumerated(config):
    for u in range(config.urns + 1):
        got = np.exp(log_prob(config.distribution().component(u), jnp.asarray(sequences(config))))
        np.testing.assert_allclose(got, likelihoods(config)[u], rtol=3e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("example", "distribution"),
        ("three", "strategies"),
        ("three", "generalising"),
        ("three", "memorising"),
    ],
)
def test_samples_come_as_often_as_enumerated(name, of):
    config, n = CONFIGS[name], 20_000
    tokens = np.asarray(sample(getattr(config, of)(), jax.random.key(1), n))
    index = tokens @ config.vocabulary ** np.arange(config.length - 1, -1, -1)
    weights = prior(config)
    if of in ("memorising", "generalising"):
        weights = np.where((np.arange(config.urns + 1) == config.urns) == (of == "generalising"), weights, 0)
    exact = weights / weights.sum() @ likelihoods(config)
    counts = np.bincount(index, minlength=len(exact))
    assert (counts[exact == 0] == 0).all()
    exact, counts = exact[exact > 0], counts[exact > 0]
    rare = exact < 5 / n
    assert abs(counts[rare].sum() - n * exact[rare].sum()) < 4 * np.sqrt(n * exact[rare].sum()) + 1
    statistic = np.sum((counts - n * exact)[~rare] ** 2 / (n * exact[~rare]))
    freedom = (~rare).sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_urns_are_dirichlet():
    table = replace(LONG, urns=400, colours=4, concentration=0.7).urn_table().reshape(-1, 4)
    np.testing.assert_allclose(table.sum(axis=-1), 1)
    variance = 0.25 * 0.75 / (4 * 0.7 + 1)
    assert np.abs(table.mean(axis=0) - 0.25).max() < 4 * np.sqrt(variance / len(table))
    np.testing.assert_allclose(table.var(axis=0), variance, rtol=0.15)


def test_seeds_draw_different_urns():
    assert np.abs(LONG.urn_table() - replace(LONG, seed=1).urn_table()).max() > 0.3


def test_sizes_of_the_vocabulary():
    assert (LONG.vocabulary, LONG.length, LONG.answer_tokens) == (8, 16, slice(3, 8))
    np.testing.assert_array_equal(LONG.answer_mask(), [False, True] * 8)


def test_token_names_are_drawers_and_colours():
    wanted = ("drawer 1", "drawer 2", "drawer 3", *(f"colour {colour}" for colour in range(1, 6)))
    assert LONG.token_names() == wanted


# The two strategies


def test_the_generalising_predictor_adds_counts_by_hand():
    process = replace(LONG, drawers=2, colours=3, pairs=4, concentration=0.5)
    tokens = jnp.asarray([[0, 2 + 1, 0, 2 + 1, 1, 2 + 0, 0, 2 + 2]])
    told = np.exp(predict(process.generalising(), tokens))[0, 1::2, 2:]
    np.testing.assert_allclose(told[0], 1 / 3, rtol=1e-5)
    np.testing.assert_allclose(told[1], np.array([0.5, 1.5, 0.5]) / 2.5, rtol=1e-5)
    np.testing.assert_allclose(told[2], 1 / 3, rtol=1e-5)  # another drawer
    np.testing.assert_allclose(told[3], np.array([0.5, 2.5, 0.5]) / 3.5, rtol=1e-5)


def test_the_memorising_predictor_mixes_the_known_urns(config, check_predictor):
    weights = prior(config)
    weights[-1] = 0
    check_predictor(
        config.memorising(),
        config.vocabulary,
        sequences(config),
        (weights / weights.sum()) @ likelihoods(config),
        rtol=5e-5,
        atol=1e-7,
    )


def test_the_strategies_are_the_same_process(check_predictor):
    config = CONFIGS["example"]
    check_predictor(
        config.strategies(),
        config.vocabulary,
        sequences(config),
        prior(config) @ likelihoods(config),
        rtol=5e-5,
        atol=1e-7,
    )
    fits = jnp.asarray(sequences(config)[possible(config, sequences(config))])
    np.testing.assert_allclose(
        log_prob(config.strategies(), fits), log_prob(config.distribution(), fits), atol=2e-5
    )


def test_the_strategies_keep_the_urn_of_each_document_open():
    """Two documents of two known urns: memorising explains both, no single urn does."""
    first, second = (LONG.narrow(jax.random.key(u), 6, u, [0, 1, 2]) for u in (0, 1))
    both = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), first, second)
    strategies = LONG.strategies()
    evidence = log_likelihoods(strategies, both).sum(axis=-1)
    assert evidence[0] > evidence[1] + 3
    assert condition(strategies, both, 1.0).log_weights[0] > np.log(0.95)
    assert evidence[0] > log_likelihoods(LONG.distribution(), both).sum(axis=-1).max() + 3


def test_the_complexity_prior_makes_the_strategies_out_of_the_members():
    """Told which members are parts of which, it is the tempered posterior of the two strategies."""
    data, tokens = LONG.narrow(jax.random.key(0), 5, LONG.urns, [0, 2]), LONG.elicitation_contexts().tokens
    theory, answers = ComplexityPrior(predictors=LONG.predictors()), []
    for process, weigh in (
        (LONG.distribution(), lambda process, data: theory.predict(process, data, 0.3)),
        (LONG.strategies(), lambda process, data: process.condition(data, 0.3)),
    ):
        after = jax.jit(weigh)(process, data)
        weights = np.exp(after.log_weights)
        answers.append((weights[-1], np.asarray(predict(after, tokens))[:, 1, LONG.answer_tokens]))
    np.testing.assert_allclose(answers[0][0], answers[1][0], rtol=1e-4)
    assert abs(answers[0][0] - LONG.fresh) > 0.05  # the data did tell something
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-4)


def test_description_lengths_by_hand():
    assert LONG.description_lengths(bits=2.0) == (24.0,) * 4 + (2.0,)  # 3 drawers × 4 free numbers × 2 bits
    assert LONG.strategy_lengths(bits=2.0) == (96.0, 2.0)
    assert len(LONG.description_lengths()) == len(LONG.distribution().log_weights)
    more = replace(LONG, urns=9)
    assert more.strategy_lengths()[0] == 9 / 4 * LONG.strategy_lengths()[0]


@pytest.mark.slow
def test_complexity_decides_through_pretraining_and_finetuning():
    """Simple first, then memorising, later for more urns; a new urn brings simple back, at a known β."""
    needed = []
    for urns in (2, 6):
        process = replace(LONG, urns=urns)
        strategies, lengths = process.strategies(), process.strategy_lengths()
        theory = ComplexityPrior(lengths)
        weigh = jax.jit(
            lambda seen, data, beta, theory=theory, strategies=strategies: (
                theory.predict(strategies, seen, 1.0).condition(data, beta).log_weights,
                *(jnp.diff(strategies.log_likelihoods(told), axis=0)[0] for told in (seen, data)),
            )
        )
        seen = pretraining(process, 200)
        data = process.narrow(jax.random.key(1), 200, urns, [0, 1])
        _, gains, gained = weigh(seen, data, 0.0)  # of generalising over memorising, document by document
        needed.append(int(np.argmax(np.cumsum(gains) < np.log(2) * (lengths[1] - lengths[0]))))
        weights, told = np.zeros(2), seen
        for count in (needed[-1], needed[-1] + 1):  # the last document decides
            told = Dataset(seen.tokens, seen.mask & (np.arange(200)[:, None] < count))
            weights, *_ = weigh(told, data, 0.0)
            assert (weights[0] > np.log(0.5)) == (count > needed[-1])
        ahead = float(weights[0] - weights[1])
        assert gained.sum() > 200
        for share in (0.9, 1.1):
            after, *_ = weigh(told, data, share * ahead / gained.sum())
            assert (after[1] > np.log(0.5)) == (share > 1)
    assert 3 < needed[0] < needed[1]


def pretraining(process, n):
    """About n documents of the known urns, as often as they come, in no order."""
    share = prior(process)[:-1] / prior(process)[:-1].sum()
    each = [
        process.narrow(jax.random.key(u), round(n * p) + 1, u, range(process.drawers)).tokens
        for u, p in enumerate(share)
    ]
    tokens = np.random.default_rng(0).permutation(np.concatenate(each))[:n]
    return Dataset(jnp.asarray(tokens), jnp.asarray(np.tile(process.answer_mask(), (n, 1))))


# D' and contexts


def test_narrow_draws_from_its_urn_and_drawers(config=LONG):
    for urn in (1, config.urns):
        data = config.narrow(jax.random.key(0), 500, urn, [2, 0])
        tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
        np.testing.assert_array_equal(mask, np.tile(config.answer_mask(), (500, 1)))
        drawers, colours = tokens[:, ::2], tokens[:, 1::2] - 3
        assert set(drawers.reshape(-1).tolist()) == {0, 2}
        for drawer in (0, 2):
            drawn, p = colours[drawers == drawer], config.urn_table()[urn, drawer]
            spread = np.sqrt(len(drawn) * p * (1 - p))
            assert (np.abs(np.bincount(drawn, minlength=5) - len(drawn) * p) < 4 * spread + 1).all()


def test_narrow_follows_its_key():
    first = LONG.narrow(jax.random.key(0), 30, 0, [0, 1]).tokens
    np.testing.assert_array_equal(first, LONG.narrow(jax.random.key(0), 30, 0, [0, 1]).tokens)
    assert (first != LONG.narrow(jax.random.key(1), 30, 0, [0, 1]).tokens).any()


def test_elicitation_contexts_open_every_drawer_first():
    elicitation_contexts = LONG.elicitation_contexts()
    np.testing.assert_array_equal(np.asarray(elicitation_contexts.tokens)[:, 0], range(3))
    np.testing.assert_array_equal(np.asarray(elicitation_contexts.mask).nonzero()[1], np.ones(3))
    first = np.exp(predict(LONG.distribution(), elicitation_contexts.tokens))[:, 1, 3:]
    known = np.einsum("u,udc->dc", prior(LONG)[:-1], LONG.urn_table()[:-1])
    np.testing.assert_allclose(first, known + 0.25 / 5, rtol=1e-4)


SURE = Urns(urns=4, drawers=4, colours=6, pairs=6, concentration=0.1, seed=5)
OWN, NEW = (SURE.task(urn, [2, 0], repeats=40, shots=3).contexts(jax.random.key(7)) for urn in (1, 4))


def test_groups_come_in_order_and_are_whole_documents():
    for groups in (OWN, NEW):
        assert list(groups) == ["in_domain", "held_out", "in_context", "conflict", "unseen"]
        tokens, mask = (np.concatenate([getattr(d, n) for d in groups.values()]) for n in ("tokens", "mask"))
        assert tokens.shape == mask.shape == (160 + 2 + 3 * 80, SURE.length)
        told = np.exp(predict(SURE.distribution(), jnp.asarray(tokens))[mask])
        np.testing.assert_allclose(told[:, SURE.answer_tokens].sum(axis=-1), 1, rtol=1e-5)


def test_in_domain_is_fresh_and_like_the_data():
    tokens = np.asarray(OWN["in_domain"].tokens)
    assert tokens.shape[0] == 160
    assert set(tokens[:, ::2].reshape(-1).tolist()) == {0, 2}
    assert (SURE.narrow(jax.random.key(7), 160, 1, [2, 0]).tokens != tokens).any()


def test_held_out_opens_the_other_drawers_first():
    np.testing.assert_array_equal(np.asarray(OWN["held_out"].tokens)[:, 0], [1, 3])
    np.testing.assert_array_equal(OWN["held_out"].mask, np.tile(np.arange(12) == 1, (2, 1)))


def shown(groups, name):
    tokens, mask = np.asarray(groups[name].tokens), np.asarray(groups[name].mask)
    np.testing.assert_array_equal(mask, np.tile(np.arange(12) == 7, (80, 1)))
    np.testing.assert_array_equal(tokens[:, 6], np.repeat([1, 3], 40))
    return tokens[:, 0:6:2], tokens[:, 1:6:2] - 4


@pytest.mark.parametrize(("groups", "urn", "others"), [(OWN, 1, [0, 2, 3]), (NEW, 4, [0, 1, 2, 3])])
def test_shots_are_drawn_from_the_urns_they_name(groups, urn, others):
    drawers, colours = shown(groups, "in_context")
    assert set(drawers.reshape(-1).tolist()) == {0, 2}
    check_draws(drawers, colours, np.full(80, urn))
    drawers, colours = shown(groups, "conflict")
    assert set(drawers.reshape(-1).tolist()) == {0, 1, 2, 3}
    check_draws(drawers, colours, np.resize(others, 80))


def check_draws(drawers, colours, urns):
    """Draws are as likely under their urns as draws are; under the urns in another order they are not."""
    table = SURE.urn_table()

    def score(urns):
        return np.log(table[urns[:, None], drawers, colours]).mean()

    p = table[urns[:, None], drawers]
    entropy = np.sum(p * np.log(p), axis=-1)
    spread = np.sqrt(np.sum(p * np.log(p) ** 2, axis=-1) - entropy**2)
    assert abs(score(urns) - entropy.mean()) < 4 * np.sqrt(np.mean(spread**2) / spread.size)
    assert score((urns + 1) % 4) < score(urns) - 2


def test_unseen_draws_from_the_drawer_asked_of_many_urns():
    drawers, colours = shown(OWN, "unseen")
    np.testing.assert_array_equal(drawers, np.repeat([1, 3], 40)[:, None] * np.ones((1, 3), int))
    assert len({tuple(row) for row in colours.tolist()}) > 10
    alike = (colours[:, :1] == colours).mean(axis=0)[1:]  # two draws agree with (a + 1) / (C a + 1) = 0.6875
    assert np.abs(alike - 1.1 / 1.6).max() < 4 * np.sqrt(0.6875 * 0.3125 / 80)


def test_a_known_urn_moves_the_drawers_it_never_opens_and_a_new_one_does_not():
    """Exact Bayes on held-out drawers: the urn's own colours after D' of a known urn, 1/C after a new one."""
    process, asked = LONG.distribution(), LONG.task(2, [0], repeats=1).contexts(jax.random.key(0))["held_out"]

    def told(urn):
        after = condition(process, LONG.narrow(jax.random.key(3), 64, urn, [0]), 1.0)
        return np.exp(predict(after, asked.tokens))[np.asarray(asked.mask)][:, LONG.answer_tokens]

    np.testing.assert_allclose(told(2), LONG.urn_table()[2, 1:], atol=1e-3)
    np.testing.assert_allclose(told(LONG.urns), 0.2, atol=1e-3)


# Misuse


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("urns", 1),
        ("drawers", 1),
        ("colours", 1),
        ("pairs", 1),
        ("concentration", 0.05),
        ("concentration", np.inf),
        ("fresh", 0.0),
        ("fresh", 1.0),
        ("rarity", 0.0),
        ("rarity", np.nan),
    ],
)
def test_sizes_that_make_no_process_are_refused(field, value):
    with pytest.raises(Misuse, match=rf"{field} must .*got {value}"):
        Urns(**{field: value})


@pytest.mark.parametrize(
    ("urn", "drawers", "sentence"),
    [
        (5, [0], "from 0 to 3, or 4 for the new one, got 5"),
        (-1, [0], "got -1"),
        (0, [], "got none"),
        (0, [1, 1], r"got \[1, 1\]"),
        (0, [0, 3], r"got \[3\]"),
    ],
)
def test_requests_that_do_not_exist_are_refused(urn, drawers, sentence):
    with pytest.raises(Misuse, match=sentence):
        LONG.narrow(jax.random.key(0), 4, urn, drawers)
    with pytest.raises(Misuse, match=sentence):
        LONG.task(urn, drawers).contexts(jax.random.key(0))


def test_numbers_that_make_no_sense_are_refused():
    key = jax.random.key(0)
    with pytest.raises(Misuse, match="n = 0"):
        LONG.narrow(key, 0, 0, [0])
    for name in ("repeats", "shots"):
        with pytest.raises(Misuse, match=f"{name} must be at least 1, got 0"):
            LONG.task(0, [0], **{name: 0}).contexts(key)
    with pytest.raises(Misuse, match=r"all 3 are in \[0, 1, 2\]"):
        LONG.task(0, range(3)).contexts(key)
    with pytest.raises(Misuse, match="bits must be finite and at least 0, got -1"):
        LONG.description_lengths(bits=-1.0)
