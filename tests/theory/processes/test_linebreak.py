"""Line breaks against enumeration of every hidden word and newline in plain numpy."""

import math
from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Misuse
from theory.latent.mixture import Mixture
from theory.processes.linebreak import LineBreak, example
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIGS = {
    "example": example(),
    "three": LineBreak(widths=(4, 3, 5), lengths=(1, 3), length=7, noise=0.2, rarity=0.8),
}
BOOK = LineBreak()
NARROW = 4
predict, components, evidence_of, log_prob, posterior, condition = (
    jax.jit(getattr(Mixture, name))
    for name in ("predict", "component_log_probs", "evidence", "log_prob", "posterior", "condition")
)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    weights = config.rarity ** np.arange(len(config.widths))
    return weights / weights.sum()


@cache
def sequences(config):
    """Every string of tokens of a document's length, possible or not."""
    return np.array(list(product(range(config.vocabulary), repeat=config.length)))


def index(config, tokens):
    return np.asarray(tokens) @ config.vocabulary ** np.arange(config.length - 1, -1, -1)


@cache
def likelihoods(config):
    """p(x | width), (widths, sequences), by following every hidden word: the story as it is told."""
    table = np.zeros((len(config.widths), config.vocabulary**config.length))
    newline = config.vocabulary - 1

    def extend(w, written, column, chance):
        if len(written) >= config.length:  # a word pending behind a last newline is summed over
            table[w, index(config, written[: config.length])] += chance
            return
        for word, long in enumerate(config.lengths):
            one = chance / len(config.lengths)
            if column == 0 and not written:
                extend(w, [word], long, one)
                continue
            breaks = 1 - config.noise if column + long > config.widths[w] else config.noise
            extend(w, [*written, newline, word], long, one * breaks)
            extend(w, [*written, word], column + long, one * (1 - breaks))

    for w in range(len(config.widths)):
        extend(w, [], 0, 1.0)
    return table


def check_predictor(process, config, weights):
    """Ratios of enumerated marginals, at every prefix that can happen."""
    shape = (config.vocabulary,) * config.length
    total = weights @ likelihoods(config)
    tokens = sequences(config)[total > 0]
    got = np.exp(np.asarray(predict(process, tokens)))
    for position in range(config.length):
        marginal = total.reshape(shape).sum(axis=tuple(range(position + 1, config.length)))
        continued = marginal[tuple(tokens[:, :position].T)].reshape(-1, config.vocabulary)
        wanted = continued / continued.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(
            got[:, position], np.broadcast_to(wanted, got[:, position].shape), rtol=5e-5, atol=1e-7
        )


def chi_square(counts, exact):
    """Counts of every sequence against their probabilities: none impossible, and as often as they should."""
    n = counts.sum()
    assert (counts[exact == 0] == 0).all()
    exact, counts = exact[exact > 0], counts[exact > 0]
    rare = exact < 5 / n
    assert abs(counts[rare].sum() - n * exact[rare].sum()) < 4 * np.sqrt(n * exact[rare].sum()) + 1
    statistic = np.sum((counts - n * exact)[~rare] ** 2 / (n * exact[~rare]))
    freedom = (~rare).sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(config):
    got = np.exp(np.asarray(log_prob(config.distribution(), sequences(config)), float))
    np.testing.assert_allclose(got, prior(config) @ likelihoods(config), rtol=5e-5, atol=1e-9)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(config):
    check_predictor(config.distribution(), config, prior(config))


def test_members_score_documents_as_enumerated(config):
    for w in range(len(config.widths)):
        alone = config.distribution().with_log_weights(
            jnp.where(jnp.arange(len(config.widths)) == w, 0.0, -jnp.inf)
        )
        got = np.exp(log_prob(alone, sequences(config)))
        np.testing.assert_allclose(got, likelihoods(config)[w], rtol=5e-5, atol=1e-9)


def test_posterior_over_the_width_is_bayes(config):
    together = prior(config)[:, None] * likelihoods(config)
    possible = together.sum(axis=0) > 0
    wanted = (together[:, possible] / together[:, possible].sum(axis=0)).T
    got = posterior(config.distribution(), sequences(config)[possible])
    np.testing.assert_allclose(np.exp(got), wanted, rtol=1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_conditioning_against_enumeration(config, beta):
    data = config.narrow(jax.random.key(0), 3, config.widths[1])
    # the first word is as likely under every width, so that what is not counted changes nothing
    evidence = likelihoods(config)[:, index(config, data.tokens)].prod(axis=1)
    weights = prior(config) * evidence**beta
    weights /= weights.sum()
    process = condition(config.distribution(), data, beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, rtol=1e-4)
    check_predictor(process, config, weights)


def test_samples_come_as_often_as_enumerated(config):
    tokens = jax.jit(config.distribution().sample, static_argnums=1)(jax.random.key(1), 20_000)
    exact = prior(config) @ likelihoods(config)
    chi_square(np.bincount(index(config, tokens), minlength=len(exact)), exact)


def test_a_word_after_a_newline_is_longer_than_others():
    # by hand: words of 1 and 2 characters, width 3, two characters written: the long word is pending
    told = np.exp(components(example().distribution(), jnp.asarray([[1, 2, 1, 2, 1]])))[0, 0]
    np.testing.assert_allclose(told[0], [0.5, 0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(told[1], [0.45, 0.05, 0.5], rtol=1e-6)
    np.testing.assert_allclose(told[2], [0.1, 0.9, 0], rtol=1e-6)


def test_sizes_and_names_of_the_vocabulary():
    assert (BOOK.vocabulary, BOOK.length, BOOK.answer_tokens, BOOK.newline) == (5, 20, slice(0, 5), 4)
    assert len(set(BOOK.token_names())) == BOOK.vocabulary and BOOK.token_names()[-1] == "newline"
    np.testing.assert_array_equal(BOOK.answer_mask(), [False] + [True] * 19)


# Probes and D'


def test_elicitation_contexts_are_no_evidence_and_tell_the_widths_apart():
    process, data = BOOK.distribution(), BOOK.elicitation_contexts()
    mask = np.asarray(data.mask)
    assert (mask.sum(axis=1) == 1).all()
    evidence = np.asarray(evidence_of(process, data.tokens))[:, mask]
    np.testing.assert_allclose(evidence, np.broadcast_to(evidence[:1], evidence.shape), atol=1e-6)
    newline = np.exp(components(process, data.tokens))[..., BOOK.newline][:, mask]
    # room for no word, for one of four, of three of four, of all
    wanted = {4: 1.0, 5: 0.75, 7: 0.25, 9: 0.0}
    for width, row in zip(BOOK.widths, newline, strict=True):
        np.testing.assert_allclose(row, 0.05 + 0.9 * wanted[width], rtol=1e-5)


@pytest.mark.parametrize("place", [0, 1])
def test_narrow_documents_come_as_often_as_one_width_writes_them(config, place):
    data = config.narrow(jax.random.key(2), 20_000, config.widths[place])
    exact = likelihoods(config)[place]
    chi_square(np.bincount(index(config, data.tokens), minlength=len(exact)), exact)


def test_narrow_counts_all_but_the_first_and_follows_its_key():
    data = BOOK.narrow(jax.random.key(0), 30, NARROW)
    assert data.tokens.shape == (30, BOOK.length)
    np.testing.assert_array_equal(data.mask, np.tile(BOOK.answer_mask(), (30, 1)))
    np.testing.assert_array_equal(data.tokens, BOOK.narrow(jax.random.key(0), 30, NARROW).tokens)
    assert (data.tokens != BOOK.narrow(jax.random.key(1), 30, NARROW).tokens).any()


def test_the_data_tell_the_width():
    after = condition(BOOK.distribution(), BOOK.narrow(jax.random.key(0), 64, NARROW), 1.0)
    np.testing.assert_allclose(np.exp(after.log_weights), [0, 0, 0, 1], atol=1e-6)


# Contexts


REPEATS = 20


@cache
def groups():
    return BOOK.task(NARROW, REPEATS).contexts(jax.random.key(5))


def at_masked(values, data):
    return np.asarray(values)[np.asarray(data.mask)]


def test_groups_are_whole_documents_in_order():
    assert list(groups()) == ["in_domain", "held_out", "first_line", "lines_1", "lines_2", "lines_3"]
    for name, data in groups().items():
        assert data.tokens.shape == data.mask.shape
        assert data.tokens.shape == (REPEATS if name == "in_domain" else 3 * REPEATS, BOOK.length)
        assert np.asarray(data.mask).any(axis=1).all()


def test_every_token_may_come_where_it_is_asked():
    for data in groups().values():
        for told in components(BOOK.distribution(), data.tokens):
            assert np.isfinite(at_masked(told, data)).all()


def test_in_domain_asks_all_but_the_first_token_of_a_line():
    data = groups()["in_domain"]
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    starts = np.zeros(tokens.shape, bool)
    starts[:, 0], starts[:, 1:] = True, tokens[:, :-1] == BOOK.newline
    np.testing.assert_array_equal(mask, ~starts)
    after = posterior(BOOK.distribution(), data.tokens)
    assert np.exp(after)[:, BOOK.widths.index(NARROW)].mean() > 0.8
    assert (tokens != np.asarray(BOOK.narrow(jax.random.key(5), REPEATS, NARROW).tokens)).any()


def test_groups_ask_after_their_number_of_lines():
    for name, data in groups().items():
        ended = np.cumsum(np.asarray(data.tokens) == BOOK.newline, axis=1)
        line = at_masked(np.pad(ended, ((0, 0), (1, 0)))[:, :-1], data)
        if name == "held_out":
            assert line.min() == 1 and line.max() > 3
        elif name != "in_domain":
            assert set(line.tolist()) == {0 if name == "first_line" else int(name.removeprefix("lines_"))}


def test_groups_ask_where_two_widths_disagree():
    newline = np.exp(components(BOOK.distribution(), groups()["held_out"].tokens))[..., BOOK.newline]
    own = newline[BOOK.widths.index(NARROW)]
    mask = np.asarray(groups()["held_out"].mask)
    worst = {7: 0.75, 5: 0.25, 9: 1.0}  # at column 4, of the 0.9 that noise leaves
    for block, width in enumerate(width for width in BOOK.widths if width != NARROW):
        rows = slice(block * REPEATS, (block + 1) * REPEATS)
        gap = np.abs(own - newline[BOOK.widths.index(width)])[rows][mask[rows]]
        assert gap.min() > 0.9 * worst[width] / 2 - 1e-5
        np.testing.assert_allclose(gap.max(), 0.9 * worst[width], rtol=1e-4)


def test_held_out_documents_are_of_the_other_widths():
    belief = np.exp(posterior(BOOK.distribution(), groups()["held_out"].tokens))
    for block, width in enumerate(width for width in BOOK.widths if width != NARROW):
        rows = belief[block * REPEATS : (block + 1) * REPEATS]
        assert rows.mean(axis=0).argmax() == BOOK.widths.index(width)


# What exact Bayes says of D'


def belief(process, data):
    """Mean belief in the narrow width where a group asks."""
    joint = process.log_weights[:, None, None] + evidence_of(process, data.tokens)
    return at_masked(jax.nn.softmax(joint, axis=0)[BOOK.widths.index(NARROW)], data).mean()


def test_lines_undo_an_exchangeable_learner_and_not_a_tempered_one():
    data = BOOK.narrow(jax.random.key(0), 64, NARROW)
    tempered, exchangeable = (
        jax.jit(lambda prior, data, theory=theory: theory.predict(prior, data, 1.0))(
            BOOK.distribution(), data
        )
        for theory in (TemperedPosterior(), ExchangeableMixture())
    )
    names = ("first_line", "lines_1", "lines_2", "lines_3")
    beliefs = [belief(exchangeable, groups()[name]) for name in names]
    assert beliefs[0] > 0.6 and beliefs[2] < 0.4 and beliefs[3] < 0.3
    assert all(belief(tempered, groups()[name]) > 0.999 for name in names)
    assert belief(BOOK.distribution(), groups()["first_line"]) < 0.2


def test_log_odds_add_up_over_data_and_context():
    data, shown = BOOK.narrow(jax.random.key(0), 16, NARROW), groups()["lines_2"]
    process, beta = BOOK.distribution(), 0.02
    rival, own = BOOK.widths.index(9), BOOK.widths.index(NARROW)
    after = condition(process, data, beta)
    said = np.asarray(process.log_likelihoods(data)).sum(axis=1)
    context = at_masked(
        evidence_of(process, shown.tokens)[own] - evidence_of(process, shown.tokens)[rival], shown
    )
    wanted = np.log(BOOK.rarity) * (own - rival) + beta * (said[own] - said[rival]) + context
    joint = after.log_weights[:, None, None] + evidence_of(after, shown.tokens)
    np.testing.assert_allclose(at_masked(joint[own] - joint[rival], shown), wanted, atol=2e-4)


def test_a_word_beyond_the_width_is_lambda_nats():
    process, strength = BOOK.distribution(), math.log(0.95 / 0.05)
    tokens = np.zeros((1, BOOK.length), np.int32)  # one word of one character after the other
    evidence = np.asarray(evidence_of(process, jnp.asarray(tokens)))[:, 0]
    narrow, wide = evidence[BOOK.widths.index(NARROW)], evidence[BOOK.widths.index(9)]
    beyond = np.clip(np.arange(BOOK.length) - NARROW, 0, 9 - NARROW)
    np.testing.assert_allclose(wide - narrow, strength * beyond, rtol=1e-4, atol=1e-5)


# Misuse


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"widths": (5,)}, r"at least two different numbers, got \(5,\)"),
        ({"widths": (5, 5)}, r"got \(5, 5\)"),
        ({"lengths": (3,)}, r"lengths must .*got \(3,\)"),
        ({"lengths": (0, 2)}, r"from 1 up, got \(0, 2\)"),
        ({"widths": (7, 3, 2)}, r"longest word of 4 characters, got \[3, 2\]"),
        ({"length": 10}, r"at least 11, .*a line of 9 .*got 10"),
        ({"noise": 0.0}, r"between 0 and 0.5, .*got 0.0"),
        ({"noise": 0.5}, r"got 0.5"),
        ({"noise": math.nan}, r"got nan"),
        ({"rarity": 0.0}, r"rarity must be in \(0, 1\], got 0.0"),
        ({"rarity": 1.1}, r"got 1.1"),
    ],
)
def test_what_makes_no_page_is_refused(fields, sentence):
    with pytest.raises(Misuse, match=sentence):
        replace(BOOK, **fields)


def test_a_width_that_does_not_exist_is_refused():
    for ask in (
        lambda: BOOK.narrow(jax.random.key(0), 4, 6),
        lambda: BOOK.task(6).contexts(jax.random.key(0)),
    ):
        with pytest.raises(Misuse, match=r"one of \(7, 5, 9, 4\), got 6"):
            ask()


@pytest.mark.parametrize("n", [0, -2])
def test_no_documents_are_refused(n):
    with pytest.raises(Misuse, match=f"n = {n}"):
        BOOK.narrow(jax.random.key(0), n, NARROW)


@pytest.mark.parametrize("name", ["repeats", "lines"])
def test_contexts_refuse_numbers_of_them_that_make_no_sense(name):
    with pytest.raises(Misuse, match=f"{name} must be at least 1, got 0"):
        BOOK.task(NARROW, **{name: 0}).contexts(jax.random.key(0))


def test_contexts_refuse_more_lines_than_documents_hold():
    with pytest.raises(Misuse, match=r"of 9 characters .*lines_6, 8 are needed: .*longer than 20 tokens"):
        BOOK.task(NARROW, lines=9).contexts(jax.random.key(0))
