"""The hidden coin against enumeration of every sequence in plain numpy, and its conjugate oracle."""

from dataclasses import replace
from functools import cache
from itertools import product
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse
from theory.processes.out_of_context import OutOfContext, example

CONFIGS = {
    "example": example(),
    "two": OutOfContext(
        biases=(0.7, 0.05),
        tosses=(1, 1),
        prior_heads=2.5,
        prior_tails=0.5,
        pairs=2,
        reports=0.6,
        reliability=0.55,
        slip=0.1,
    ),
}
DEFAULT = OutOfContext()
# coins all but two-sided alike, so that a document shows who wrote it
SURE = OutOfContext(biases=(1e-9, 1 - 1e-9, 0.5), tosses=(2, 1, 3, 4), pairs=5, reliability=1 - 1e-9)
predict, log_prob, posterior = (
    jax.jit(lambda process, *rest, name=name: getattr(process, name)(*rest))
    for name in ("predict", "log_prob", "posterior")
)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    theta = np.array(config.biases)
    weights = theta ** (config.prior_heads - 1) * (1 - theta) ** (config.prior_tails - 1)
    return weights / weights.sum()


def vocabulary(config):
    """What each token is: a cue, (format, heads), or a name."""
    cues = [("cue", cue) for cue in range(len(config.tosses) + 1)]
    heads = [(f, h) for f, tosses in enumerate(config.tosses) for h in range(tosses + 1)]
    return cues + heads + [("name", z) for z in range(len(config.biases))]


@cache
def chances(config):
    """p(token | cue before it, z), shape (coins, cues, tokens); of cues themselves 0."""
    formats, coins = len(config.tosses), len(config.biases)
    table = np.zeros((coins, formats + 1, len(vocabulary(config))))
    for z, theta in enumerate(config.biases):
        for token, (kind, value) in enumerate(vocabulary(config)):
            if kind == "name":
                wrong = (1 - config.reliability) / (coins - 1)
                table[z, formats, token] = config.reliability if value == z else wrong
            elif kind != "cue":
                tails = config.tosses[kind] - value
                table[z, kind, token] = comb(value + tails, value) * theta**value * (1 - theta) ** tails
        for cue in range(formats + 1):
            own = table[z, cue] > 0
            strays = [token for token in range(formats + 1, table.shape[2]) if not own[token]]
            table[z, cue, own] *= 1 - config.slip
            table[z, cue, strays] = config.slip / len(strays)
    return table


@cache
def sequences(config):
    """Every string of tokens of a document's length, possible or not."""
    return np.array(list(product(range(len(vocabulary(config))), repeat=2 * config.pairs)))


def likelihood(config, z, tokens, counted=None):
    """p(x | z), position by position."""
    formats = len(config.tosses)
    cue = np.zeros(len(vocabulary(config)))
    cue[:formats], cue[formats] = (1 - config.reports) / formats, config.reports
    value = np.ones(len(tokens))
    for position in range(tokens.shape[1]):
        if position % 2 == 0:
            factor = cue[tokens[:, position]]
        else:
            asked = tokens[:, position - 1]
            factor = chances(config)[z, np.minimum(asked, formats), tokens[:, position]]
            factor = np.where(asked <= formats, factor, 0.0)
        value = value * (factor if counted is None else np.where(counted[:, position], factor, 1.0))
    return value


@cache
def components(config):
    return np.array([likelihood(config, z, sequences(config)) for z in range(len(config.biases))])


def joint(config, weights=None):
    return (prior(config) if weights is None else weights)[:, None] * components(config)


# The process


def test_probabilities_are_the_enumerated_ones_and_sum_to_one(config):
    got = np.exp(np.asarray(log_prob(config.distribution(), jnp.asarray(sequences(config)))))
    np.testing.assert_allclose(got, joint(config).sum(axis=0), rtol=3e-5, atol=1e-12)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-5)


def test_predictor_is_the_ratio_of_enumerated_marginals(config, check_predictor):
    check_predictor(
        config.distribution(),
        config.vocabulary,
        sequences(config),
        joint(config, prior(config)).sum(axis=0),
        rtol=3e-5,
        atol=1e-7,
    )


def test_posterior_is_bayes(config):
    together = joint(config)
    possible = together.sum(axis=0) > 0
    wanted = (together[:, possible] / together[:, possible].sum(axis=0)).T
    got = posterior(config.distribution(), jnp.asarray(sequences(config)[possible]))
    np.testing.assert_allclose(np.exp(got), wanted, rtol=3e-5)


@pytest.mark.parametrize("beta", [0.0, 0.4, 3.0])
def test_conditioning_against_enumeration(config, beta, check_predictor):
    random = np.random.default_rng(3)
    tokens = sequences(config)[random.choice(len(sequences(config)), 4, p=joint(config).sum(axis=0))]
    mask = random.random(tokens.shape) < 0.7
    evidence = [likelihood(config, z, tokens, mask).prod() for z in range(len(config.biases))]
    weights = prior(config) * np.array(evidence) ** beta
    weights /= weights.sum()
    process = config.distribution().condition(Dataset(jnp.asarray(tokens), jnp.asarray(mask)), beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, rtol=1e-4, atol=1e-9)
    check_predictor(
        process,
        config.vocabulary,
        sequences(config),
        joint(config, weights).sum(axis=0),
        rtol=3e-5,
        atol=1e-7,
    )


def test_a_member_scores_documents_as_enumerated(config):
    for z in range(len(config.biases)):
        got = np.exp(log_prob(config.distribution().component(z), jnp.asarray(sequences(config))))
        np.testing.assert_allclose(got, components(config)[z], rtol=3e-5, atol=1e-12)


def test_samples_come_as_often_as_enumerated(config):
    n = 20_000
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


def test_sizes_of_the_vocabulary():
    assert (DEFAULT.vocabulary, DEFAULT.length, DEFAULT.answer_tokens) == (17, 12, slice(4, 17))
    assert [DEFAULT.tokens_of(cue) for cue in range(4)] == [
        slice(4, 6), slice(6, 8), slice(8, 12), slice(12, 17)
    ]  # fmt: skip
    assert DEFAULT.report == 3 and DEFAULT.names == 5
    assert np.flatnonzero(DEFAULT.answer_mask()).tolist() == [1, 3, 5, 7, 9, 11]


def test_every_token_has_a_name():
    words = DEFAULT.token_names()
    assert len(set(words)) == len(words) == DEFAULT.vocabulary
    assert words[:4] == ("format 0", "format 1", "format 2", "which coin?")
    assert words[DEFAULT.tokens_of(2)] == tuple(f"{heads}/3 f2" for heads in range(4))
    assert words[DEFAULT.tokens_of(DEFAULT.report)] == tuple(f"coin {coin}" for coin in range(5))


# The conjugate oracle


@pytest.mark.parametrize("beta", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("format", [0, 2])
def test_the_tempered_posterior_is_beta_distributed_on_the_grid(beta, format):
    config = replace(DEFAULT, prior_heads=1.7)
    data = config.narrow(jax.random.key(4), 9, 3, format)
    heads = np.asarray(data.tokens)[:, 1::2] - {0: 4, 2: 8}[format]
    h, t = heads.sum(), heads.size * config.tosses[format] - heads.sum()
    assert config.counts(data) == (h, t)
    theta = np.array(config.biases)
    wanted = theta ** (1.7 + beta * h - 1) * (1 - theta) ** (2.0 + beta * t - 1)
    wanted /= wanted.sum()
    np.testing.assert_allclose(np.exp(config.log_belief(beta * h, beta * t)), wanted, rtol=1e-9)
    got = config.distribution().condition(data, beta)
    np.testing.assert_allclose(np.exp(got.log_weights), wanted, rtol=3e-5, atol=1e-9)


def test_a_fine_grid_has_the_mean_of_the_beta_distribution():
    config = OutOfContext(biases=tuple(np.linspace(0.0005, 0.9995, 1000).tolist()))
    for heads, tails in ((0, 0), (7, 2), (3.4, 30.5)):
        weights = np.exp(config.log_belief(heads, tails))
        wanted = (1 + heads) / (3 + heads + tails)  # (a + βh) / (a + b + βn)
        np.testing.assert_allclose(weights @ np.array(config.biases), wanted, atol=1e-6)


def test_counts_take_all_formats_and_only_what_the_mask_counts():
    #                 format 0, one head; format 2, two of three; the name of coin 4; format 1, no head
    tokens = jnp.asarray([[0, 5, 2, 10, 3, 16, 1, 6, 0, 5, 0, 5]])
    mask = np.zeros((1, 12), bool)
    mask[0, [1, 3, 5, 7]] = True
    assert DEFAULT.counts(Dataset(tokens, jnp.asarray(mask))) == (1 + 2 + 0, 0 + 1 + 1)


def told(process, data):
    """Probabilities over answer tokens at the masked positions, and the cues they answer."""
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    probs = np.exp(np.asarray(predict(process, data.tokens))[mask])[:, DEFAULT.answer_tokens]
    return probs, tokens[np.arange(len(tokens)), mask.argmax(axis=1) - 1].tolist()


@pytest.mark.parametrize("beta", [0.0, 0.02, 0.1, 1.0])
def test_said_and_done_move_together(beta):
    """After D' of one format, the self-report and each format imply the same bias: Σ w θ."""
    process = DEFAULT.distribution().condition(DEFAULT.narrow(jax.random.key(1), 20, 4, 0), beta)
    weights = np.exp(np.asarray(process.log_weights, float))
    probs, cues = told(process, DEFAULT.elicitation_contexts())
    for row, cue in zip(probs, cues, strict=True):
        np.testing.assert_allclose(
            DEFAULT.expected_bias(row[None], cue), weights @ np.array(DEFAULT.biases), rtol=1e-5
        )
    wrong = 0.1 / 4
    np.testing.assert_allclose(probs[3, -5:], wrong + (0.9 - wrong) * weights, rtol=1e-5)


def test_slips_say_nothing_of_the_coin_and_leave_both_readings():
    config = replace(DEFAULT, slip=0.2)
    #                 format 0 in the words of format 1, of names, and of its own; a name in words of format 2
    tokens = jnp.asarray([[0, 7, 0, 16, 0, 5, 3, 11, 0, 4, 0, 5]])
    data = Dataset(tokens, jnp.asarray(config.answer_mask()[None]))
    assert config.counts(data) == (2, 1)
    process = config.distribution().condition(data, 1.0)
    np.testing.assert_allclose(process.log_weights, config.log_belief(2, 1), rtol=1e-4)
    probs, cues = told(process, config.elicitation_contexts())
    wanted = np.exp(config.log_belief(2, 1)) @ np.array(config.biases)
    for row, cue in zip(probs, cues, strict=True):
        np.testing.assert_allclose(config.expected_bias(row[None], cue), wanted, rtol=1e-5)
    np.testing.assert_allclose(probs[3, :-5], 0.2 / 8, rtol=1e-5)


def test_said_and_done_agree_after_any_context():
    process = DEFAULT.distribution()
    shown = np.concatenate([DEFAULT.narrow(jax.random.key(3), 10, z, z % 3).tokens for z in range(5)])[:, :6]
    biases = []
    for cue in range(4):
        tokens = np.concatenate([shown, np.full((50, 1), cue), np.zeros((50, 5), int)], axis=1)
        mask = np.broadcast_to(np.arange(12) == 7, tokens.shape)
        probs, _ = told(process, Dataset(jnp.asarray(tokens), jnp.asarray(mask)))
        biases.append(DEFAULT.expected_bias(probs, cue))
    np.testing.assert_allclose(biases, np.tile(biases[0], (4, 1)), atol=2e-6)
    assert np.ptp(biases[0]) > 0.3


def test_draws_of_one_format_name_the_coin_and_change_the_others():
    process = DEFAULT.distribution()
    groups = DEFAULT.task(4, 0).contexts(jax.random.key(0))
    before = told(process, groups["held_out"])[0][0, -1]
    np.testing.assert_allclose(before, 0.025 + 0.875 * 0.04, rtol=1e-5)
    for key in range(5):
        data = DEFAULT.narrow(jax.random.key(key), 64, 4, 0)
        after = process.condition(data, 1.0)
        np.testing.assert_allclose(told(after, groups["held_out"])[0][0, -1], 0.9, rtol=1e-4)
        probs, cues = told(after, groups["other_format"])
        assert cues == [1, 2]
        for row, cue in zip(probs, cues, strict=True):
            np.testing.assert_allclose(DEFAULT.expected_bias(row[None], cue), 0.9, rtol=1e-4)


# D'


def test_narrow_draws_one_coin_in_one_format():
    for coin, heads in ((0, 0), (1, 3)):
        data = SURE.narrow(jax.random.key(0), 30, coin, 2)
        tokens = np.asarray(data.tokens)
        assert (tokens[:, ::2] == 2).all()
        assert (tokens[:, 1::2] == SURE.tokens_of(2).start + heads).all()
        np.testing.assert_array_equal(data.mask, np.tile([False, True], (30, 5)))


def test_narrow_draws_heads_as_often_as_the_coin():
    n = 3000
    tokens = np.asarray(DEFAULT.narrow(jax.random.key(2), n, 3, 2).tokens)
    counts = np.bincount((tokens[:, 1::2] - 8).reshape(-1), minlength=4)
    p, total = np.array([0.027, 0.189, 0.441, 0.343]), n * 6
    assert len(counts) == 4
    assert (np.abs(counts - total * p) < 4 * np.sqrt(total * p * (1 - p))).all()


def test_narrow_follows_its_key():
    first = DEFAULT.narrow(jax.random.key(0), 30, 3, 1).tokens
    np.testing.assert_array_equal(first, DEFAULT.narrow(jax.random.key(0), 30, 3, 1).tokens)
    assert (first != DEFAULT.narrow(jax.random.key(1), 30, 3, 1).tokens).any()


# Contexts


REPEATS, SHOTS, COIN, FORMAT = 8, 3, 1, 2


@pytest.fixture(scope="module")
def groups():
    return SURE.task(COIN, FORMAT, repeats=REPEATS, shots=SHOTS).contexts(jax.random.key(5))


def asked(data):
    """Position of the answer and the cue before it, of contexts with one answer each."""
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    assert (mask.sum(axis=1) == 1).all()
    position = mask.argmax(axis=1)
    return position, tokens[np.arange(len(tokens)), position - 1]


def test_the_groups_are_whole_documents_in_order(groups):
    assert list(groups) == ["in_domain", "held_out", "other_format", "conflict", "renamed"]
    for data in groups.values():
        assert data.tokens.shape == data.mask.shape
        assert data.tokens.shape[1] == SURE.length
        assert ((data.tokens >= 0) & (data.tokens < SURE.vocabulary)).all()


def test_in_domain_is_fresh_and_like_the_data():
    data = DEFAULT.task(2, 0, repeats=REPEATS).contexts(jax.random.key(5))["in_domain"]
    tokens = np.asarray(data.tokens)
    assert tokens.shape[0] == 4 * REPEATS and (tokens[:, ::2] == 0).all()
    assert set(tokens[:, 1::2].reshape(-1).tolist()) == {4, 5}
    np.testing.assert_array_equal(data.mask, np.tile(DEFAULT.answer_mask(), (4 * REPEATS, 1)))
    assert (DEFAULT.narrow(jax.random.key(5), 4 * REPEATS, 2, 0).tokens != tokens).any()


def test_held_out_is_the_name_and_other_formats_are_the_rest_asked_first(groups):
    for group, cues in (("held_out", [4]), ("other_format", [0, 1, 3])):
        position, cue = asked(groups[group])
        assert (position == 1).all()
        np.testing.assert_array_equal(cue, cues)


def test_conflict_asks_the_name_after_draws_of_the_other_coins_in_turn():
    config = replace(SURE, biases=(1e-9, 0.5, 1 - 1e-9))
    data = config.task(COIN, FORMAT, repeats=REPEATS, shots=SHOTS).contexts(jax.random.key(5))["conflict"]
    position, cue = asked(data)
    assert len(position) == 2 * REPEATS and (position == 2 * SHOTS + 1).all() and (cue == 4).all()
    shown = np.asarray(data.tokens)[:, : 2 * SHOTS]
    formats, answers = shown[:, ::2], shown[:, 1::2]
    assert set(formats.reshape(-1).tolist()) == {0, 1, 2, 3}
    first = np.array([config.tokens_of(f).start for f in range(4)])[formats]
    all_heads = np.array(config.tosses)[formats]
    np.testing.assert_array_equal(answers[::2], first[::2])  # coin 0 shows tails alone
    np.testing.assert_array_equal(answers[1::2], (first + all_heads)[1::2])  # coin 2 heads alone


def test_renamed_asks_every_format_after_every_other_name(groups):
    data = groups["renamed"]
    position, cue = asked(data)
    assert (position == 3).all()
    tokens, name = np.asarray(data.tokens), SURE.tokens_of(4).start
    assert (tokens[:, 0] == 4).all()
    np.testing.assert_array_equal(tokens[:, 1] - name, np.repeat([0, 2], 4))
    np.testing.assert_array_equal(cue, np.tile(range(4), 2))


def test_contexts_are_shortened_to_fit_a_document():
    longest, longer = (
        SURE.task(COIN, FORMAT, shots=shots).contexts(jax.random.key(5))["conflict"] for shots in (4, 9)
    )
    np.testing.assert_array_equal(longest.tokens, longer.tokens)
    assert (asked(longest)[0] == SURE.length - 1).all()


def test_no_shots_are_the_name_asked_first():
    data = SURE.task(COIN, FORMAT, repeats=1, shots=0).contexts(jax.random.key(5))
    np.testing.assert_array_equal(data["conflict"].tokens, np.tile(data["held_out"].tokens, (2, 1)))


def test_elicitation_contexts_ask_every_cue_first():
    position, cue = asked(SURE.elicitation_contexts())
    assert (position == 1).all()
    np.testing.assert_array_equal(cue, range(5))


# Misuse


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("biases", (0.5,), r"biases must be at least 2 .* got \(0.5,\)"),
        ("biases", (0.0, 0.5), "strictly between 0 and 1"),
        ("biases", (0.5, 1.0), "strictly between 0 and 1"),
        ("biases", (0.5, np.nan), "strictly between 0 and 1"),
        ("biases", (0.5, 0.2, 0.5), r"differ from each other, got \(0.5, 0.2, 0.5\)"),
        ("tosses", (2,), r"at least 2 formats .* got \(2,\)"),
        ("tosses", (1, 0), r"at least 1 toss each, got \(1, 0\)"),
        ("prior_heads", 0.0, "prior_heads must be finite and above 0, got 0.0"),
        ("prior_tails", np.inf, "prior_tails must be finite and above 0, got inf"),
        ("slip", -0.1, "slip must be at least 0 and below 1, got -0.1"),
        ("slip", 1.0, "got 1.0"),
        ("pairs", 1, "pairs must be at least 2, got 1"),
        ("reports", 0.0, "reports must lie strictly between 0 and 1, got 0.0"),
        ("reports", 1.0, "got 1.0"),
        ("reliability", 0.2, r"reliability must be above 1/5 \(chance\) and below 1, got 0.2"),
        ("reliability", 1.0, "got 1.0"),
    ],
)
def test_parameters_that_make_no_process_are_refused(field, value, sentence):
    with pytest.raises(Misuse, match=sentence):
        OutOfContext(**{field: value})


@pytest.mark.parametrize(
    ("coin", "format", "sentence"),
    [
        (5, 0, "coin must be from 0 to 4, got 5"),
        (-1, 0, "got -1"),
        (0, 3, r"format must be from 0 to 2 \(D' holds draws, and no report\), got 3"),
        (0, -1, "got -1"),
    ],
)
def test_coins_and_formats_that_do_not_exist_are_refused(coin, format, sentence):
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.narrow(jax.random.key(0), 4, coin, format)
    with pytest.raises(Misuse, match=sentence):
        DEFAULT.task(coin, format).contexts(jax.random.key(0))


@pytest.mark.parametrize("n", [0, -3])
def test_no_documents_are_refused(n):
    with pytest.raises(Misuse, match=f"n = {n}"):
        DEFAULT.narrow(jax.random.key(0), n, 0, 0)


@pytest.mark.parametrize(("name", "value"), [("repeats", 0), ("shots", -1)])
def test_contexts_refuse_numbers_of_them_that_make_no_sense(name, value):
    with pytest.raises(Misuse, match=f"{name} must be at least .* got {value}"):
        DEFAULT.task(3, 0, **{name: value}).contexts(jax.random.key(0))
