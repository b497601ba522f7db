"""A predictor against the enumeration of all sequences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

PREDICT = jax.jit(lambda process, tokens: process.predict(tokens))


def _check_predictor(process, vocabulary, tokens, total, *, rtol, atol):
    """Ratios of enumerated marginals, at every prefix that can happen.

    `tokens` are all sequences in the order of `itertools.product`, `total` their probabilities (up to a
    factor).
    """
    length = tokens.shape[1]
    whole = total.reshape((vocabulary,) * length)
    seen = tokens[total > 0]
    got = np.exp(np.asarray(PREDICT(process, jnp.asarray(seen))))
    for position in range(length):
        marginal = whole.sum(axis=tuple(range(position + 1, length)))
        continued = marginal[tuple(seen[:, :position].T)].reshape(-1, vocabulary)
        wanted = continued / continued.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(
            got[:, position], np.broadcast_to(wanted, got[:, position].shape), rtol=rtol, atol=atol
        )


@pytest.fixture(scope="session")
def check_predictor():
    return _check_predictor
