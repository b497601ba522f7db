"""Gradients of documents against the gradient of D', and their covariance against every batch."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from tests.theory.tiny_networks import Bigram
from theory.base import Dataset, Misuse
from theory.weights.curvature import gradient
from theory.weights.document_gradients import document_gradients, total_variance

DATA = Dataset(jnp.asarray([[0, 1, 2], [2, 1, 1], [0, 0, 1], [1, 2, 2], [2, 2, 0]]), jnp.ones((5, 3), bool))


@pytest.fixture
def bigram():
    return Bigram(0.7 * jax.random.normal(jax.random.key(1), (4, 3)))


def test_their_mean_is_the_gradient_and_their_covariance_that_of_batches(bigram):
    """All ten batches of two out of five: tr C (1/B - 1/n)."""
    rows = np.asarray(jax.jit(lambda: document_gradients(bigram, DATA, 2))(), float)
    np.testing.assert_allclose(rows.mean(0), ravel_pytree(gradient(bigram, DATA))[0] / 15, atol=1e-6)
    means = np.array([rows[list(pair)].mean(0) for pair in combinations(range(5), 2)])
    variance = np.sum((means - rows.mean(0)) ** 2) / len(means)
    np.testing.assert_allclose(
        variance, float(total_variance(jnp.asarray(rows))) * (1 / 2 - 1 / 5), rtol=1e-5
    )


def test_a_batch_that_documents_cannot_fill_is_refused(bigram):
    for batch in (0, 6, -1):
        with pytest.raises(Misuse, match=f"from 1 to the 5 documents of D', got {batch}"):
            document_gradients(bigram, DATA, batch)
    single = Dataset(DATA.tokens[:1], DATA.mask[:1])
    with pytest.raises(Misuse, match="at least two documents, got 1"):
        document_gradients(bigram, single, 1)
