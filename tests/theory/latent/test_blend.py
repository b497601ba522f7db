"""A process with documents of D' among its samples: their share, and the documents that stay the same."""

import jax
import jax.numpy as jnp
import numpy as np

from theory.base import at_tokens
from theory.latent.blend import Blend
from theory.latent.mixture import Uninformed
from theory.processes.persona_topics import example

PROCESS = example().distribution()
DOCUMENTS = jnp.array([[0, 3, 0, 3], [0, 4, 0, 4], [0, 4, 0, 4]])  # the second twice


def test_a_share_of_the_samples_is_of_the_documents():
    tokens = np.asarray(Blend.of(PROCESS, DOCUMENTS, 0.25).sample(jax.random.key(0), 4000))
    fresh = np.asarray(PROCESS.sample(jax.random.key(0), 4000))
    same = (tokens == fresh).all(axis=1)
    of_data = (tokens[:, None] == np.asarray(DOCUMENTS)).all(axis=-1)
    assert of_data[~same].any(axis=1).all()  # what is not the process's own is of D'
    chance = [float(np.mean((fresh == np.asarray(row)).all(axis=1))) for row in DOCUMENTS]
    wanted = 0.25 * np.array([1, 2]) / 3 + 0.75 * np.array(chance[:2])
    np.testing.assert_allclose(of_data[:, :2].mean(axis=0), wanted, atol=0.02)


def test_without_a_share_it_is_the_process():
    blend, tokens = Blend.of(PROCESS, DOCUMENTS, 0.0), PROCESS.sample(jax.random.key(1), 50)
    np.testing.assert_array_equal(blend.sample(jax.random.key(1), 50), tokens)
    np.testing.assert_allclose(blend.predict(tokens), PROCESS.predict(tokens), atol=2e-6)


def test_whole_documents_have_the_probability_of_both():
    blend = Blend.of(PROCESS, DOCUMENTS, 0.25)
    other = jnp.array([[1, 3, 2, 4]])
    own = np.exp(np.asarray(PROCESS.log_prob(jnp.concatenate([DOCUMENTS, other])), float))
    wanted = 0.75 * own + 0.25 * np.array([1, 2, 2, 0]) / 3
    both = np.exp(np.asarray(blend.log_prob(jnp.concatenate([DOCUMENTS, other]))))
    np.testing.assert_allclose(both, wanted, rtol=1e-5)


def test_predictions_of_all_positions_are_those_of_whole_documents():
    blend, fresh = Blend.of(PROCESS, DOCUMENTS, 0.25), PROCESS.sample(jax.random.key(2), 50)
    tokens = jnp.concatenate([DOCUMENTS, fresh])
    predictions = blend.predict(tokens)
    np.testing.assert_allclose(jax.nn.logsumexp(predictions, axis=-1), 0, atol=1e-6)
    np.testing.assert_allclose(at_tokens(predictions, tokens).sum(axis=-1), blend.log_prob(tokens), atol=1e-5)


def test_without_inference_only_the_process_has_hypotheses():
    wanted = Uninformed(PROCESS).predict(DOCUMENTS)
    np.testing.assert_array_equal(Uninformed(Blend.of(PROCESS, DOCUMENTS, 0.25)).predict(DOCUMENTS), wanted)
