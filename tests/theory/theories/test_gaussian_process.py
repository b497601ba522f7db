"""The tangent kernel's Gaussian process against the formulas of regression, its kernel written out."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from theory.base import Misuse
from theory.theories.gaussian_process import GaussianProcess

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run
ASKED = jnp.asarray([[2, 4, 1, 3], [0, 3, 2, 3]])


def quick(function):
    return jax.jit(function, compiler_options=QUICK)


def written(prior, data):
    """In float64: the residuals of D' and the Jacobian there, centred logits at `ASKED` and the Jacobian."""
    start, shaped = ravel_pytree(prior.params)
    tokens = jnp.concatenate([data.tokens, ASKED])

    def read(flat):
        log_probs = prior.with_params(shaped(flat)).predict(tokens)
        return log_probs - jnp.mean(log_probs, axis=-1, keepdims=True)

    both = quick(lambda flat: (read(flat), jax.jacobian(read)(flat)))(start)
    logits, jacobian = (np.asarray(array, float) for array in both)
    count, mask = len(data.tokens), np.asarray(data.mask)
    p = np.exp(logits[:count][mask])
    miss = np.eye(5)[np.asarray(data.tokens)[mask]] - p / p.sum(axis=-1, keepdims=True)
    seen, queried = (array.reshape(-1, start.size) for array in (jacobian[:count][mask], jacobian[count:]))
    return miss.ravel(), seen, logits[count:].ravel(), queried


def regression(model, beta, gamma, metric=1.0):
    """Mean and covariance of the centred logits at `ASKED`: the textbook's formulas."""
    miss, seen, start, queried = model
    variance, across, among = (
        (left / metric) @ right.T for left, right in ((queried, queried), (queried, seen), (seen, seen))
    )
    if beta == 0:
        return start, variance / gamma
    solve = np.linalg.solve(among + gamma / beta * np.eye(len(seen)), np.c_[miss, across.T])
    return start + across @ solve[:, 0], (variance - across @ solve[:, 1:]) / gamma


def moments(theory, prior, data, betas, model):
    """Mean and covariance of the centred logits at `ASKED` under draws, which are linear in their normals."""
    size, shaped = model[3].shape[-1], ravel_pytree(prior.params)[1]

    def conditioned(beta):
        gaussian = theory.gaussian(prior, data, beta)
        away = lambda normal: ravel_pytree(gaussian.deviation(shaped(normal)))[0]  # noqa: E731
        return ravel_pytree(gaussian.mean())[0], jax.vmap(away)(jnp.eye(size))

    means, roots = (np.asarray(array, float) for array in quick(jax.vmap(conditioned))(jnp.asarray(betas)))
    roots = roots @ model[3].T
    return model[2] + means @ model[3].T, np.einsum("bia,bic->bac", roots, roots)


@pytest.mark.slow
@pytest.mark.parametrize(("which", "metric"), [("bigram", False), ("curved", False), ("curved", True)])
def test_mean_and_covariance_are_the_regressions(request, data, which, metric):
    prior = request.getfixturevalue(which)
    stream = np.random.default_rng(1)
    given = jax.tree.map(lambda leaf: jnp.asarray(stream.uniform(0.3, 3, leaf.shape)), prior.params)
    diagonal = np.asarray(ravel_pytree(given)[0], float) if metric else 1.0
    theory = GaussianProcess(prior_precision=3.0, metric=given if metric else None, iterations=44)
    model = written(prior, data)
    base, wide = regression(model, 0.0, 3.0, diagonal)
    betas = (0.0, 0.6, 10.0)
    for beta, mean, covariance in zip(betas, *moments(theory, prior, data, betas, model), strict=True):
        wanted, spread = regression(model, beta, 3.0, diagonal)
        np.testing.assert_allclose(mean, wanted, atol=3e-5)
        np.testing.assert_allclose(covariance, spread, atol=1e-4 * np.abs(spread).max())
    assert np.abs(mean - base).max() > 0.1
    assert np.abs(covariance - wide).max() > 0.1 * np.abs(wide).max()


def test_predictions_are_averages_over_the_regressions_functions(curved, data):
    """Against a million draws of its mean and covariance; and not the softmax of the mean."""
    gamma, beta, samples = 1.0, 0.3, 3000
    mean, covariance = regression(written(curved, data), beta, gamma)
    values, vectors = np.linalg.eigh(covariance)
    normals = np.random.default_rng(2).normal(size=(20000, len(mean)))
    away = normals * np.sqrt(np.maximum(values, 0)) @ vectors.T

    def softmax(logits):
        p = np.exp(logits.reshape(*logits.shape[:-1], -1, 5))
        return p / p.sum(axis=-1, keepdims=True)

    pairs = (softmax(mean + away) + softmax(mean - away)) / 2
    wanted, spread = pairs.mean(axis=0), pairs.std(axis=0)
    theory = GaussianProcess(gamma, samples=samples, iterations=20)
    log_probs = quick(lambda key: theory.predict(curved, data, beta, key=key).predict(ASKED))(
        jax.random.key(3)
    )
    got = np.exp(np.asarray(log_probs, float)).reshape(-1, 5)
    error = spread * np.sqrt(2 / samples + 1 / 20000)
    assert (np.abs(got - wanted) < 4.5 * error).all()
    assert (np.abs(softmax(mean) - wanted) > 10 * error).any()


def test_a_cold_process_is_its_mean(bigram, data):
    """Softmax of the regression's mean, as 1/γ goes to nothing."""
    theory = GaussianProcess(prior_precision=1e10, samples=2, iterations=30)
    log_probs = quick(lambda key: theory.predict(bigram, data, 2e9, key=key).predict(ASKED))(
        jax.random.key(0)
    )
    mean, _ = regression(written(bigram, data), 0.2, 1.0)
    p = np.exp(mean.reshape(-1, 5))
    np.testing.assert_allclose(np.exp(log_probs).reshape(-1, 5), p / p.sum(axis=-1, keepdims=True), atol=2e-5)


def test_misuse_is_refused(bigram, data):
    with pytest.raises(Misuse, match="needs a key, got None"):
        GaussianProcess().predict(bigram, data, 0.5)
    for wrong, sentence in (
        ({"samples": 5}, "an even number of them, got 5"),
        ({"samples": 0}, "averaged over samples, got 0"),
        ({"prior_precision": -1.0}, "prior_precision must be finite and above 0, got -1.0"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
    ):
        with pytest.raises(Misuse, match=sentence):
            replace(GaussianProcess(), **wrong)
