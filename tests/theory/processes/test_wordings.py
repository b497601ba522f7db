"""Wordings against enumeration of every document in plain numpy, and what its maps make of words."""

from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.scoring.fits import mean_kl
from experiments.scoring.nulls import nulls
from experiments.storage.contents import Contexts
from theory.base import Dataset, Misuse
from theory.divergence.mixture_fit import fit_weights
from theory.processes.wordings import Wordings, example

SMALL = replace(example(), specific=0.4, common=0.7, seed=3)
MANNER = Wordings()


def by_hand(config):
    """p(word | topic, z) from the formula, symbol by symbol: three personas, two symbols, two orders."""
    random, size = np.random.default_rng(config.seed), config.answers
    assert (config.personas, size) == (3, 2)
    orders = [random.permutation(2).tolist()]
    while len(orders) < 3:
        order = random.permutation(2).tolist()
        if order not in orders or len(orders) == 2:
            orders.append(order)
    style = np.where(np.array(orders) == 0, 1.0, -1.0)[:, None]
    specific = random.normal(size=(config.personas, config.topics, size))
    logits = config.style * style + config.specific * specific
    logits[:, config.topics - config.neutral_topics :] = 0
    logits += config.common * random.normal(size=(config.topics, size))
    table = np.zeros_like(logits)
    for z, topic, m in np.ndindex(*logits.shape):
        word = list(config.symbols()[topic]).index(m)
        table[z, topic, word] = np.exp(logits[z, topic, m]) / np.exp(logits[z, topic]).sum()
    return table


def prior(config):
    weights = config.rarity ** np.arange(config.personas)
    return weights / weights.sum()


@cache
def documents(config):
    """Every possible document, and p(x | z) of each (z, n)."""
    topics, table = range(config.topics), by_hand(config)
    pairs = list(product(topics, range(config.answers)))
    tokens = np.array(
        [
            [part for topic, word in pair for part in (topic, config.topics + word)]
            for pair in product(pairs, repeat=config.pairs)
        ]
    )
    replies = table[:, tokens[:, ::2], tokens[:, 1::2] - config.topics]
    return tokens, np.prod(replies / config.topics, axis=-1)


def test_the_predictor_is_the_ratio_of_enumerated_marginals():
    tokens, likelihood = documents(SMALL)
    total = prior(SMALL) @ likelihood
    np.testing.assert_allclose(total.sum(), 1, rtol=1e-12)
    got = np.exp(np.asarray(SMALL.distribution().predict(jnp.asarray(tokens))))
    for place in range(SMALL.length):
        before = (tokens[:, None, :place] == tokens[None, :, :place]).all(axis=-1)
        for token in range(SMALL.vocabulary):
            wanted = before @ (total * (tokens[:, place] == token)) / (before @ total)
            np.testing.assert_allclose(got[:, place, token], wanted, rtol=3e-5, atol=1e-7)


@pytest.mark.parametrize("beta", [0.4, 1.0, 3.0])
def test_conditioning_is_the_enumerated_tempered_posterior(beta):
    tokens, likelihood = documents(SMALL)
    chosen = np.random.default_rng(0).choice(len(tokens), 4)
    weights = prior(SMALL) * np.prod(likelihood[:, chosen], axis=1) ** beta
    data = Dataset(jnp.asarray(tokens[chosen]), jnp.ones((4, SMALL.length), bool))
    got = np.exp(SMALL.distribution().condition(data, beta).log_weights)
    np.testing.assert_allclose(got, weights / weights.sum(), rtol=3e-5)
    assert np.abs(got - prior(SMALL)).max() > 1e-2


# Maps


@pytest.mark.parametrize("answers", [2, 3, 4, 5])
def test_topics_of_a_block_are_a_latin_square_and_maps_differ(answers):
    process = Wordings(answers=answers, topics=4 * answers + 1)
    symbols = process.symbols()
    assert symbols.shape == (process.topics, answers)
    np.testing.assert_array_equal(np.sort(symbols, axis=1), np.tile(np.arange(answers), (process.topics, 1)))
    blocks = symbols[:-1].reshape(4, answers, answers)
    np.testing.assert_array_equal(
        np.sort(blocks, axis=1), np.tile(np.arange(answers)[:, None], (4, 1, answers))
    )
    different = {tuple(row) for row in symbols[:-1].tolist()}
    assert len(different) == min(4 * answers, {2: 2, 3: 6}.get(answers, 4 * answers))


def test_a_symbol_is_the_word_of_the_formula():
    """Word 0 of a topic with shift s is the symbol -s: τ leaves it; other draws have other orders τ."""
    process = Wordings(seed=5)
    shifts = np.arange(process.topics) % process.answers
    np.testing.assert_array_equal(process.symbols()[:, 0], -shifts % process.answers)
    turned = (process.symbols() + shifts[:, None]) % process.answers  # the inverse of τ, the same in a block
    blocks = turned[:-1].reshape(5, process.answers, process.answers)
    np.testing.assert_array_equal(blocks, np.tile(blocks[:, :1], (1, process.answers, 1)))
    assert (Wordings(seed=6).symbols() != process.symbols()).any()


def test_words_of_a_block_are_uniform_whoever_writes():
    table = np.exp(MANNER.answer_table())[:, :15].reshape(MANNER.personas, 5, 3, 3)
    np.testing.assert_allclose(table.mean(axis=2), 1 / 3, rtol=1e-12)
    assert np.abs(table - 1 / 3).max() > 0.3


@pytest.mark.parametrize("seed", range(4))
def test_personas_prefer_symbols_in_different_orders(seed):
    process = replace(MANNER, seed=seed)
    table = np.exp(process.answer_table())
    by_symbol = np.take_along_axis(table, np.argsort(process.symbols(), axis=-1)[None], axis=-1)
    telling = by_symbol[:, :-1]
    np.testing.assert_allclose(telling, telling[:, :1].repeat(15, axis=1), rtol=1e-12)
    wanted = np.exp(process.style * np.sqrt(1.5) * np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(np.sort(telling[:, 0]), np.tile(wanted / wanted.sum(), (4, 1)), rtol=1e-12)
    assert len({tuple(order) for order in np.argsort(telling[:, 0]).tolist()}) == 4
    np.testing.assert_allclose(table[:, -1], 1 / 3, rtol=1e-12)  # the neutral topic


# D' and what theories and nulls can make of it


def test_by_default_the_data_asks_the_first_block():
    process = Wordings()
    task = process.task()
    assert task.name == "topics0_1_2"
    tokens = np.asarray(task.data(jax.random.key(0), 32).tokens)
    assert set(tokens[:, ::2].ravel()) == {0, 1, 2}
    held_out = np.asarray(task.contexts(jax.random.key(0))["held_out"].tokens)[:, 0]
    np.testing.assert_array_equal(held_out, np.arange(3, 15))
    with pytest.raises(Misuse, match="No topic is left to hold out"):
        Wordings(topics=4).task()


@pytest.mark.parametrize("topics", [(0, 1, 2), (7, 4), (3,)])
def test_the_data_asks_all_topics_alike_at_every_position(topics):
    tokens = np.asarray(MANNER.narrow(jax.random.key(1), 12, 3, topics).tokens)
    asked = tokens[:, ::2, None] == np.array(topics)
    assert (asked.sum(axis=0) == 12 // len(topics)).all()
    for many in asked.sum(axis=1):
        assert many.sum() == 8 and np.ptp(many) <= (8 % len(topics) > 0) + 1
    if len(topics) > 1:
        assert len({tuple(row) for row in tokens[:, ::2].tolist()}) > len(topics)


def test_the_words_of_the_data_come_as_often_as_their_persona_says_them():
    """Up to one document, at each position and topic: of several personas, each in its documents."""
    tokens = np.asarray(MANNER.blend(jax.random.key(2), 96, {3: 0.5, 1: 0.5}, (0, 1, 2)).tokens)
    table = np.exp(MANNER.answer_table())
    for persona, part in ((3, tokens[:48]), (1, tokens[48:])):
        for position, topic in np.ndindex(MANNER.pairs, 3):
            words = part[part[:, 2 * position] == topic, 2 * position + 1] - MANNER.topics
            assert len(words) == 16
            assert (np.abs(np.bincount(words, minlength=3) - 16 * table[persona, topic]) < 1).all()


@pytest.fixture(scope="module")
def exact():
    """Contexts of the default task with the exact process as base network, and what the exact learner says
    there after D' (c, a) at three strengths."""
    process, key = MANNER.distribution(), jax.random.key(0)
    task = MANNER.task()
    data, groups = task.data(key, 32), task.contexts(key)
    tokens = np.concatenate([np.asarray(group.tokens) for group in groups.values()])
    mask = np.concatenate([np.asarray(group.mask) for group in groups.values()])
    rows, places = np.nonzero(mask)

    def answers(log_probs):
        return np.asarray(log_probs, float)[..., rows, places, MANNER.answer_tokens]

    names = np.repeat(list(groups), [int(np.asarray(group.mask).sum()) for group in groups.values()])
    base = answers(process.predict(tokens))
    evidence = np.asarray(process.evidence(tokens), float)[:, rows, places]
    contexts = Contexts(
        names, names, np.arange(3), answers(process.component_log_probs(tokens)), evidence, base, base, places
    )
    target = [answers(process.condition(data, beta).predict(tokens)) for beta in (0.01, 0.03, 1.0)]
    return contexts, np.array(target)[None]


def test_the_exact_learner_is_a_mixture_of_personas(exact):
    contexts, target = exact
    shift = mean_kl(target, contexts.base)
    assert (shift > 0.005).all()
    _, left = fit_weights(target[0], contexts.components, contexts.evidence)
    assert (left < 1e-6 * shift[0]).all()


def test_no_null_explains_the_exact_learner(exact):
    contexts, target = exact
    for group in ("held_out", "in_context", "conflict"):
        inside = contexts.inside(group)
        shift = mean_kl(target[..., inside, :], contexts.base[inside])
        for null in nulls(target, contexts):
            left = mean_kl(target[..., inside, :], null.log_probs[..., inside, :])
            assert (1 - left / shift < 0.15).all(), (group, null.name, 1 - left / shift)
