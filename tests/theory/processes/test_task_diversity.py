"""Regression in context against enumeration in plain numpy, and against the Gaussian."""

import math
from dataclasses import replace
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Misuse
from theory.processes.task_diversity import TaskDiversity, example

CONFIGS = {
    "example": example(),
    "bins": TaskDiversity(tasks=3, inputs=2, bins=3, pairs=2, noise=0.5, spacing=0.4, seed=4),
}
LONG = TaskDiversity()
predict, log_prob, posterior, condition = (
    jax.jit(lambda process, *rest, name=name: getattr(process, name)(*rest))
    for name in ("predict", "log_prob", "posterior", "condition")
)
sample = jax.jit(lambda process, key, n: process.sample(key, n), static_argnums=2)


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def prior(config):
    known = config.rarity ** np.arange(config.tasks)
    return np.append((1 - config.fresh) * known / known.sum(), config.fresh)


@cache
def sequences(config):
    return np.array(list(product(range(config.vocabulary), repeat=config.length)))


def chance(config, weights, x, b):
    """p(bin b | x, w) from the normal's distribution function."""
    angle = math.pi * x / config.inputs
    mean = weights[0] * math.cos(angle) + weights[1] * math.sin(angle)
    edges = [-math.inf, *(4 * (i / config.bins - 0.5) for i in range(1, config.bins)), math.inf]
    low, high = ((edge - mean) / config.noise / math.sqrt(2) for edge in edges[b : b + 2])
    return (math.erf(high) - math.erf(low)) / 2


def chances(config, weights):
    return np.array(
        [[chance(config, weights, x, b) for b in range(config.bins)] for x in range(config.inputs)]
    )


@cache
def measure(config, reach=5.0):
    """The tables and weights of a new task: w on the grid, by a plain double loop."""
    steps = int(reach / config.spacing)
    grid = [i * config.spacing for i in range(-steps, steps + 1)]
    points = [w for w in product(grid, grid) if w[0] ** 2 + w[1] ** 2 <= reach**2]
    weights = np.exp([-(w[0] ** 2 + w[1] ** 2) / 2 for w in points])
    return np.array([chances(config, w) for w in points]), weights / weights.sum()


@cache
def likelihoods(config):
    tokens, inputs = sequences(config), config.inputs
    fits = (tokens[:, ::2] < inputs).all(axis=1) & (tokens[:, 1::2] >= inputs).all(axis=1)
    x, b = (np.where(fits[:, None], part, 0) for part in (tokens[:, ::2], tokens[:, 1::2] - inputs))
    opened = fits * float(inputs) ** -config.pairs
    known = [opened * np.prod(chances(config, w)[x, b], axis=1) for w in config.weights()[: config.tasks]]
    tables, weights = measure(config)
    return np.array([*known, opened * (weights @ np.prod(tables[:, x, b], axis=-1))])


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
    together = prior(config)[:, None] * likelihoods(config)
    possible = together.sum(axis=0) > 0
    wanted = (together[:, possible] / together[:, possible].sum(axis=0)).T
    got = posterior(config.distribution(), jnp.asarray(sequences(config)[possible]))
    np.testing.assert_allclose(np.exp(got), wanted, rtol=5e-5, atol=1e-8)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_conditioning_against_enumeration(config, beta, check_predictor):
    data = config.narrow(jax.random.key(0), 2, config.tasks, [1])
    rows = np.asarray(data.tokens) @ config.vocabulary ** np.arange(config.length - 1, -1, -1)
    evidence = np.prod(likelihoods(config)[:, rows] * float(config.inputs) ** config.pairs, axis=1)
    weights = prior(config) * evidence**beta
    weights /= weights.sum()
    process = condition(config.distribution(), data, beta)
    np.testing.assert_allclose(np.exp(process.log_weights), weights, rtol=5e-5)
    check_predictor(
        process, config.vocabulary, sequences(config), weights @ likelihoods(config), rtol=5e-5, atol=1e-7
    )


def test_samples_come_as_often_as_enumerated(config):
    n = 20_000
    tokens = np.asarray(sample(config.distribution(), jax.random.key(1), n))
    index = tokens @ config.vocabulary ** np.arange(config.length - 1, -1, -1)
    exact = prior(config) @ likelihoods(config)
    counts = np.bincount(index, minlength=len(exact))
    assert (counts[exact == 0] == 0).all()
    exact, counts = exact[exact > 0], counts[exact > 0]
    rare = exact < 5 / n
    assert abs(counts[rare].sum() - n * exact[rare].sum()) < 4 * np.sqrt(n * exact[rare].sum()) + 1
    statistic = np.sum((counts - n * exact)[~rare] ** 2 / (n * exact[~rare]))
    freedom = (~rare).sum() - 1
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_chances_are_exact_in_both_tails():
    far = np.array([[-4.9, 0.0], [4.9, 0.0], [0.3, -0.7]])
    logs = LONG.log_chances(far)
    np.testing.assert_allclose(np.exp(logs).sum(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(logs[0], logs[1][:, ::-1], rtol=1e-12)  # mirrored
    z = (1.5 + 4.9) / 0.6  # Φ(-z) to its second term: φ(z)/z (1 - 1/z²)
    tail = -(z**2) / 2 - math.log(z * math.sqrt(2 * math.pi)) + math.log1p(-1 / z**2)
    np.testing.assert_allclose(logs[0, 0, -1], tail, atol=4 / z**4)
    np.testing.assert_allclose(np.exp(logs[2]), chances(LONG, far[2]), atol=1e-14)


def exact_bins(tables, weights, process, tokens):
    """p(bin | pairs before, x) of a new task in float64, shape (n, pairs, bins)."""
    told, belief = [], np.tile(weights, (len(tokens), 1))
    for pair in range(process.pairs):
        x, b = tokens[:, 2 * pair], tokens[:, 2 * pair + 1] - process.inputs
        belief /= belief.sum(axis=1, keepdims=True)
        told.append(np.einsum("ns,snb->nb", belief, tables[:, x]))
        belief = belief * tables[:, x, b].T
    return np.stack(told, axis=1)


def test_the_grid_is_the_gaussian_to_the_accuracy_stated():
    """Sampled documents, and those that fix w best: one input again and again, two neighbouring bins."""
    drawn = np.asarray(LONG.narrow(jax.random.key(0), 100, 4, range(8)).tokens)
    sharp = np.array([[x, 8 + b, x, 9 + b] * 3 for x in range(8) for b in range(7)])
    tokens = np.concatenate([drawn, sharp])
    finer = 0.18 * np.arange(-33, 34)
    points = np.stack(np.meshgrid(finer, finer), axis=-1).reshape(-1, 2)
    weights = np.exp(-np.sum(points**2, axis=-1) / 2)
    wanted = exact_bins(np.exp(LONG.log_chances(points)), weights, LONG, tokens)
    tables, logs = LONG.grid
    coarse = exact_bins(np.exp(tables), np.exp(logs), LONG, tokens)
    np.testing.assert_allclose(coarse, wanted, atol=3e-5)
    got = predict(LONG.distribution().component(LONG.tasks), jnp.asarray(tokens))[:, 1::2, 8:]
    np.testing.assert_allclose(np.exp(got), coarse, atol=2e-6)


def test_a_first_answer_of_a_new_task_is_normal():
    got = np.exp(
        predict(LONG.distribution().component(LONG.tasks), LONG.elicitation_contexts().tokens)[:, 1, 8:]
    )
    edges = LONG.edges() / math.sqrt(2 * (1 + 0.6**2))
    below = np.array([math.erf(edge) for edge in edges])
    np.testing.assert_allclose(got, np.tile(np.diff(below) / 2, (8, 1)), atol=1e-5)


def test_an_odd_number_of_tokens_is_predicted_too():
    process, tokens = example().distribution(), example().narrow(jax.random.key(0), 4, 0, range(3)).tokens
    np.testing.assert_allclose(predict(process, tokens[:, :3]), predict(process, tokens)[:, :3], atol=1e-5)


def test_seeds_draw_different_tasks():
    assert np.abs(LONG.weights() - replace(LONG, seed=1).weights()).max() > 0.3
    many = replace(LONG, tasks=1000).weights()
    assert abs(np.sum(many**2) - 2002) < 4 * np.sqrt(2 * 2002)


def test_sizes_of_the_vocabulary():
    assert (LONG.vocabulary, LONG.length, LONG.answer_tokens) == (16, 12, slice(8, 16))
    np.testing.assert_array_equal(LONG.answer_mask(), [False, True] * 6)


def test_token_names_are_angles_and_bins():
    words = LONG.token_names()
    assert len(set(words)) == LONG.vocabulary
    assert (words[0], words[1], words[7]) == ("x at 0°", "x at 22.5°", "x at 157.5°")
    for bin, word in enumerate(words[9:15], 1):
        low, high = LONG.edges()[bin : bin + 2]
        assert word == f"y ≈ {(low + high) / 2:g}"
    assert (words[8], words[15]) == ("y < -1.5", "y > 1.5")
    assert replace(LONG, bins=2).token_names()[-2:] == ("y < 0", "y > 0")


# D' and contexts


def test_narrow_answers_as_its_task_on_its_inputs():
    for task in (1, LONG.tasks):
        data = LONG.narrow(jax.random.key(0), 500, task, [2, 7])
        tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
        np.testing.assert_array_equal(mask, np.tile(LONG.answer_mask(), (500, 1)))
        x, b = tokens[:, ::2], tokens[:, 1::2] - 8
        assert set(x.reshape(-1).tolist()) == {2, 7}
        for asked in (2, 7):
            drawn, p = b[x == asked], chances(LONG, LONG.weights()[task])[asked]
            spread = np.sqrt(len(drawn) * p * (1 - p))
            assert (np.abs(np.bincount(drawn, minlength=8) - len(drawn) * p) < 4 * spread + 1).all()


def test_narrow_follows_its_key():
    first = LONG.narrow(jax.random.key(0), 30, 0, [0, 1]).tokens
    np.testing.assert_array_equal(first, LONG.narrow(jax.random.key(0), 30, 0, [0, 1]).tokens)
    assert (first != LONG.narrow(jax.random.key(1), 30, 0, [0, 1]).tokens).any()


OWN, INPUTS, HELD_OUT = 3, [0, 1, 2, 3], [4, 5, 6, 7]
GROUPS = LONG.task(OWN, INPUTS, repeats=30, shots=4).contexts(jax.random.key(7))


def test_groups_come_in_order_and_are_whole_documents():
    assert list(GROUPS) == ["in_domain", "held_out", "in_context", "conflict", "unseen"]
    tokens, mask = (np.concatenate([getattr(d, n) for d in GROUPS.values()]) for n in ("tokens", "mask"))
    assert tokens.shape == mask.shape == (120 + 4 + 3 * 120, LONG.length)
    told = np.exp(predict(LONG.distribution(), jnp.asarray(tokens))[mask])
    np.testing.assert_allclose(told[:, LONG.answer_tokens].sum(axis=-1), 1, rtol=1e-5)


def test_in_domain_is_fresh_and_like_the_data():
    tokens = np.asarray(GROUPS["in_domain"].tokens)
    assert tokens.shape[0] == 120
    assert set(tokens[:, ::2].reshape(-1).tolist()) == set(INPUTS)
    assert (LONG.narrow(jax.random.key(7), 120, OWN, INPUTS).tokens != tokens).any()


def test_held_out_asks_the_other_inputs_first_and_probes_ask_all():
    for data, asked in ((GROUPS["held_out"], HELD_OUT), (LONG.elicitation_contexts(), range(8))):
        np.testing.assert_array_equal(np.asarray(data.tokens)[:, 0], asked)
        np.testing.assert_array_equal(data.mask, np.tile(np.arange(12) == 1, (len(asked), 1)))


@pytest.mark.parametrize("name", ["in_context", "conflict", "unseen"])
def test_shots_are_of_the_tasks_they_name(name):
    tokens, mask = np.asarray(GROUPS[name].tokens), np.asarray(GROUPS[name].mask)
    np.testing.assert_array_equal(mask, np.tile(np.arange(12) == 9, (120, 1)))
    np.testing.assert_array_equal(tokens[:, 8], np.repeat(HELD_OUT, 30))
    x, b = tokens[:, 0:8:2], tokens[:, 1:8:2] - 8
    assert set(x.reshape(-1).tolist()) == set(INPUTS if name == "in_context" else range(8))
    if name != "in_context":
        assert (x != tokens[:, 8:9]).all()
    table = np.array([chances(LONG, w) for w in LONG.weights()])
    tasks = {"in_context": np.full(120, OWN), "conflict": np.arange(120) % 3}
    if name in tasks:
        p = table[tasks[name][:, None], x]
        score = np.log(np.take_along_axis(p, b[..., None], axis=-1)[..., 0])
        mean = np.sum(p * np.log(p), axis=-1)
        spread = np.sqrt(np.sum(p * np.log(p) ** 2, axis=-1) - mean**2)
        assert abs(score.mean() - mean.mean()) < 4 * np.sqrt(np.mean(spread**2) / score.size)
        other = np.log(table[(tasks[name][:, None] + 1) % 4, x, b])
        assert other.mean() < score.mean() - 0.1
    else:  # outputs of N(0, 1 + noise²), alike within a document
        p = np.exp(predict(LONG.distribution().component(4), LONG.elicitation_contexts().tokens)[0, 1, 8:])
        counts = np.bincount(b.reshape(-1), minlength=8)
        assert (np.abs(counts - 480 * p) < 4 * np.sqrt(4 * 480 * p * (1 - p))).all()


def test_a_known_task_moves_the_inputs_it_never_asks_and_a_new_one_does_not():
    """Exact Bayes on held-out inputs: the known task's own bins; after a new one N(0, 1 + noise²)."""
    process, asked = LONG.distribution(), np.asarray(GROUPS["held_out"].mask)

    def told(task):
        after = condition(process, LONG.narrow(jax.random.key(3), 64, task, INPUTS), 1.0)
        return np.exp(predict(after, GROUPS["held_out"].tokens))[asked][:, LONG.answer_tokens]

    np.testing.assert_allclose(told(OWN), chances(LONG, LONG.weights()[OWN])[HELD_OUT], atol=1e-3)
    new = np.exp(predict(process.component(LONG.tasks), GROUPS["held_out"].tokens))[asked]
    new = new[:, LONG.answer_tokens]
    np.testing.assert_allclose(told(LONG.tasks), new, atol=1e-3)


# Misuse


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tasks", 1),
        ("inputs", 1),
        ("bins", 1),
        ("pairs", 1),
        ("noise", 0.2),
        ("noise", np.inf),
        ("spacing", 0.0),
        ("spacing", 0.5),
        ("fresh", 0.0),
        ("fresh", 1.0),
        ("rarity", 0.0),
        ("rarity", np.nan),
    ],
)
def test_sizes_that_make_no_process_are_refused(field, value):
    with pytest.raises(Misuse, match=rf"{field} must .*got {value}"):
        TaskDiversity(**{field: value})


@pytest.mark.parametrize(
    ("task", "inputs", "sentence"),
    [
        (5, [0], r"from 0 to 3, or 4 \(new\), got 5"),
        (-1, [0], "got -1"),
        (0, [], r"got \[\]"),
        (0, [1, 1], r"got \[1, 1\]"),
        (0, [0, 8], r"got \[8\]"),
    ],
)
def test_requests_that_do_not_exist_are_refused(task, inputs, sentence):
    with pytest.raises(Misuse, match=sentence):
        LONG.narrow(jax.random.key(0), 4, task, inputs)
    with pytest.raises(Misuse, match=sentence):
        LONG.task(task, inputs).contexts(jax.random.key(0))


def test_numbers_that_make_no_sense_are_refused():
    key = jax.random.key(0)
    with pytest.raises(Misuse, match="n = 0"):
        LONG.narrow(key, 0, 0, [0])
    with pytest.raises(Misuse, match="repeats must be at least 1, got 0"):
        LONG.task(0, [0], repeats=0).contexts(key)
    with pytest.raises(Misuse, match="shots must be at least 1, got 0"):
        LONG.task(0, [0], shots=0).contexts(key)
    with pytest.raises(Misuse, match="all 8 are in"):
        LONG.task(0, range(8)).contexts(key)
