"""What the next token tells of the tokens after it, on three processes: exact values of a specification.

R² of p(A), A an event of the next m tokens, from the exact probabilities of the next token. Where it is 1, a
network may hold no more than its answers, and a probe of the belief shows nothing inner.
"""

import itertools

import numpy as np
import pytest
from scipy.special import softmax

from theory.latent.documents import predict
from theory.latent.hidden_markov import mixed_states, stationary
from theory.probes.automata import within
from theory.probes.beliefs import beliefs, state_beliefs
from theory.probes.descriptions import event
from theory.probes.futures import values
from theory.probes.readings import score_reading
from theory.processes.linebreak import LineBreak
from theory.processes.mess3 import BeliefGeometry

LARGE = LineBreak(widths=tuple(range(12, 28)), lengths=tuple(range(1, 7)), length=64, noise=0.02, rarity=1.0)


def polynomial(features, degree):
    """All products of up to `degree` features."""
    columns = [np.ones(len(features))]
    for count in range(1, degree + 1):
        for chosen in itertools.combinations_with_replacement(range(features.shape[1]), count):
            columns.append(np.prod(features[:, chosen], axis=1))
    return np.stack(columns, axis=1)


def explained(features, target, weights):
    """Weighted R² of least squares."""
    root = np.sqrt(weights)
    fit = features @ np.linalg.lstsq(features * root[:, None], target * root, rcond=None)[0]
    return 1 - np.average((target - fit) ** 2, weights=weights) / np.average(
        (target - np.average(target, weights=weights)) ** 2, weights=weights
    )


def of_sequences(geometry, setting, shown, horizon, token):
    """Mixed states after every sequence of `shown` tokens with their probabilities, the next token's and
    p(token within the horizon)."""
    table = geometry.transitions(setting)
    front, weights = stationary(table)[None], np.ones(1)
    for _ in range(shown):
        joint = np.einsum("mi,xij->mxj", front, table)
        weights = (weights[:, None] * joint.sum(axis=-1)).reshape(-1)
        front = (joint / joint.sum(axis=-1, keepdims=True)).reshape(-1, len(table[0]))
    alone = BeliefGeometry(geometry.family, (setting, geometry.settings[1]), 20, slip=geometry.slip)
    chance = values(alone.distribution(), within([token], geometry.vocabulary, horizon))[0]
    return np.einsum("mi,xij->mx", front, table)[:, :-1], front @ chance, weights


def test_mess3_tells_all_of_its_futures_by_the_next_token():
    geometry = BeliefGeometry(length=20)
    for horizon in (1, 2, 5):
        following, chance, weights = of_sequences(geometry, geometry.settings[0], 5, horizon, 0)
        np.testing.assert_allclose(explained(polynomial(following, 1), chance, weights), 1, atol=1e-6)
    # its mixed states are many, so this is no accident of few points
    assert len(mixed_states(geometry.transitions(geometry.settings[0]), np.full(3, 1 / 3), 5)) > 300


@pytest.mark.parametrize(
    "horizon, r_squared, prior, floor",
    [(1, 1.0, 0.693, 0.527), (2, 0.50, 0.564, 0.456), (3, 0.44, 0.449, 0.395), (4, 0.73, 0.332, 0.295)],
)
def test_rrxor_does_not(horizon, r_squared, prior, floor):
    """After eleven tokens, cubic; the specification's entropies are to 0.003."""
    geometry = BeliefGeometry("rrxor", ((0.5, 0.5), (0.3, 0.5)), 20, slip=0.01)
    following, chance, weights = of_sequences(geometry, (0.5, 0.5), 11, horizon, 1)
    np.testing.assert_allclose(explained(polynomial(following, 3), chance, weights), r_squared, atol=0.006)
    entropy = lambda p: -p * np.log(p) - (1 - p) * np.log1p(-p)  # noqa: E731
    got = entropy(weights @ chance), weights @ entropy(chance.clip(1e-12, 1 - 1e-12))
    np.testing.assert_allclose(got, [prior, floor], atol=0.003)


def pages(process, documents):
    """Documents, the exact next token at positions where a newline may come, and these positions."""
    mixture = process.distribution()
    prior = softmax(np.asarray(mixture.log_weights, float))
    widths = np.random.default_rng(0).choice(process.widths, documents, p=prior)
    tokens = process._documents(np.random.default_rng(1), widths)
    open_ = (np.arange(process.length) > 0) & ~process._after_newline(tokens)
    return mixture, tokens, np.exp(np.asarray(predict(mixture, tokens), float))[open_], open_


@pytest.mark.slow
@pytest.mark.parametrize(
    "process, documents, anchors, off",
    [
        (
            LineBreak(),
            4000,
            [
                (0.690, 0.470, 1.00, 0.854, 0.854),
                (0.507, 0.354, 0.90, 0.860, 0.849),
                (0.213, 0.152, 0.65, 0.885, 0.857),
                (0.058, 0.043, 0.41, 0.915, 0.871),
            ],
            0.006,
        ),
        # the specification's sample of this process is not known; ours is off by at most this
        (
            LARGE,
            400,
            [
                (0.514, 0.258, 1.00, 0.924, 0.924),
                (0.680, 0.343, 0.89, 0.921, 0.888),
                (0.669, 0.348, 0.60, 0.920, 0.846),
                (0.546, 0.292, 0.36, 0.924, 0.819),
            ],
            0.026,
        ),
    ],
)
def test_line_breaks_do_not(process, documents, anchors, off):
    """Prior and floor in nats, R² (cubic), the ceiling of AUC, and the AUC of the next token's newline."""
    mixture, tokens, following, positions = pages(process, documents)
    known = np.asarray(state_beliefs(mixture, tokens), float)[positions]
    features = polynomial(following[:, :-1], 3)
    for horizon, anchor in enumerate(anchors, 1):
        value = values(mixture, event(f"newline within {horizon}", process))
        chance = np.einsum("rks,ks->r", known, value)
        reading = score_reading(following[:, process.newline], chance)
        r_squared = explained(features, chance, np.ones(len(chance)))
        got = reading.prior, reading.floor, reading.ceiling, reading.auc
        np.testing.assert_allclose(got, anchor[:2] + anchor[3:], atol=off)
        np.testing.assert_allclose(r_squared, anchor[2], atol=0.012)


def test_a_newline_within_three_on_wide_pages():
    """A quick sample of the same: of one width the state is the column, so beliefs over widths are enough."""
    mixture, tokens, following, positions = pages(LARGE, 400)
    known = np.asarray(beliefs(mixture, tokens), float)[positions]
    value = values(mixture, event("newline within 3", LARGE))
    column = np.minimum(LARGE._columns(tokens)[positions], max(LARGE.widths))
    reading = score_reading(following[:, LARGE.newline], np.einsum("rk,kr->r", known, value[:, column]))
    got = reading.prior, reading.floor, reading.ceiling
    np.testing.assert_allclose(got, (0.669, 0.348, 0.920), atol=0.006)
