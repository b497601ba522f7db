"""Violations of the axioms: numbers by hand, and 0 of exact Bayes on the exact process."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.scoring import violations
from theory.base import Dataset
from theory.divergence.kl import answers_at, renormalised
from theory.latent.documents import prompts
from theory.processes.persona_topics import PersonaTopics

HALF, MOST = np.log([[0.5, 0.5]]), np.log([[0.75, 0.25]])  # one context, two answers
KL_HALF_MOST = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)  # 0.1438
KL_MOST_HALF = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)  # 0.1308
J = (KL_HALF_MOST + KL_MOST_HALF) / 2
NONE = np.zeros((2, 1))  # evidence of a context in which nothing stands
EXACT = 1e-11  # nats: answers in float32 differ by 1e-7, and KL is quadratic


def numbers(violation):
    return [float(part[0]) for part in (violation.nats, violation.noise, violation.shift)]


def networks(*answers):
    """Answers (1, 1, 2) of one network each."""
    return [np.log([[pair]]) for pair in answers]


def test_orders_by_hand():
    first, second = networks([0.5, 0.5], [0.75, 0.25])
    measured = violations.exchangeable(first, second, MOST)
    np.testing.assert_allclose(numbers(measured), [J, 0, KL_HALF_MOST])
    np.testing.assert_allclose([KL_HALF_MOST, KL_MOST_HALF], [0.143841, 0.130812], atol=1e-6)


def test_sequences_by_hand():
    forward, backward, pooled, reordered = networks([0.5, 0.5], [0.75, 0.25], [0.75, 0.25], [0.5, 0.5])
    commuted = violations.commutes(forward, backward, pooled, pooled, HALF)
    np.testing.assert_allclose(numbers(commuted), [J, 0, 2 / 3 * KL_MOST_HALF], atol=1e-15)
    pooling = violations.pools(forward, backward, pooled, reordered, HALF)
    np.testing.assert_allclose(numbers(pooling), [J / 2, J, 2 / 3 * KL_MOST_HALF])
    added = violations.additive(forward, backward, forward, MOST)
    np.testing.assert_allclose(numbers(added), [J, 0, KL_HALF_MOST], atol=1e-15)


def test_a_mean_over_documents_by_hand():
    """Two documents pull apart by the same probability: the mean is the base network, to the noise of two."""
    drawn = np.log([[[0.75, 0.25]], [[0.25, 0.75]]])
    nats, noise, shift = numbers(violations.martingale(HALF, drawn, NONE))
    # variance 2 × 0.25² of the answers, over two documents, over twice the square of a mean of 1/2
    np.testing.assert_allclose([nats, noise, shift], [0, 0.125 / 2 / (2 * 0.25), KL_HALF_MOST], atol=1e-15)
    likely = violations.martingale(HALF, drawn, np.log([[3.0], [1.0]]))  # centre 3/4 × 3/4 + 1/4 × 1/4
    np.testing.assert_allclose(likely.nats, 0.5 * np.log(0.5 / 0.625) + 0.5 * np.log(0.5 / 0.375))
    drift = np.log([[[0.75, 0.25]], [[0.5, 0.5]]])
    nats, _, shift = numbers(violations.martingale(HALF, drift, NONE))
    np.testing.assert_allclose(nats, 0.5 * np.log(0.5 / 0.625) + 0.5 * np.log(0.5 / 0.375))
    weighted = violations.martingale(HALF, drift, NONE, np.array([0.2, 0.8]))
    wanted = 0.5 * np.log(0.5 / 0.55) + 0.5 * np.log(0.5 / 0.45)
    np.testing.assert_allclose(numbers(weighted), [wanted, 0, 0.2 * KL_HALF_MOST], atol=1e-15)


def test_the_noise_of_a_mean_is_what_a_mean_over_few_misses():
    """Over many samples of 8 documents whose mean is the base network, violation and noise agree."""
    random = np.random.default_rng(0)
    pulls = 0.1 * random.choice([-1, 1], (2000, 8))
    answers = np.stack([0.5 + pulls, 0.5 - pulls], axis=-1)[:, :, None]
    measured = [violations.martingale(HALF, np.log(draw), np.zeros((8, 1))) for draw in answers]
    nats, noise = (np.mean([getattr(part, name) for part in measured]) for name in ("nats", "noise"))
    np.testing.assert_allclose(noise, nats, rtol=0.1)


def test_a_document_read_against_finetuned_by_hand():
    """The dose is fitted on the question of D' (the first), and judged on the other."""
    base = np.log([[0.5, 0.5], [0.5, 0.5]])
    shown = np.log([[[0.75, 0.25], [0.75, 0.25]]])
    taught = np.log([[[[0.75, 0.25], [0.5, 0.5]], [[0.9, 0.1], [0.75, 0.25]]]])
    of_data = np.array([True, False])
    measured = violations.context(shown, taught, base, np.array([2, 4]), of_data)
    np.testing.assert_allclose(numbers(measured), [KL_MOST_HALF, 0, KL_MOST_HALF])
    np.testing.assert_allclose(measured.fitted, 2)


def test_retrained_networks_by_hand():
    """The second share is right in calibration contexts; elsewhere it misses all."""
    base = [[0.5, 0.5], [0.5, 0.5]]
    finetuned = np.log([[[0.75, 0.25], [0.75, 0.25]]])
    scratch = np.log([[base, [[0.6, 0.4], [0.75, 0.25]], [[0.75, 0.25], [0.5, 0.5]]]])
    shares, inside = np.array([0.0, 0.1, 0.2]), np.array([True, False])
    measured = violations.retrained(finetuned, scratch, None, shares, inside, ~inside)
    np.testing.assert_allclose(numbers(measured), [KL_MOST_HALF, 0, KL_MOST_HALF])
    other = np.log([[0.5, 0.5], [0.75, 0.25]])
    noisy = violations.retrained(finetuned, scratch, other, shares, inside, ~inside)
    np.testing.assert_allclose([noisy.noise[0], noisy.fitted[0]], [J, 0.2])


PROCESS = PersonaTopics(personas=3, topics=3, answers=2, pairs=2, style=1.0, specific=0.5)
MIXTURE, PART = PROCESS.distribution(), PROCESS.answer_tokens


@pytest.fixture(scope="module")
def contexts():
    """First questions, and every question after a pair."""
    pairs = np.array([*itertools.product(range(3), range(3, 5), range(3))])
    first = prompts(PROCESS.length, np.arange(3))
    after = prompts(PROCESS.length, pairs[:, :2], pairs[:, 2])
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), first, after)


def read(predictor, contexts):
    answers = np.asarray(answers_at(predictor, contexts.tokens, PART))
    return answers[np.asarray(contexts.mask)]


@pytest.fixture(scope="module")
def both():
    """A and B, six documents of the rarest persona and of the one before."""
    return [PROCESS.narrow(jax.random.key(persona), 6, persona, (0, 1)) for persona in (2, 1)]


def joined(left, right):
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), left, right)


BETA = 0.4


def test_exact_bayes_violates_no_axiom_of_sequences(contexts, both):
    """The tempered posterior: order, commutation, parts and additivity, to float precision."""
    data, rival = both
    base, twice = read(MIXTURE, contexts), MIXTURE.condition(data, BETA).condition(data, BETA)
    after = {
        "ordered": MIXTURE.condition(data, 2 * BETA),
        "reordered": MIXTURE.condition(jax.tree.map(lambda leaf: leaf[::-1], data), 2 * BETA),
        "resumed": twice,
        "forward": MIXTURE.condition(data, BETA).condition(rival, BETA),
        "backward": MIXTURE.condition(rival, BETA).condition(data, BETA),
        "pooled": MIXTURE.condition(joined(data, rival), BETA),
    }
    ends = {name: read(predictor, contexts)[None] for name, predictor in after.items()}
    sequences = ends["forward"], ends["backward"], ends["pooled"], ends["pooled"], base
    measured = [
        violations.exchangeable(ends["ordered"], ends["reordered"], base),
        violations.commutes(*sequences),
        violations.pools(*sequences),
        violations.additive(ends["ordered"], ends["resumed"], ends["reordered"], base),
    ]
    for violation in measured:
        assert violation.nats[0] < EXACT < 1e-3 < violation.shift[0]
    # which a Bayesian of another strength for the second D' would
    other = read(MIXTURE.condition(data, BETA).condition(rival, 2 * BETA), contexts)[None]
    assert violations.commutes(other, *sequences[1:]).nats[0] > 1e-4


def test_exact_bayes_is_a_martingale_at_its_own_strength(contexts):
    """The mean over all documents, by their probability, is the prior: at β = 1, and at no other."""
    pairs = [*itertools.product(range(3), range(3, 5))]
    tokens = jnp.array([[*first, *second] for first in pairs for second in pairs])
    weights = np.exp(np.asarray(MIXTURE.log_prob(tokens), float))
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)

    mask = np.asarray(contexts.mask)
    documents = [Dataset(row[None], jnp.asarray(PROCESS.answer_mask())[None]) for row in tokens]
    base = read(MIXTURE, contexts)

    def measure(beta):
        after = [MIXTURE.condition(document, beta) for document in documents]
        drawn = np.stack([read(predictor, contexts) for predictor in after])
        before = [np.asarray(log_evidence(predictor, contexts.tokens))[mask] for predictor in after]
        return violations.martingale(base, drawn, np.stack(before), weights)

    measured = measure(1.0)
    assert measured.nats[0] < EXACT < 1e-3 < measured.shift[0]
    assert measure(0.2).nats[0] > 1e-6


@jax.jit
def log_evidence(mixture, tokens):
    """log p of what stands before each position."""
    weighted = jax.nn.log_softmax(mixture.log_weights)[:, None, None] + mixture.evidence(tokens)
    return jax.nn.logsumexp(weighted, axis=0)


def test_exact_bayes_reads_what_it_would_learn(contexts, both):
    """A pair in the context is a pair of D' at β = 1."""
    tokens = np.asarray(both[0].tokens)[:1]
    pair = Dataset(jnp.asarray(tokens), jnp.asarray(PROCESS.answer_mask() & (np.arange(4) < 2))[None])
    shown = read(MIXTURE, prompts(4, np.repeat(tokens[:, :2], 3, axis=0), np.arange(3)))[None]
    taught = [read(MIXTURE.condition(pair, beta), contexts)[:3] for beta in (0.5, 1.0, 2.0)]
    of_data = np.arange(3) == tokens[0, 0]
    doses = np.array([1, 2, 4])
    measured = violations.context(shown, np.stack(taught)[None], read(MIXTURE, contexts)[:3], doses, of_data)
    assert measured.nats[0] < EXACT < 1e-3 < measured.shift[0]
    np.testing.assert_allclose(measured.fitted, 2)


def test_exact_bayes_moves_its_prior_and_keeps_its_filter(contexts, both):
    mask = np.asarray(contexts.mask)
    components = renormalised(MIXTURE.component_log_probs(contexts.tokens)[..., PART])
    components, evidence = (
        np.asarray(components)[:, mask],
        np.asarray(MIXTURE.evidence(contexts.tokens))[:, mask],
    )
    base, after = read(MIXTURE, contexts), read(MIXTURE.condition(both[0], BETA), contexts)[None]
    measured = violations.filter_stays(after, after, base, components, evidence)
    assert measured.nats[0] < 1e-8 < 1e-3 < measured.shift[0]
    np.testing.assert_allclose(measured.fitted, 1, atol=0.02)
    # evidence that counts half as much afterwards
    logits = np.log(1 / 3) + 0.5 * evidence
    weights = np.exp(logits) / np.exp(logits).sum(axis=0)
    faint = np.log(np.einsum("kc,kca->ca", weights, np.exp(components)))[None]
    measured = violations.filter_stays(faint, after, base, components, evidence)
    np.testing.assert_allclose(measured.fitted, 0.5, atol=0.02)
    assert measured.nats[0] > 1e-4


def test_exact_bayes_has_no_order_of_pretraining_and_finetuning(contexts, both):
    """The posterior given D and a share of D' is that of finetuning: one of the shares is the strength."""
    shares, after = np.array([0.0, 0.1, BETA, 1.0]), read(MIXTURE.condition(both[0], BETA), contexts)[None]
    scratch = np.stack([read(MIXTURE.condition(both[0], beta), contexts) for beta in shares])
    inside = np.arange(len(scratch[0])) < 2
    measured = violations.retrained(after, scratch[None], scratch[0], shares, inside, ~inside)
    assert measured.nats[0] < EXACT < 1e-3 < measured.shift[0] and measured.noise[0] == 0
    np.testing.assert_allclose(measured.fitted, BETA)
