"""Mess3 and its like against enumeration in plain numpy, and against published entropy rates and geometry."""

from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Misuse
from theory.latent.hidden_markov import entropy_rate, mixed_states, myopic_entropies, stationary
from theory.probes.beliefs import state_beliefs
from theory.processes import mess3 as module
from theory.processes.mess3 import BeliefGeometry, example
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.tempered_posterior import TemperedPosterior

CONFIGS = {
    "example": example(),
    "rrxor": BeliefGeometry("rrxor", ((0.5, 0.5), (0.3, 0.9)), length=6, rarity=0.8),
    "zero_one_random": BeliefGeometry("zero_one_random", ((0.5,), (0.1,), (0.8,)), length=6),
    "golden_mean": BeliefGeometry("golden_mean", ((0.5,), (0.2,)), length=6),
    "even": BeliefGeometry("even", ((0.5,), (0.9,)), length=6),
    "slipping": BeliefGeometry("golden_mean", ((0.5,), (0.2,)), length=6, slip=0.1),
}
STUDY = BeliefGeometry()
NARROW = STUDY.settings[2]


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    weights = config.rarity ** np.arange(len(config.settings))
    return weights / weights.sum()


@cache
def sequences(config):
    return np.array(list(product(range(config.vocabulary), repeat=config.length)))


def index(config, tokens):
    return np.asarray(tokens) @ config.vocabulary ** np.arange(config.length - 1, -1, -1)


@cache
def told(config, setting, state):
    """What one step from a state may be: {(token, next state): chance}; a token that slips is any."""
    found = {}
    for (token, after), chance in told_exactly(config.family, setting, state).items():
        for shown in range(config.vocabulary):
            share = config.slip / config.vocabulary + (1 - config.slip) * (shown == token)
            found[shown, after] = found.get((shown, after), 0) + share * chance
    return {step: chance for step, chance in found.items() if chance}


def told_exactly(family, setting, state):
    """The same without slips, for each family in words of its own."""
    if family == "mess3":
        x, a = setting
        return {
            (token, after): (1 - 2 * x if after == state else x) * (a if token == after else (1 - a) / 2)
            for token in range(3)
            for after in range(3)
        }
    if family == "rrxor":  # states: nothing yet, first bit 0, first bit 1, xor is 0, xor is 1
        p, q = setting
        if state == 0:
            return {(0, 1): 1 - p, (1, 2): p}
        if state in (1, 2):
            first = state - 1
            return {(bit, 3 + (first ^ bit)): q if bit else 1 - q for bit in (0, 1)}
        return {(state - 3, 0): 1.0}
    (p,) = setting
    return {
        "zero_one_random": [{(0, 1): 1.0}, {(1, 2): 1.0}, {(0, 0): 1 - p, (1, 0): p}],
        "golden_mean": [{(0, 0): 1 - p, (1, 1): p}, {(0, 0): 1.0}],
        "even": [{(0, 0): 1 - p, (1, 1): p}, {(1, 0): 1.0}],
    }[family][state]


STATES = {"mess3": 3, "rrxor": 5, "zero_one_random": 3, "golden_mean": 2, "even": 2}


@cache
def joint(config, setting):
    """p(x, state after x), (sequences, states), by the story of every hidden path."""
    states = STATES[config.family]
    step = np.array(
        [
            [
                sum(chance for (_, to), chance in told(config, setting, state).items() if to == after)
                for after in range(states)
            ]
            for state in range(states)
        ]
    )
    values, vectors = np.linalg.eig(step.T)
    start = np.real(vectors[:, np.argmin(abs(values - 1))])
    start /= start.sum()
    table = np.zeros((len(sequences(config)), states))

    def extend(written, place, state, chance):
        """After so many tokens, which lead to this place in the list of sequences."""
        if written == config.length:
            table[place, state] += chance
            return
        for (token, after), share in told(config, setting, state).items():
            extend(written + 1, place * config.vocabulary + token, after, chance * share)

    for state in range(states):
        extend(0, 0, state, start[state])
    return table


def likelihoods(config):
    return np.array([joint(config, setting).sum(axis=1) for setting in config.settings])


def check_predictor(process, config, weights):
    """Ratios of enumerated marginals, at every prefix that can happen."""
    shape = (config.vocabulary,) * config.length
    total = weights @ likelihoods(config)
    tokens = sequences(config)[total > 0]
    got = np.exp(np.asarray(process.predict(jnp.asarray(tokens))))
    for position in range(config.length):
        marginal = total.reshape(shape).sum(axis=tuple(range(position + 1, config.length)))
        continued = marginal[tuple(tokens[:, :position].T)].reshape(-1, config.vocabulary)
        wanted = continued / continued.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(
            got[:, position], np.broadcast_to(wanted, got[:, position].shape), rtol=5e-5, atol=1e-7
        )


def chi_square(counts, exact):
    n = counts.sum()
    assert (counts[exact == 0] == 0).all()
    common = exact > 5 / n
    statistic = np.sum((counts - n * exact)[common] ** 2 / (n * exact[common]))
    freedom = max(common.sum() - 1, 1)
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(config):
    got = np.exp(np.asarray(config.distribution().log_prob(jnp.asarray(sequences(config))), float))
    np.testing.assert_allclose(got, prior(config) @ likelihoods(config), rtol=5e-5, atol=1e-9)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(config):
    check_predictor(config.distribution(), config, prior(config))


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_conditioning_against_enumeration(beta):
    config = example()
    data = config.narrow(jax.random.key(0), 3, config.settings[1])
    evidence = likelihoods(config)[:, index(config, data.tokens)].prod(axis=1)
    weights = prior(config) * evidence**beta
    process = config.distribution().condition(data, beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights / weights.sum(), rtol=1e-4)
    check_predictor(process, config, weights / weights.sum())


def test_beliefs_are_the_enumerated_mixed_states(config):
    """Before the last token: p(setting, state | prefix), from the joint of one token less."""
    short = replace(config, length=config.length - 1)
    together = np.stack(
        [weight * joint(short, own) for weight, own in zip(prior(config), short.settings, strict=True)],
        axis=1,
    )
    possible = together.sum(axis=(1, 2)) > 0
    wanted = together[possible] / together[possible].sum(axis=(1, 2), keepdims=True)
    padded = np.pad(sequences(short)[possible], ((0, 0), (0, 1)))
    got = state_beliefs(config.distribution(), jnp.asarray(padded))
    assert got.shape == (*padded.shape, len(config.settings), STATES[config.family])
    np.testing.assert_allclose(got[:, -1], wanted, atol=2e-6)


def test_samples_come_as_often_as_enumerated(config):
    tokens = jax.jit(config.distribution().sample, static_argnums=1)(jax.random.key(1), 20_000)
    exact = prior(config) @ likelihoods(config)
    chi_square(np.bincount(index(config, tokens), minlength=len(exact)), exact)


def test_the_vocabulary_and_all_that_counts():
    assert [name for name, config in CONFIGS.items() if config.rules_out()] == [
        *("rrxor", "zero_one_random", "golden_mean", "even")
    ]
    assert (STUDY.vocabulary, STUDY.length, STUDY.answer_tokens) == (3, 20, slice(0, 3))
    assert len(STUDY.token_names()) == 3 and STUDY.answer_mask().all()
    assert [CONFIGS[name].vocabulary for name in ("rrxor", "even")] == [2, 2]


# The outside check: numbers of others, quoted in the module


def test_mess3_at_its_published_parameters_has_the_published_entropy_rate():
    low, high = entropy_rate(module.mess3(0.05, 0.85), 10)
    assert 0 < high - low < 1e-6
    assert round(low, 4) == round(high, 4) == 0.7935


def test_mess3_at_its_published_parameters_has_the_published_matrices():
    """T^A of arXiv 2405.15943 for x = 0.05, a = 0.85, and the two others by symmetry."""
    first = np.array([[0.765, 0.00375, 0.00375], [0.0425, 0.0675, 0.00375], [0.0425, 0.00375, 0.0675]])
    table = module.mess3(0.05, 0.85)
    for token in range(3):
        np.testing.assert_allclose(table[token], np.roll(first, (token, token), axis=(0, 1)), atol=1e-12)


def test_rrxor_at_its_published_parameters_has_36_mixed_states_and_the_published_entropies():
    table = module.rrxor(0.5, 0.5)
    start = stationary(table)
    assert len(mixed_states(table, start, 12)) == len(mixed_states(table, start, 16)) == 36
    assert round(myopic_entropies(table, start, 10)[1:].mean(), 4) == 0.5782
    low, high = entropy_rate(table, 60)
    assert round(low, 4) == round(high, 4) == 0.4621
    np.testing.assert_allclose([low, high], 2 / 3 * np.log(2), atol=2e-6)


def chance_and_belief(family, setting, shown):
    """p(shown), and the belief over states after it, by the library."""
    geometry = BeliefGeometry(family, (setting, tuple(number / 2 for number in setting)), length=6)
    alone = geometry.distribution().with_log_weights(jnp.asarray([0.0, -jnp.inf]))
    tokens = np.zeros((1, 6), np.int32)
    tokens[0, : len(shown)] = shown
    following = np.exp(np.asarray(alone.predict(jnp.asarray(tokens)), float))[0]
    chance = np.prod([following[position, token] for position, token in enumerate(shown)])
    return chance, np.asarray(state_beliefs(alone, tokens))[0, len(shown), 0]


@pytest.mark.parametrize(
    ("family", "setting", "shown", "chance", "belief"),
    [
        # the golden tree of simplexity (Astera-org), as the specification quotes it
        ("mess3", (0.15, 0.6), (0,), 1 / 3, (0.6, 0.2, 0.2)),
        ("mess3", (0.15, 0.6), (0, 0), 0.1306667, (0.7346939, 0.1326531, 0.1326531)),
        # by hand: stationary (2, 1, 1, 1, 1) / 6; after 0 the next is the xor, which tells bit or phase
        ("rrxor", (0.5, 0.5), (0,), 1 / 2, (1 / 3, 1 / 3, 0, 1 / 6, 1 / 6)),
        ("rrxor", (0.5, 0.5), (0, 0), 1 / 4, (1 / 3, 1 / 3, 0, 1 / 3, 0)),
        ("rrxor", (0.5, 0.5), (0, 1), 1 / 4, (1 / 3, 0, 1 / 3, 0, 1 / 3)),
    ],
)
def test_beliefs_after_one_and_two_tokens_are_the_golden_ones(family, setting, shown, chance, belief):
    got = chance_and_belief(family, setting, shown)
    np.testing.assert_allclose(got[0], chance, atol=1e-7)
    np.testing.assert_allclose(got[1], belief, atol=1e-7)


@pytest.mark.parametrize(
    ("family", "bits"), [("zero_one_random", 1 / 3), ("golden_mean", 2 / 3), ("even", 2 / 3)]
)
def test_small_processes_have_their_textbook_rates(family, bits):
    table, _ = module.FAMILIES[family]
    low, high = entropy_rate(table(0.5), 60)
    np.testing.assert_allclose([low, high], bits * np.log(2), atol=1e-6)


def test_mixed_states_of_mess3_fill_a_triangle_without_end():
    """As many as there are sequences, and symmetric: to relabel tokens is to relabel states."""
    table = module.mess3(0.05, 0.85)
    states = mixed_states(table, stationary(table), 6)
    assert len(states) == sum(3**length for length in range(7))
    turned = np.roll(states, 1, axis=1)
    gaps = np.abs(states[:, None] - turned[None]).max(axis=-1).min(axis=1)
    assert gaps.max() < 1e-8


# D' and contexts


def test_narrow_comes_as_often_as_its_setting_says():
    config = CONFIGS["rrxor"]
    data = config.narrow(jax.random.key(2), 4_000, config.settings[1])
    exact = joint(config, config.settings[1]).sum(axis=1)
    chi_square(np.bincount(index(config, data.tokens), minlength=len(exact)), exact)
    assert data.mask.all() and data.tokens.shape == (4_000, 6)


def test_narrow_may_be_of_a_setting_that_is_no_member():
    data = example().narrow(jax.random.key(2), 4_000, (0.2, 0.95))
    exact = joint(example(), (0.2, 0.95)).sum(axis=1)
    chi_square(np.bincount(index(example(), data.tokens), minlength=len(exact)), exact)


def test_narrow_follows_its_key():
    first = STUDY.narrow(jax.random.key(0), 30, NARROW).tokens
    np.testing.assert_array_equal(first, STUDY.narrow(jax.random.key(0), 30, NARROW).tokens)
    assert (first != STUDY.narrow(jax.random.key(1), 30, NARROW).tokens).any()


def test_contexts_are_what_they_promise():
    groups = STUDY.task(NARROW, repeats=300).contexts(jax.random.key(3))
    assert list(groups) == ["in_domain", "held_out", "early", "switch"]
    position = np.arange(20)
    wanted = [(300, position > 0), (600, position >= 10), (600, (position > 0) & (position < 5))]
    for data, (rows, where) in zip(groups.values(), [*wanted, wanted[1]], strict=True):
        np.testing.assert_array_equal(data.mask, np.broadcast_to(where, (rows, 20)))
    tokens = {name: np.asarray(data.tokens) for name, data in groups.items()}
    np.testing.assert_array_equal(tokens["held_out"], tokens["early"])
    np.testing.assert_array_equal(tokens["switch"][:, :10], tokens["held_out"][:, :10])

    def repeats(rows):
        return np.mean(rows[:, 1:] == rows[:, :-1])

    # p(x_t = x_(t-1)) of a setting: Σ_ij p(i) T(i → j) [a token shown twice]
    def wanted_repeats(setting):
        table = module.mess3(*setting)
        return sum(stationary(table) @ table[token] @ table[token].sum(axis=1) for token in range(3))

    told = [wanted_repeats(setting) for setting in STUDY.settings]
    assert abs(repeats(tokens["in_domain"]) - told[2]) < 0.03
    assert abs(repeats(tokens["held_out"][:300]) - told[0]) < 0.03
    assert abs(repeats(tokens["held_out"][300:]) - told[1]) < 0.03
    assert abs(repeats(tokens["switch"][:, 10:]) - told[2]) < 0.03
    assert np.ptp(told) > 0.3


def test_elicitation_contexts_are_every_short_prefix_that_can_happen():
    data = STUDY.elicitation_contexts()
    assert data.tokens.shape == (1 + 3 + 9, 20)
    shown = [
        tuple(row[: mark.argmax()].tolist())
        for row, mark in zip(np.asarray(data.tokens), np.asarray(data.mask), strict=True)
    ]
    assert set(shown) == {prefix for length in range(3) for prefix in product(range(3), repeat=length)}
    assert (np.asarray(data.mask).sum(axis=1) == 1).all()
    # 1s never twice in a row
    golden = CONFIGS["golden_mean"].elicitation_contexts()
    assert golden.tokens.shape[0] == 1 + 2 + 3
    belief = np.exp(
        STUDY.distribution().log_weights[:, None, None] + STUDY.distribution().evidence(data.tokens)
    )
    told = (belief / belief.sum(axis=0))[:, np.asarray(data.mask)]
    assert np.abs(told - prior(STUDY)[:, None]).max() < 0.35


# The exact Bayes facts of the docstring


def test_one_setting_for_all_of_the_data_is_undone_by_no_context_and_one_a_document_is():
    """64 documents at β = 1, then contexts of another setting: what setting is believed at the end."""
    process, other = STUDY.distribution(), STUDY.settings[0]
    data = STUDY.narrow(jax.random.key(0), 64, NARROW)
    contexts = STUDY.narrow(jax.random.key(1), 200, other).tokens

    def believed(theory):
        moved = theory.predict(process, data, 1.0)
        return np.asarray(state_beliefs(moved, contexts))[:, -1].sum(axis=-1).mean(axis=0)

    assert believed(TemperedPosterior())[2] > 0.999
    assert believed(ExchangeableMixture())[2] < 0.1
    # and evidence for the setting is the likelihood, so the log-odds are prior + data - context
    tempered = TemperedPosterior().predict(process, data, 0.01)
    odds = np.asarray(tempered.posterior(contexts))[:, 2] - np.asarray(tempered.posterior(contexts))[:, 0]
    every = np.asarray(process.log_likelihoods(data)).sum(axis=1)
    read = np.asarray(jax.vmap(lambda member: member.log_prob(contexts))(process.components))
    wanted = np.log(prior(STUDY)[2] / prior(STUDY)[0]) + 0.01 * (every[2] - every[0]) + read[2] - read[0]
    np.testing.assert_allclose(odds, wanted, atol=2e-3)


def test_finetuning_moves_no_mixed_state_within_a_setting():
    process = STUDY.distribution()
    data = STUDY.narrow(jax.random.key(0), 8, NARROW)
    contexts = STUDY.narrow(jax.random.key(1), 10, STUDY.settings[0]).tokens
    before, after = (
        np.asarray(state_beliefs(member, contexts)) for member in (process, process.condition(data, 0.01))
    )
    within = [each / each.sum(axis=-1, keepdims=True) for each in (before, after)]
    np.testing.assert_allclose(*within, atol=1e-4)
    assert np.abs(before - after).max() > 0.1


# Misuse


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"family": "mess4"}, "family must be one of .* got 'mess4'"),
        ({"settings": ((0.05, 0.85),)}, "at least two, all different, got"),
        ({"settings": ((0.05, 0.85), (0.05, 0.85))}, "at least two, all different, got"),
        (
            {"settings": ((0.05, 0.85), (0.5, 0.85))},
            "x of mess3 must be between 0 and 0.5, both left out, got 0.5",
        ),
        (
            {"settings": ((0.05, 0.85), (0.1, 1.0))},
            "a of mess3 must be between 0 and 1, both left out, got 1.0",
        ),
        ({"settings": ((0.05, 0.85), (0.1,))}, r"numbers \('x', 'a'\), got \(0.1,\)"),
        ({"length": 2}, "length must be at least 3, got 2"),
        ({"rarity": 0.0}, r"rarity must be in \(0, 1\], got 0.0"),
    ],
)
def test_what_makes_no_process_is_refused(fields, sentence):
    with pytest.raises(Misuse, match=sentence):
        BeliefGeometry(**fields)


def test_calls_that_make_no_sense_are_refused():
    with pytest.raises(Misuse, match="at least one document, got n = 0"):
        STUDY.narrow(jax.random.key(0), 0, NARROW)
    with pytest.raises(Misuse, match=r"between 0 and 0\.5, both left out, got 0\.7"):
        STUDY.narrow(jax.random.key(0), 2, (0.7, 0.5))
    with pytest.raises(Misuse, match="repeats must be at least 1, got 0"):
        STUDY.task(NARROW, repeats=0).contexts(jax.random.key(0))
