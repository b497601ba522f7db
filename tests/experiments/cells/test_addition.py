"""Extractor and aggregator: documents with exact evidence, and measures of heads that are known."""

import jax
import numpy as np
import pytest
from scipy.special import softmax

from experiments.cells import addition
from experiments.cells.addition import Pairs, Reader, head_measures, read_streams
from models.network import build, first
from models.transformer import Architecture
from theory.processes.add_k import AddK

PROCESS = AddK(modulus=5, pairs=4, noise=0.4, rarity=0.8)


@pytest.fixture(scope="module")
def pairs():
    return Pairs.drawn(PROCESS, jax.random.key(0), 60, 0)


def test_the_prior_and_the_evidence_of_pairs_are_the_posterior(pairs):
    prior = np.arange(5) * np.log(0.8)
    exact = softmax(prior + pairs.total, axis=-1)
    np.testing.assert_allclose(exact, pairs.posterior, atol=1e-5)
    assert pairs.evidence[~pairs.answers].any() == False  # noqa: E712


def test_the_answer_is_as_likely_as_its_k(pairs):
    """p(y | x) = Σ_y' p(y | y') p(y' = x + k): the posterior over right answers, with mistakes."""
    exact = np.exp(np.asarray(PROCESS.distribution().predict(pairs.tokens), float))[..., 5:]
    wrong = 0.4 / 4
    made = pairs.replies * (0.6 - wrong) + wrong
    np.testing.assert_allclose(exact[pairs.questions], made[pairs.questions], atol=1e-5)


def test_attention_with_a_sink_has_its_c0():
    count = np.arange(8)
    assert addition._sink(0.6 * count / (count + 2.5)) == pytest.approx(2.5, rel=1e-3)


@pytest.mark.slow
def test_heads_of_a_network_are_measured(pairs):
    network = first(build(Architecture(8, 2, 2), PROCESS.vocabulary, PROCESS.length, [0]))
    read = read_streams(network, pairs.tokens)
    reader = Reader.of(read[:, 1], softmax(pairs.evidence, axis=-1), pairs.answers)
    measured = head_measures(pairs, network, read, reader)
    assert measured.sums.shape == (3, 3) and (measured.sums <= 1).all()
    np.testing.assert_allclose(measured.frequencies.sum(axis=1), 1)
    assert measured.attention[:, 0].max() == 0 and (measured.attention[:, 1:] > 0).all()
    assert np.isnan(measured.overlap[-1]) and (np.abs(measured.overlap[:-1]) <= 1).all()
