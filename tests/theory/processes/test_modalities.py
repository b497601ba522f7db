"""Modalities against enumeration of every possible document in plain numpy."""

import math
from dataclasses import replace
from functools import cache
from itertools import product

import jax
import numpy as np
import pytest

from theory.base import Misuse
from theory.latent.mixture import Mixture
from theory.processes.modalities import MODALITIES, Modalities, example
from theory.theories.exchangeable_mixture import ExchangeableMixture

CONFIGS = {
    "apart": replace(example(), together=False),
    "together": Modalities(concepts=3, symbols=2, strokes=2, blocks=2, slip=0.2, rarity=0.5, seed=3),
}
APART, TOGETHER = Modalities(together=False), Modalities()
CONCEPT, MODALITY = 2, "drawing"
predict, components, log_prob, posterior, condition = (
    jax.jit(getattr(Mixture, name))
    for name in ("predict", "component_log_probs", "log_prob", "posterior", "condition")
)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    weights = config.rarity ** np.arange(config.concepts)
    return weights / weights.sum()


@cache
def sequences(config):
    """Every document of cues and symbols in their places, those of two modalities included."""
    symbols = range(3, config.vocabulary)
    block = list(product(range(3), *[symbols] * config.strokes))
    return np.array([sum(blocks, ()) for blocks in product(block, repeat=config.blocks)])


@cache
def block_chances(config):
    """p(symbols | concept, cue) of every block, from the story: slip or not, then the kind's own habit."""
    table, a = config.emission_table(), config.symbols
    chances = {}
    for block in product(range(3), *[range(3, config.vocabulary)] * config.strokes):
        value, before = np.ones(config.concepts), a
        for place, token in enumerate(block[1:]):
            value = value * table[:, block[0], place, before, token - 3]
            own, symbol = divmod(token - 3, a)
            before = symbol if own == block[0] else a
        chances[block] = value
    return chances


@cache
def joint(config):
    """p(z, x) over concepts and all documents, the home summed over."""
    chances, size = block_chances(config), 1 + config.strokes
    table = np.zeros((config.concepts, len(sequences(config))))
    for row, tokens in enumerate(sequences(config).tolist()):
        blocks = [tuple(tokens[start : start + size]) for start in range(0, len(tokens), size)]
        cues = {block[0] for block in blocks}
        asked = 3.0**-config.blocks if config.together else (len(cues) == 1) / 3
        table[:, row] = asked * np.prod([chances[block] for block in blocks], axis=0)
    return prior(config)[:, None] * table


def chi_square(counts, exact):
    n = counts.sum()
    assert (counts[exact == 0] == 0).all()
    exact, counts = exact[exact > 0], counts[exact > 0]
    rare = exact < 5 / n
    assert abs(counts[rare].sum() - n * exact[rare].sum()) < 4 * np.sqrt(n * exact[rare].sum()) + 1
    statistic = np.sum((counts - n * exact)[~rare] ** 2 / (n * exact[~rare]))
    freedom = (~rare).sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def counts_of(config, tokens):
    place = config.vocabulary ** np.arange(config.length - 1, -1, -1)
    every = sequences(config) @ place
    order = np.argsort(every)
    found = order[np.searchsorted(every, np.asarray(tokens) @ place, sorter=order)]
    assert (sequences(config)[found] == np.asarray(tokens)).all()
    return np.bincount(found, minlength=len(every))


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(config):
    got = np.exp(np.asarray(log_prob(config.distribution(), sequences(config)), float))
    np.testing.assert_allclose(got, joint(config).sum(axis=0), rtol=5e-5, atol=1e-12)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(config):
    total = joint(config).sum(axis=0)
    tokens = sequences(config)
    got = np.exp(np.asarray(predict(config.distribution(), tokens), float))
    for position in range(config.length):
        shown = tokens[:, :position] @ config.vocabulary ** np.arange(position)
        _, group = np.unique(shown, return_inverse=True)
        wanted = np.zeros((group.max() + 1, config.vocabulary))
        np.add.at(wanted, (group, tokens[:, position]), total)
        mass = wanted.sum(axis=-1)
        possible = mass[group] > 0
        wanted = (wanted / np.where(mass > 0, mass, 1)[:, None])[group]
        np.testing.assert_allclose(got[possible, position], wanted[possible], rtol=1e-4, atol=1e-7)


def test_posterior_is_bayes(config):
    possible = joint(config).sum(axis=0) > 0
    wanted = (joint(config)[:, possible] / joint(config)[:, possible].sum(axis=0)).T
    got = np.exp(posterior(config.distribution(), sequences(config)[possible]))
    assert config.distribution().factors == (config.concepts, config.homes)
    np.testing.assert_allclose(got.reshape(len(got), config.concepts, -1).sum(axis=-1), wanted, rtol=2e-4)


def test_samples_come_as_often_as_enumerated(config):
    tokens = jax.jit(config.distribution().sample, static_argnums=1)(jax.random.key(1), 20_000)
    chi_square(counts_of(config, tokens), joint(config).sum(axis=0))


def test_narrow_documents_come_as_often_as_the_concept_renders_them(config):
    data = config.narrow(jax.random.key(2), 20_000, 1, "drawing")
    drawn = (sequences(config)[:, :: 1 + config.strokes] == 2).all(axis=1)
    exact = np.where(drawn, joint(config)[1], 0.0)
    chi_square(counts_of(config, data.tokens), exact / exact.sum())


def test_each_kind_has_its_own_habit():
    table = TOGETHER.emission_table()
    own = [table[:, m, ..., m * 4 : (m + 1) * 4] for m in range(3)]
    np.testing.assert_allclose(table.sum(axis=-1), 1, rtol=1e-12)
    for each in own:
        np.testing.assert_allclose(each.sum(axis=-1), 1 - TOGETHER.slip)
    by_place, by_before = (np.array([np.ptp(each, axis=axis).max() for each in own]) for axis in (1, 2))
    assert (by_place[[0, 2]] == 0).all() and by_place[1] > 0.1
    assert (by_before[:2] == 0).all() and by_before[2] > 0.1
    assert np.abs(table - replace(TOGETHER, seed=1).emission_table()).max() > 0.3


def test_sizes_and_names_of_the_vocabulary():
    assert (APART.vocabulary, APART.length, APART.answer_tokens) == (15, 20, slice(3, 15))
    assert len(set(APART.token_names())) == APART.vocabulary and APART.token_names()[:2] == (
        "text:",
        "picture:",
    )
    np.testing.assert_array_equal(APART.answer_mask(), [False, True, True, True] * 5)


# D' and contexts


@cache
def groups_of(config):
    return config.task(CONCEPT, MODALITY, repeats=6).contexts(jax.random.key(5))


@cache
def told(config, beta, theory="tempered"):
    data = config.narrow(jax.random.key(0), 64, CONCEPT, MODALITY)
    if theory == "tempered":
        return condition(config.distribution(), data, beta)
    rule = jax.jit(lambda prior, data: ExchangeableMixture(theory).predict(prior, data, beta))
    return rule(config.distribution(), data)


def answers(process, data):
    predicted = np.asarray(predict(process, data.tokens))[np.asarray(data.mask)][:, APART.answer_tokens]
    return np.exp(predicted)


def test_groups_are_named_in_order():
    names = ["in_domain", "held_out", "as_text", "as_picture", "in_context", "conflict"]
    assert list(groups_of(TOGETHER)) == names
    assert list(groups_of(APART)) == [name for name in names if name != "in_context"]
    rows = {"in_domain": 24, "held_out": 2, "as_text": 6, "as_picture": 6, "in_context": 12, "conflict": 12}
    for name, data in groups_of(TOGETHER).items():
        assert data.tokens.shape == data.mask.shape == (rows[name], TOGETHER.length)


@pytest.mark.parametrize("config", [APART, TOGETHER])
def test_every_symbol_may_come_where_it_is_asked(config):
    for data in groups_of(config).values():
        asked = answers(config.distribution(), data)
        assert (asked > 0).all()
        np.testing.assert_allclose(asked.sum(axis=-1), 1, rtol=1e-5)


def test_groups_ask_what_they_say():
    groups = groups_of(TOGETHER)
    cues = {name: np.asarray(data.tokens)[:, ::4] for name, data in groups.items()}
    masks = {name: np.asarray(data.mask) for name, data in groups.items()}
    assert (cues["in_domain"] == 2).all()
    np.testing.assert_array_equal(masks["in_domain"], np.tile(TOGETHER.answer_mask(), (24, 1)))
    np.testing.assert_array_equal(cues["held_out"][:, 0], [0, 1])
    assert (masks["held_out"].nonzero()[1] == 1).all() and masks["held_out"].sum() == 2
    for cue, name in enumerate(("as_text", "as_picture")):
        assert (cues[name][:, 0] == cue).all()
        np.testing.assert_array_equal(masks[name].nonzero()[1].reshape(6, 3), np.tile([1, 2, 3], (6, 1)))
    for name, shown in (("in_context", [2] * 12), ("conflict", [0] * 6 + [1] * 6)):
        np.testing.assert_array_equal(cues[name][:, 0], shown)
        np.testing.assert_array_equal(cues[name][:, 1], [0] * 6 + [1] * 6)
        assert (masks[name].nonzero()[1] == 5).all()


def test_conflict_shows_the_other_concepts_in_turn():
    sure = replace(TOGETHER, sharpness=1e4, slip=1e-9)
    tokens = np.asarray(
        sure.task(CONCEPT, MODALITY, repeats=6).contexts(jax.random.key(5))["conflict"].tokens
    )
    for row, cue in enumerate([0] * 6 + [1] * 6):
        replies = sure.emission_table()[[0, 1, 3][row % 3], cue, :, sure.symbols].argmax(axis=-1)
        np.testing.assert_array_equal(tokens[row, 1:4] - 3, replies)


def test_in_domain_is_fresh():
    again = TOGETHER.narrow(jax.random.key(5), 24, CONCEPT, MODALITY)
    assert (np.asarray(again.tokens) != np.asarray(groups_of(TOGETHER)["in_domain"].tokens)).any()
    np.testing.assert_array_equal(again.mask, np.tile(TOGETHER.answer_mask(), (24, 1)))


@pytest.mark.parametrize("config", [APART, TOGETHER])
def test_elicitation_contexts_show_the_prior(config):
    table = config.emission_table()[:, range(3), 0, config.symbols]
    np.testing.assert_allclose(
        answers(config.distribution(), config.elicitation_contexts()),
        np.tensordot(prior(config), table, 1),
        rtol=1e-5,
    )


# What exact Bayes says of D'


def test_seen_together_the_concept_carries_over():
    table = TOGETHER.emission_table()[CONCEPT, :2, 0, TOGETHER.symbols]
    np.testing.assert_allclose(
        answers(told(TOGETHER, 1.0), groups_of(TOGETHER)["held_out"]), table, rtol=1e-4
    )


@pytest.mark.parametrize(("theory", "beta"), [("tempered", 0.01), ("tempered", 1.0), ("saturated", 1.0)])
def test_seen_apart_nothing_carries_over(theory, beta):
    for name in ("held_out", "as_text", "as_picture", "conflict"):
        data = groups_of(APART)[name]
        before, after = (answers(each, data) for each in (APART.distribution(), told(APART, beta, theory)))
        np.testing.assert_allclose(after, before, rtol=2e-3)
    data = groups_of(APART)["in_domain"]
    assert np.abs(answers(told(APART, beta, theory), data) - answers(APART.distribution(), data)).max() > 0.1


def test_a_learner_that_takes_concept_and_home_apart_carries_it_over_all_the_same(posterior_mode):
    """Cells of the home of D' hold κ / homes documents of prior, and end where a learner without homes does
    at that concentration; the other cells keep the prior of their concept."""
    homes, n, a = APART.homes, 64, APART.symbols
    tokens = APART.narrow(jax.random.key(0), n, CONCEPT, MODALITY).tokens
    symbols = np.asarray(tokens).reshape(n, APART.blocks, -1)[..., 1:] - 3
    own = np.where(symbols // a == 2, symbols % a, a)  # of drawings
    before = np.concatenate([np.full_like(own[..., :1], a), own[..., :-1]], axis=-1)
    chances = APART.emission_table()[:, 2, np.arange(APART.strokes), before, symbols]
    there = posterior_mode(prior(APART), np.log(chances).sum(axis=(2, 3)), 1.0, 1 / homes)
    concepts = ((1 / homes + n) * there + (1 - 1 / homes) * prior(APART)) / (1 + n)
    table = APART.emission_table()[:, :2, 0, APART.symbols]
    moved = answers(told(APART, 1.0, "product"), groups_of(APART)["held_out"])
    np.testing.assert_allclose(moved, np.tensordot(concepts, table, 1), rtol=1e-4)
    assert np.abs(moved - answers(APART.distribution(), groups_of(APART)["held_out"])).max() > 0.1


# Misuse


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concepts", 1),
        ("symbols", 1),
        ("strokes", 0),
        ("blocks", 1),
        ("sharpness", math.inf),
        ("slip", 0.0),
        ("slip", 0.5),
        ("rarity", 0.0),
        ("rarity", 1.5),
    ],
)
def test_sizes_that_make_no_process_are_refused(name, value):
    with pytest.raises(Misuse, match=rf"{name} must .*got {value}"):
        replace(TOGETHER, **{name: value})


@pytest.mark.parametrize(
    ("concept", "modality", "sentence"),
    [(4, "text", "from 0 to 3, got 4"), (-1, "text", "got -1"), (0, "song", "one of .*got 'song'")],
)
def test_concepts_and_modalities_that_do_not_exist_are_refused(concept, modality, sentence):
    for ask in (lambda: TOGETHER.task(concept, modality).contexts(jax.random.key(0)),):
        with pytest.raises(Misuse, match=sentence):
            ask()
    with pytest.raises(Misuse, match=sentence):
        TOGETHER.narrow(jax.random.key(0), 4, concept, modality)


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(Misuse, match="n = 0"):
        TOGETHER.narrow(jax.random.key(0), 0, 0, MODALITIES[0])
    for name in ("repeats", "shots"):
        with pytest.raises(Misuse, match=f"{name} must be at least 1, got 0"):
            TOGETHER.task(0, MODALITIES[0], **{name: 0}).contexts(jax.random.key(0))
