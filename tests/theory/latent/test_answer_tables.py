"""Answer tables against their factors, written out in numpy; the processes made of them are enumerated."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.latent.answer_tables import HeadedTable, PairTable, TriggerTable


def table(*shape):
    logits = np.random.default_rng(0).normal(size=shape)
    return logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))


PAIRS, TRIGGERS, HEADED = table(2, 3), table(4, 2, 2), table(2, 2, 1, 3)
SPEAKERS = np.log([0.3, 0.7])
COMPONENTS = {
    "pairs": PairTable(jnp.asarray(PAIRS, jnp.float32), 2),
    "triggers": TriggerTable(jnp.asarray(TRIGGERS, jnp.float32), 2, 2, 1),
    "headed": HeadedTable(jnp.asarray(SPEAKERS, jnp.float32), jnp.asarray(HEADED, jnp.float32), 2),
}
DOCUMENTS = {  # all of them, with their log-probabilities
    "pairs": {
        (q, 2 + a, r, 2 + b): PAIRS[q, a] + PAIRS[r, b] - 2 * np.log(2)
        for q, a, r, b in product(range(2), range(3), range(2), range(3))
    },
    "triggers": {
        (d, e, 2 + q, 4 + a): TRIGGERS[2 * d + e, q, a] - 3 * np.log(2)
        for d, e, q, a in product(range(2), repeat=4)
    },
    "headed": {
        (s, 2 + y, 4, 5 + a, 4, 5 + b): SPEAKERS[s] + HEADED[s, y, 0, a] + HEADED[s, y, 0, b] - np.log(2)
        for s, y, a, b in product(range(2), range(2), range(3), range(3))
    },
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_all_documents_have_the_probabilities_of_their_factors(name):
    tokens, wanted = np.array(list(DOCUMENTS[name])), np.array(list(DOCUMENTS[name].values()))
    np.testing.assert_allclose(np.exp(wanted).sum(), 1)
    np.testing.assert_allclose(COMPONENTS[name].log_prob(jnp.asarray(tokens)), wanted, rtol=1e-5)


@pytest.mark.parametrize("name", COMPONENTS)
def test_samples_come_as_often_as_they_should(name):
    n = 4000
    drawn = [tuple(row) for row in np.asarray(COMPONENTS[name].sample(jax.random.key(0), n)).tolist()]
    chances = np.exp(list(DOCUMENTS[name].values()))
    counts = np.array([drawn.count(document) for document in DOCUMENTS[name]])
    assert counts.sum() == n
    assert (np.abs(counts - n * chances) < 4.5 * np.sqrt(n * chances) + 1).all()
