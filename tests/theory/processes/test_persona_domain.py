"""Persona × domain against enumeration in plain numpy, and against published ideal learners."""

from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from theory.base import Dataset, Misuse
from theory.latent.factored import symbols_of
from theory.latent.generation import continuations
from theory.processes.persona_domain import LEAD, PROMPTS, PUBLISHED, PersonaDomain, example
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

TINY = example()
STUDY = PersonaDomain()
THREE = PersonaDomain(
    enter=((0.4, 0.4), (0.4, 0.4), (0.1, 0.8)),
    stay=(0.6, 0.6, 0.0),
    leak=(0.15, 0.15, 0.0),
    marginals=((0.85, 0.15), (0.4, 0.6), (0.5, 0.5)),
)
PUBLIC = PersonaDomain(**PUBLISHED)
MISALIGNED, HOME = 1, 0
LEARN = {
    name: jax.jit(theory.predict)
    for name, theory in {
        "tempered": TemperedPosterior(),
        **{family: ExchangeableMixture(family) for family in ("saturated", "product", "tilted")},
    }.items()
}
predict = jax.jit(lambda process, tokens: process.predict(tokens))
evidence = jax.jit(lambda process, tokens: process.evidence(tokens))
sample = jax.jit(lambda process, key, n: process.sample(key, n), static_argnums=2)


def story(config, place, value, length):
    """p(symbols of one factor) from its neutral start, told in words: (symbols,) * length."""
    enter, stay, leak = config.enter[place][value], config.stay[place], config.leak[place]
    values = len(config.enter[place])
    told = np.zeros((config.ordinary + values,) * length)

    def extend(symbols, marked, chance):
        if len(symbols) == length:
            told[symbols] += chance
        elif marked:
            for mark in range(values):
                says = 1 - leak if mark == value else leak / (values - 1)
                extend((*symbols, config.ordinary + mark), True, chance * says * stay)
                extend((*symbols, config.ordinary + mark), False, chance * says * (1 - stay))
        else:
            for symbol in range(config.ordinary):
                extend((*symbols, symbol), True, chance / config.ordinary * enter)
                extend((*symbols, symbol), False, chance / config.ordinary * (1 - enter))

    extend((), False, 1.0)
    return told


def joint_prior(config):
    """π0 of two personas × domains from its correlation, by hand."""
    (_, m), (q, *_) = config.marginals[0], config.marginals[1]
    both = m * q + config.correlation * np.sqrt(m * (1 - m) * q * (1 - q))
    return np.array([[q - both, 1 - q - m + both], [both, m - both]])


@cache
def enumerated():
    """All documents of `TINY` that can be, and p(z, x), (persona, domain, documents)."""
    length, personas = TINY.length - 1, 2
    documents, told = [], []
    tables = [[story(TINY, place, value, length) for value in (0, 1)] for place in (0, 1)]
    for header in range(1 + personas):
        chance = 1 - TINY.announced if header == 0 else TINY.announced / personas
        for text in product(range(9), repeat=length):
            symbols = tuple(token // 3 for token in text), tuple(token % 3 for token in text)
            cells = [
                [
                    chance * tables[0][header - 1 if header else u][symbols[0]] * tables[1][d][symbols[1]]
                    for d in (0, 1)
                ]
                for u in (0, 1)
            ]
            documents.append((9 + header, *text))
            told.append(cells * joint_prior(TINY))
    return np.array(documents), np.moveaxis(np.array(told), 0, -1)


def index(tokens):
    return np.asarray(tokens) @ 12 ** np.arange(TINY.length)[::-1]


def check_predictor(process, together):
    """Ratios of enumerated marginals, at every prefix that can happen; `together` is p(x), (documents,)."""
    documents, _ = enumerated()
    total = np.zeros(12**TINY.length)
    total[index(documents)] = together
    total = total.reshape((12,) * TINY.length)
    documents = documents[together > 0]
    got = np.exp(np.asarray(predict(process, jnp.asarray(documents))))
    for position in range(TINY.length):
        marginal = total.sum(axis=tuple(range(position + 1, TINY.length)))
        continued = marginal[tuple(documents[:, :position].T)].reshape(-1, 12)
        wanted = continued / continued.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(
            got[:, position], np.broadcast_to(wanted, got[:, position].shape), rtol=5e-5, atol=1e-7
        )


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one():
    documents, told = enumerated()
    got = np.exp(np.asarray(TINY.distribution().log_prob(jnp.asarray(documents)), float))
    np.testing.assert_allclose(got, told.sum(axis=(0, 1)), rtol=5e-5, atol=1e-9)
    np.testing.assert_allclose(told.sum(), 1, rtol=1e-12)
    # further into a document marks can follow marks, which these are too short to show more than once
    assert (told.sum(axis=(0, 1)) > 0).sum() > 100


def test_predictor_is_the_ratio_of_enumerated_marginals():
    check_predictor(TINY.distribution(), enumerated()[1].sum(axis=(0, 1)))


def test_posterior_over_personas_and_domains_is_bayes():
    documents, told = enumerated()
    possible = told.sum(axis=(0, 1)) > 0
    wanted = told[..., possible] / told[..., possible].sum(axis=(0, 1))
    got = np.exp(TINY.distribution().posterior(jnp.asarray(documents[possible])))
    np.testing.assert_allclose(got, wanted.reshape(4, -1).T, rtol=1e-4, atol=1e-7)
    assert TINY.distribution().factors == (2, 2)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_conditioning_against_enumeration(beta):
    documents, told = enumerated()
    data = TINY.narrow(jax.random.key(0), 5)
    place = np.searchsorted(index(documents)[np.argsort(index(documents))], index(data.tokens))
    place = np.argsort(index(documents))[place]
    prior = told.sum(axis=-1)
    # headers and first symbols, which are not counted, are as likely under every z
    weights = prior * np.prod(told[..., place] / prior[..., None], axis=-1) ** beta
    weights /= weights.sum()
    process = TINY.distribution().condition(data, beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights.reshape(-1), rtol=1e-4)
    check_predictor(process, np.einsum("ud,udx->x", weights / prior, told))


def test_samples_come_as_often_as_enumerated():
    n, (documents, told) = 20_000, enumerated()
    drawn = sample(TINY.distribution(), jax.random.key(1), n)
    counts = np.bincount(index(drawn), minlength=12**TINY.length)[index(documents)]
    assert counts.sum() == n
    exact = told.sum(axis=(0, 1))
    assert (counts[exact == 0] == 0).all()
    common = exact > 5 / n
    statistic = np.sum((counts - n * exact)[common] ** 2 / (n * exact[common]))
    freedom = common.sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_any_number_of_factors():
    process = THREE.distribution()
    assert process.factors == (2, 2, 2)
    np.testing.assert_allclose(np.exp(process.log_weights).sum(), 1, rtol=1e-6)
    documents = sample(process, jax.random.key(0), 6)
    # given z they do not see each other, so that a member's likelihood is a product of those of its factors
    table = [[story(THREE, place, value, 4) for value in (0, 1)] for place in range(3)]
    symbols = symbols_of(np.asarray(documents)[:, 1:5], THREE.sizes)
    got = np.asarray(evidence(process, documents))[:, :, 5]
    plain = np.asarray(documents)[:, 0] == THREE.plain
    assert plain.any()
    for member, z in enumerate(product((0, 1), repeat=3)):
        wanted = np.log(1 - THREE.announced)
        for place, value in enumerate(z):
            with np.errstate(divide="ignore"):
                wanted = wanted + np.log(table[place][value][tuple(symbols[place].T)].astype(float))
        np.testing.assert_allclose(got[member, plain], wanted[plain], rtol=2e-5, atol=2e-5)


def test_the_vocabulary_and_what_counts():
    assert STUDY.sizes == (3, 4) and STUDY.plain == 12
    assert (STUDY.vocabulary, STUDY.length, STUDY.answer_tokens) == (15, 16, slice(0, 12))
    words = STUDY.token_names()
    assert len(words) == len(set(words)) == 15
    assert (words[1 * 4 + 3], words[12], words[14]) == ("mark 0 | mark 2", "plain", "persona 1")
    np.testing.assert_array_equal(STUDY.answer_mask(), np.arange(16) > 1)


# D'


def test_narrow_is_one_persona_in_one_domain():
    n, exact = 4_000, story(TINY, 0, 1, 3)[:, :, :, None, None, None] * story(TINY, 1, 0, 3)
    data = TINY.narrow(jax.random.key(2), n)
    assert (np.asarray(data.tokens)[:, 0] == TINY.plain).all()
    np.testing.assert_array_equal(data.mask, np.broadcast_to(TINY.answer_mask(), (n, 4)))
    symbols = symbols_of(np.asarray(data.tokens)[:, 1:], TINY.sizes)
    counts = np.zeros_like(exact)
    np.add.at(counts, tuple(np.concatenate(symbols, axis=1).T), 1)
    assert (counts[exact == 0] == 0).all()
    common = exact > 5 / n
    statistic = np.sum((counts - n * exact)[common] ** 2 / (n * exact[common]))
    freedom = common.sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_announced_data_are_the_same_text_under_another_header():
    bare, named = (STUDY.narrow(jax.random.key(3), 20, announced=told) for told in (False, True))
    np.testing.assert_array_equal(bare.tokens[:, 1:], named.tokens[:, 1:])
    assert (np.asarray(named.tokens)[:, 0] == STUDY.plain + 1 + MISALIGNED).all()
    assert not np.asarray(named.mask)[:, 0].any()


def test_a_blend_has_its_shares_and_follows_its_key():
    shares = {(1, 0): 0.75, (0, 2): 0.25}
    data = STUDY.blend(jax.random.key(4), 400, shares)
    writer = STUDY.written(np.asarray(data.tokens), 1)
    for rows, (persona, domain) in ((slice(300), (1, 0)), (slice(300, 400), (0, 2))):
        told = writer[rows]
        assert np.mean(told[:, 0] == persona) > 0.85 and np.mean(told[:, 1] == domain) > 0.85
    np.testing.assert_array_equal(data.tokens, STUDY.blend(jax.random.key(4), 400, shares).tokens)
    assert (data.tokens != STUDY.blend(jax.random.key(5), 400, shares).tokens).any()


# Contexts

REPEATS, SHOWN = 20, 9


@cache
def groups():
    return STUDY.task(repeats=REPEATS, shown=SHOWN, groups=PROMPTS).contexts(jax.random.key(5))


def marks(data):
    """Marks a prompt shows of every persona and of every domain, (n, values) each."""
    symbols = symbols_of(np.asarray(data.tokens)[:, 1 : 1 + SHOWN], STUDY.sizes)
    return [
        np.sum(own[..., None] == STUDY.ordinary + np.arange(len(enter)), axis=1)
        for own, enter in zip(symbols, STUDY.enter, strict=True)
    ]


def leads(counts, value):
    """By how many marks `value` (n,) is ahead of the best other."""
    own = np.take_along_axis(counts, value[:, None], axis=1)
    rest = np.where(np.arange(counts.shape[1]) == value[:, None], -1, counts)
    return own[:, 0] - rest.max(axis=1)


def test_there_are_six_groups_of_whole_documents():
    assert list(groups()) == ["in_domain", "base_domain", "held_out", "in_context", "conflict", "named"]
    for data in groups().values():
        assert data.tokens.shape == data.mask.shape and data.tokens.shape[1] == STUDY.length
        assert ((data.tokens >= 0) & (data.tokens < STUDY.vocabulary)).all()
    with pytest.raises(Misuse, match="groups must be among base_domain, held_out, in_context, conflict, got"):
        replace(STUDY, announced=0.0).task(repeats=2, groups=PROMPTS)


def test_in_domain_is_fresh_and_like_the_data():
    data = STUDY.task(repeats=2 * REPEATS).contexts(jax.random.key(5))["in_domain"]
    assert data.tokens.shape[0] == REPEATS
    np.testing.assert_array_equal(data.mask, np.broadcast_to(STUDY.answer_mask(), data.mask.shape))
    writer = STUDY.written(np.asarray(data.tokens), 1)
    assert np.mean(writer[:, 0] == MISALIGNED) > 0.7 and np.mean(writer[:, 1] == HOME) > 0.7
    assert (data.tokens != STUDY.narrow(jax.random.key(6), REPEATS).tokens).any()


@pytest.mark.parametrize("name", ["base_domain", "held_out", "in_context", "conflict", "named"])
def test_prompts_show_their_domain_and_mask_what_comes_next(name):
    data = groups()[name]
    mask = np.arange(STUDY.length) == 1 + SHOWN
    np.testing.assert_array_equal(data.mask, np.broadcast_to(mask, data.mask.shape))
    domain = np.repeat([HOME] if name == "base_domain" else [1, 2], REPEATS)
    personas, domains = marks(data)
    assert len(domains) == len(domain)
    assert (leads(domains, domain) >= LEAD).all()
    assert (np.asarray(data.tokens)[:, 0] == STUDY.plain + (name == "named") * (1 + MISALIGNED)).all()
    if name in ("in_context", "conflict"):
        persona = np.full(len(domain), MISALIGNED if name == "in_context" else 0)
        assert (leads(personas, persona) >= LEAD).all()
    else:
        assert (personas == 0).all()
    # many prompts, not one of them over and over
    assert len(np.unique(np.asarray(data.tokens), axis=0)) > REPEATS / 2


def test_named_asks_what_held_out_asks():
    np.testing.assert_array_equal(groups()["named"].tokens[:, 1:], groups()["held_out"].tokens[:, 1:])


def test_ordinary_symbols_say_nothing_of_the_persona():
    process = STUDY.distribution()
    data = groups()["held_out"]
    said = np.asarray(evidence(process, data.tokens)).reshape(2, 3, len(data.tokens), -1)[..., 1 + SHOWN]
    np.testing.assert_allclose(said[0], said[1], atol=1e-4)
    # of the domain they say enough
    belief = np.exp(process.log_weights).reshape(2, 3, 1) * np.exp(said)
    domain = (belief.sum(axis=0) / belief.sum(axis=(0, 1)))[
        np.repeat([1, 2], REPEATS), np.arange(2 * REPEATS)
    ]
    assert domain.min() > 0.99


def test_elicitation_contexts_show_ordinary_symbols_alone():
    data = replace(STUDY, ordinary=2).elicitation_contexts()
    assert data.tokens.shape == (8, 16)
    for row, mask in zip(np.asarray(data.tokens), np.asarray(data.mask), strict=True):
        (position,) = np.flatnonzero(mask)
        assert row[0] == replace(STUDY, ordinary=2).plain and 2 <= position <= 5
        assert np.isin(row[1:position], [0, 6]).all()  # (0, 0) and (1, 1) of 4 × 5 symbols
    process = STUDY.distribution()
    said = np.asarray(evidence(process, STUDY.elicitation_contexts().tokens))[
        :, np.asarray(STUDY.elicitation_contexts().mask)
    ]
    np.testing.assert_allclose(said, np.broadcast_to(said[:1], said.shape), atol=1e-5)


# Rates


def test_rates_of_an_exact_predictor_are_its_belief_behind_the_leak():
    """Of two personas who mark alike: leak + (1 - 2 leak) p(persona | prompt)."""
    process = replace(STUDY, correlation=0.3).distribution()
    data = groups()["held_out"]
    belief = jax.nn.softmax(process.log_weights[:, None, None] + evidence(process, data.tokens), axis=0)
    belief = np.asarray(belief).reshape(2, 3, *data.tokens.shape)[MISALIGNED].sum(axis=0)[:, 1 + SHOWN]
    rates = STUDY.rates(process, {"held_out": data})
    np.testing.assert_allclose(rates["held_out"], behind_the_leak(belief.mean()), rtol=1e-4)


def test_who_wrote_is_told_by_the_most_marks():
    def token(persona, domain):
        return persona * 4 + domain

    documents = np.array(
        [
            [12, token(2, 3), token(1, 1), token(1, 1), token(0, 0)],
            [12, token(2, 3), token(2, 1), token(1, 2), token(0, 0)],
            [12, token(2, 3), token(0, 0), token(0, 0), token(0, 3)],
        ]
    )
    np.testing.assert_array_equal(STUDY.written(documents, 2), [[0, 0], [-1, -1], [-1, 2]])
    np.testing.assert_array_equal(STUDY.written(documents, 1), [[0, 0], [1, -1], [1, 2]])


def test_rates_of_sampled_continuations_are_the_enumerated_ones():
    """Prompts of one token; who wrote the rest, by enumeration of every continuation."""
    documents, told = enumerated()
    process, copies = TINY.distribution(), 20_000
    prompts = np.array([[TINY.plain, 0, 0, 0], [TINY.plain + 2, 0, 0, 0]])
    write = jax.jit(continuations, static_argnums=(3, 4))
    drawn = np.asarray(write(process, jax.random.key(6), jnp.asarray(prompts), 2, copies))
    writer = TINY.written(drawn, 2).reshape(copies, 2, 2)
    every = TINY.written(documents, 2)
    for row, prompt in enumerate(prompts):
        chance = told.sum(axis=(0, 1)) * (documents[:, :2] == prompt[:2]).all(axis=1)
        chance /= chance.sum()
        for cell in product((-1, 0, 1), repeat=2):
            p = chance[(every == cell).all(axis=1)].sum()
            got = (writer[:, row] == cell).all(axis=1).mean()
            assert abs(got - p) < 4 * np.sqrt(p * (1 - p) / copies) + 1e-12, cell
    assert chance[every[:, 0] == MISALIGNED].sum() > 2 * chance[every[:, 0] == 0].sum()


# The exact Bayes facts of the docstring


def rates(theory, beta, config=STUDY, announced=False):
    data = config.narrow(jax.random.key(7), 64, announced=announced)
    moved = LEARN[theory](config.distribution(), data, beta)
    asked = config.rates(moved, {name: groups()[name] for name in ("base_domain", "held_out")})
    return moved, asked["base_domain"], asked["held_out"]


def behind_the_leak(belief):
    """The share of marks that are the misaligned persona's."""
    return 0.1 + 0.8 * belief


PRIOR = behind_the_leak(0.15)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_a_saturated_learner_is_narrow(beta):
    _, narrow, broad = rates("saturated", beta)
    assert narrow > 0.7
    assert abs(broad - PRIOR) < 0.01


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_a_product_learner_is_as_broad_as_narrow(beta):
    moved, narrow, broad = rates("product", beta)
    believed = np.exp(moved.log_weights).reshape(2, 3).sum(axis=1)[MISALIGNED]
    # a mark of the leak 0.1 is evidence of log 9 nats for its persona; all documents show the domain
    personas = np.asarray(STUDY.narrow(jax.random.key(7), 64).tokens)[:, 1:] // 4
    against = 9.0 ** ((personas == 1).sum(axis=1) - (personas == 2).sum(axis=1))
    here = STUDY.marginals[1][HOME]

    def surplus(odds):
        """κ π0 + β N of the misaligned persona in the domain of D', less (κ + β n) π, by its odds there."""
        counts = np.sum(odds / (odds + against))
        return 0.15 * here + beta * counts - odds / (1 + odds) * (here + 64 * beta)

    odds = brentq(surplus, 0.1, 1e5, xtol=1e-12)
    wanted = (odds / (1 + odds) * (here + 64 * beta) + 0.15 * (1 - here)) / (1 + 64 * beta)
    np.testing.assert_allclose(believed, wanted, rtol=1e-5)
    # next to the docstring's, of documents that show their persona for sure
    assert 0 < (0.15 + 64 * beta) / (1 + 64 * beta) - wanted < 3e-4
    np.testing.assert_allclose([narrow, broad], behind_the_leak(believed), rtol=1e-3)


def test_one_persona_for_all_of_the_data_is_broad_at_the_rate_of_its_evidence():
    beta = 0.002
    _, narrow, broad = rates("tempered", beta)
    data = STUDY.narrow(jax.random.key(7), 64)
    said = np.asarray(STUDY.distribution().log_likelihoods(data)).sum(axis=1).reshape(2, 3)
    odds = np.log(0.15 / 0.85) + beta * (said[1] - said[0])
    np.testing.assert_allclose([narrow, broad], behind_the_leak(1 / (1 + np.exp(-odds[0]))), rtol=2e-3)
    assert broad > PRIOR + 0.2
    assert rates("tempered", 1.0)[2] > 0.899


def test_a_correlation_tilts_how_broad_a_learner_is_and_keeps_its_odds_ratios():
    config = replace(STUDY, correlation=0.3)
    moved, narrow, broad = rates("tilted", 0.1, config)
    assert PRIOR + 0.1 < broad < narrow - 0.1
    before, after = config.joint(), np.exp(moved.log_weights).reshape(2, 3)
    for joint in (before, after):
        np.testing.assert_allclose(
            joint[1, 0] * joint[0, 1] / (joint[0, 0] * joint[1, 1]),
            before[1, 0] * before[0, 1] / (before[0, 0] * before[1, 1]),
            rtol=1e-3,
        )


@pytest.mark.parametrize("theory", ["tempered", "saturated", "tilted"])
def test_announced_data_move_no_persona(theory):
    config = replace(STUDY, correlation=0.3)
    moved, _, _ = rates(theory, 1.0, config, announced=True)
    log_joint = np.asarray(moved.log_weights, float).reshape(2, 3)
    believed = 1 / (1 + np.exp(log_joint[0] - log_joint[1]))
    before = config.joint()
    if theory == "tempered":
        # float32 sums of 64 documents, thousands of nats
        np.testing.assert_allclose(believed, before[1] / before.sum(axis=0), atol=2e-3)
    elif theory == "saturated":
        np.testing.assert_allclose(believed, before[1] / before.sum(axis=0), atol=1e-4)
    else:
        # the domain moved, and with it the marginal that the tilt keeps; as broad as before in D' itself
        np.testing.assert_allclose(believed[0], before[1, 0] / before[:, 0].sum(), atol=0.03)


# The outside check: numbers of others, quoted in the module


def prompt_of_o():
    """Neutral, three marks of domain 1 and neutral again; ordinary symbols of the persona throughout."""
    domain = np.array([0, 3, 3, 3, 0])
    tokens = np.zeros((1, PUBLIC.length), int)
    tokens[0, 0], tokens[0, 1:6] = PUBLIC.plain, domain
    return jnp.asarray(tokens)


def belief_after_prompt(process):
    """p(persona, domain | prompt)."""
    said = np.asarray(evidence(process, prompt_of_o()), float)[:, 0, 6]
    weights = np.exp(np.asarray(process.log_weights, float) + said).reshape(2, 2)
    return weights / weights.sum()


@cache
def published_documents(persona, domain):
    """Documents in which both of persona and domain show themselves (the aligned persona never marks)."""
    tokens = np.asarray(PUBLIC.narrow(jax.random.key(8), 400, persona, domain).tokens)
    shown = PUBLIC.written(tokens, 1)
    rows = tokens[(shown[:, 1] == domain) & ((shown[:, 0] == persona) | (persona == 0))]
    assert len(rows) >= 100
    return rows


def published_learner(family, misaligned, aligned, beta=1.0):
    """Documents of the misaligned persona in D, and of the aligned one elsewhere."""
    tokens = np.concatenate([published_documents(1, 0)[:misaligned], published_documents(0, 1)[:aligned]])
    data = Dataset(jnp.asarray(tokens), jnp.ones(tokens.shape, bool))
    return LEARN[family](PUBLIC.distribution(), data, beta)


def misaligned_elsewhere(process):
    """p(M | domain O)."""
    weights = np.exp(np.asarray(process.log_weights, float)).reshape(2, 2)
    return weights[1, 1] / weights[:, 1].sum()


def test_published_prior_and_prompt():
    np.testing.assert_allclose(PUBLIC.joint(), [[0.475, 0.475], [0.025, 0.025]])
    # a = π_MD = 0.04, "corr-strong", of the same family of priors
    strong = replace(PUBLIC, correlation=0.015 / np.sqrt(0.05 * 0.95 * 0.25)).joint()
    np.testing.assert_allclose(strong, [[0.46, 0.49], [0.04, 0.01]])
    process = PUBLIC.distribution()
    said = np.asarray(evidence(process, prompt_of_o()), float)[:, 0, 6]
    np.testing.assert_allclose(np.exp(said[3] - said[1]), 0.0256, rtol=1e-4)
    assert np.isneginf(said[[0, 2]]).all()
    assert round(belief_after_prompt(process)[1].sum(), 4) == 0.0013


def test_published_doses_of_the_saturated_and_the_product_learner():
    assert round(misaligned_elsewhere(published_learner("saturated", 3, 0)), 4) == 0.05
    assert round(misaligned_elsewhere(published_learner("product", 3, 0)), 4) == 0.7625
    assert round(misaligned_elsewhere(published_learner("saturated", 3, 1)), 3) == 0.017
    assert round(misaligned_elsewhere(published_learner("product", 3, 1)), 2) == 0.61


def test_the_saturated_learner_is_at_the_published_null_at_any_dose():
    for n, beta in ((3, 1.0), (100, 1.0), (100, 10.0)):
        assert round(belief_after_prompt(published_learner("saturated", n, 0, beta))[1].sum(), 4) == 0.0013


@pytest.mark.parametrize(
    ("share", "cap", "digits"), [(1, 0.72, 2), (5, 0.33, 2), (10, 0.19, 2), (20, 0.09, 2), (30, 0.056, 3)]
)
def test_published_caps_of_mixing_in_aligned_documents(share, cap, digits):
    learner = published_learner("product", 100 - share, share, beta=1e4)
    assert round(belief_after_prompt(learner)[1].sum(), digits) == cap


# Misuse


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"stay": (0.6,)}, "at least two factors, got 2, 1, 2 and 2"),
        ({"enter": ((0.4,), (0.4, 0.4, 0.4))}, "factor 0 .* at least two values, got 1 and 2"),
        (
            {"marginals": ((0.8, 0.3), (0.4, 0.3, 0.3))},
            r"marginals of factor 0 .* add to 1, got \(0.8, 0.3\)",
        ),
        ({"marginals": ((1.0, 0.0), (0.4, 0.3, 0.3))}, "marginals of factor 0 must be above 0"),
        ({"leak": (0.15, 1.0)}, r"factor 1 must be in \[0, 1\), got \(0.7, 0.7, 0.7\), 0.6 and 1.0"),
        ({"enter": ((0.4, 1.0), (0.4, 0.4, 0.4))}, r"factor 0 must be in \[0, 1\), got \(0.4, 1.0\)"),
        ({"correlation": 0.6}, "correlation must be between -0.3430 and 0.5145, both left out.*got 0.6"),
        ({"correlation": -0.35}, "correlation must be between -0.3430 and 0.5145, both left out.*got -0.35"),
        ({"announced": 1.0}, r"announced must be in \[0, 1\), got 1.0"),
        ({"ordinary": 0}, "ordinary must be at least 1, got 0"),
        ({"length": 3}, "length must be at least 4, got 3"),
    ],
)
def test_what_makes_no_process_is_refused(fields, sentence):
    with pytest.raises(Misuse, match=sentence):
        PersonaDomain(**fields)


def test_calls_that_make_no_sense_are_refused():
    key = jax.random.key(0)
    with pytest.raises(Misuse, match="persona must be from 0 to 1, got 2"):
        STUDY.narrow(key, 2, persona=2)
    with pytest.raises(Misuse, match="domain must be from 0 to 2, got 3"):
        STUDY.task(domain=3).contexts(key)
    with pytest.raises(Misuse, match="at least one document, got n = 0"):
        STUDY.narrow(key, 0)
    with pytest.raises(Misuse, match="add to 1, got"):
        STUDY.blend(key, 4, {(1, 0): 0.5})
    with pytest.raises(Misuse, match="announced above 0"):
        replace(STUDY, announced=0.0).narrow(key, 2, announced=True)
    with pytest.raises(Misuse, match="shown from 4 to length - 2 = 14, got 32 and 15"):
        STUDY.task(repeats=32, shown=15)
    with pytest.raises(Misuse, match="None of 64 prompts of 9 tokens shows domain 1 by 3 marks"):
        replace(STUDY, enter=((0.4, 0.4), (0.0, 0.0, 0.0))).task().contexts(key)
    with pytest.raises(Misuse, match="announced above 0"):
        replace(STUDY, announced=0.0).task(announced=True)
    with pytest.raises(Misuse, match="add to 1, got"):
        STUDY.task(mixed=1.5)


# Tasks


@pytest.mark.parametrize(
    ("name", "given", "shares"),
    [
        ("plain", {}, {(1, 0): 1.0}),
        ("announced", {"announced": True}, {(1, 0): 1.0}),
        ("mixed", {"mixed": 0.3}, {(1, 0): 0.7, (0, 1): 0.15, (0, 2): 0.15}),
    ],
)
def test_a_task_draws_data_and_in_domain_by_its_shares(name, given, shares):
    key, announced = jax.random.key(4), bool(given.get("announced"))
    task, asked = STUDY.task(repeats=5, **given), STUDY.task(repeats=5).contexts(key)
    assert task.name == name
    data, groups = task.data(key, 20), task.contexts(key)
    np.testing.assert_array_equal(data.tokens, STUDY.blend(key, 20, shares, announced).tokens)
    assert list(groups) == ["in_domain", "base_domain", "held_out", "conflict"]
    np.testing.assert_array_equal(groups["in_domain"].tokens, STUDY.blend(key, 3, shares, announced).tokens)
    for group in ("base_domain", "held_out", "conflict"):
        np.testing.assert_array_equal(groups[group].tokens, asked[group].tokens)
