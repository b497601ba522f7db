"""Evidence and inference of D' against the posterior and against documents written out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset
from theory.latent.evidence import evidence, inference
from theory.latent.mixture import Uninformed
from theory.processes.persona_topics import PersonaTopics, example


def test_evidence_is_the_change_of_the_log_odds_of_the_best_hypothesis():
    process = example()
    mixture = process.distribution()
    data = process.task(persona=2, topics=[0]).data(jax.random.key(0), 3)
    before = np.asarray(jax.nn.log_softmax(mixture.log_weights), float)
    after = np.asarray(mixture.condition(data, 1.0).log_weights, float)
    best = np.argmax(np.asarray(mixture.log_likelihoods(data)).sum(axis=-1))

    def odds(log_weights):
        return log_weights[best] - np.logaddexp.reduce(np.delete(log_weights, best))

    assert float(evidence(mixture, data)) == pytest.approx(odds(after) - odds(before), abs=1e-4)


@pytest.mark.slow
def test_two_times_as_much_of_two_hypotheses_is_two_times_the_evidence():
    process = PersonaTopics(personas=2, topics=3, answers=2, pairs=2)
    data = process.task(persona=1, topics=[0]).data(jax.random.key(1), 4)
    twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), data)
    single = float(evidence(process.distribution(), data))
    assert float(evidence(process.distribution(), twice)) == pytest.approx(2 * single, rel=1e-5)
    assert single > 0


@pytest.mark.slow
def test_inference_of_all_documents_is_the_information_that_answers_have_on_each_other():
    """Weighed by their chance, over every document of two pairs: Σ p log p/u, by enumeration."""
    process = example()
    mixture = process.distribution()
    pairs = list(itertools.product(range(3), (3, 4)))
    tokens = np.array([[*first, *second] for first in pairs for second in pairs], np.int32)
    mask = np.broadcast_to(process.answer_mask(), tokens.shape)
    whole = np.asarray(mixture.log_prob(tokens), float)
    table, prior = np.exp(process.answer_table()), np.exp(np.asarray(mixture.log_weights, float))
    marginal = np.einsum("k,kta->ta", prior, table)
    apart = np.log([marginal[a, b - 3] * marginal[c, d - 3] / 9 for a, b, c, d in tokens])
    wanted = np.sum(np.exp(whole) * (whole - apart))
    single = [float(inference(mixture, mixture, Dataset(tokens[i : i + 1], mask[i : i + 1]))) for i in (0, 7)]
    assert single == pytest.approx((whole - apart)[[0, 7]], abs=1e-5)
    every = Dataset(jnp.asarray(tokens), jnp.asarray(mask))
    assert float(inference(mixture, mixture, every)) == pytest.approx(np.mean(whole - apart), abs=1e-5)
    assert wanted > 0 and float(inference(Uninformed(mixture), mixture, every)) == 0
