"""Moments against integrated equations and a matrix's eigenvalues; the two ends; the noise of batches."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from theory.base import Misuse, mean_loss
from theory.theories.finite_time_langevin import FiniteTimeLangevin, Transient, gradient_variance
from theory.theories.laplace import Laplace
from theory.theories.spectrum import Spectrum
from theory.weights.curvature import gauss_newton, gradient

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run
EVERY = FiniteTimeLangevin(iterations=30)


def quick(function):
    return jax.jit(function, compiler_options=QUICK)


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0], float)


def moments(gaussian, weights):
    """The mean displacement, and the covariance of draws: they are linear in their normals."""
    start, shaped = ravel_pytree(weights)
    away = lambda normal: ravel_pytree(gaussian.deviation(shaped(normal)))[0]  # noqa: E731
    mean, roots = ravel_pytree(gaussian.mean())[0], jax.vmap(away)(jnp.eye(start.size))
    return mean, roots.T @ roots


@pytest.fixture(scope="module")
def dense(bigram, data):
    """g and H of the bigram, in float64."""
    start, shaped = ravel_pytree(bigram.params)
    product = gauss_newton(bigram, data).product
    column = lambda unit: ravel_pytree(product(shaped(unit)))[0]  # noqa: E731
    return flat(gradient(bigram, data)), np.asarray(quick(jax.vmap(column))(jnp.eye(start.size)), float)


def test_moments_are_those_of_the_integrated_equations():
    """m' = -(g + Am), Σ' = -(AΣ + ΣA) + 2T from zero, on a quadratic with a flat direction."""
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    matrix, pull = (rotation * [0.0, 0.4, 3.0]) @ rotation.T, np.array([0.7, -1.1, 0.3])
    gamma, temperature, time = 0.2, 0.6, 1.7
    drift = matrix + gamma * np.eye(3)

    def slope(_, state):
        mean, spread = state[:3], state[3:].reshape(3, 3)
        both = -(drift @ spread + spread @ drift) + 2 * temperature * np.eye(3)
        return np.concatenate([-(pull + drift @ mean), both.ravel()])

    wanted = solve_ivp(slope, (0, time), np.zeros(12), rtol=1e-9, atol=1e-11).y[:, -1]
    product = lambda vector: jnp.asarray(matrix, jnp.float32) @ vector  # noqa: E731
    gaussian = Transient(
        product, jnp.asarray(pull, jnp.float32), lambda vector: vector, time, temperature, gamma, 3
    )
    mean, covariance = quick(lambda start: moments(gaussian, start))(jnp.zeros(3))
    np.testing.assert_allclose(mean, wanted[:3], atol=1e-5)
    np.testing.assert_allclose(covariance, wanted[3:].reshape(3, 3), atol=1e-5)


def test_without_noise_and_pull_it_is_early_stopping(bigram, data):
    """T → 0 at γ = 0; the covariance goes with T."""
    theory = replace(EVERY, prior_precision=0.0, temperature=0.0, samples=2)
    early = Spectrum(iterations=30)

    def both(beta):
        gaussian = theory.transient(bigram, data, beta)
        return (
            gaussian.mean(),
            early.predict(bigram, data, beta).displacement,
            gaussian.deviation(jnp.ones_like(bigram.params)),
        )

    ours, theirs, noise = quick(both)(0.4)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.abs(theirs).max() > 0.1 and not np.any(noise)


def test_in_the_end_it_is_laplace(bigram, data, dense):
    """At prior precision γ/T and β = 1/T; half a relaxation time in, it is not."""
    gamma, temperature = 0.8, 0.5
    theory = replace(EVERY, prior_precision=gamma, temperature=temperature)
    laplace = Laplace(prior_precision=gamma / temperature, iterations=30)

    def all_moments(weights):
        end = laplace.gaussian(bigram, data, 1 / temperature)
        times = (0.5 / gamma, 40.0)
        return [moments(theory.transient(bigram, data, t), weights) for t in times], moments(end, weights)

    (half, late), end = quick(all_moments)(bigram.params)
    for ours, theirs in zip(late, end, strict=True):
        assert np.linalg.norm(ours - theirs) < 1e-4 * np.linalg.norm(theirs)
    assert np.linalg.norm(half[1] - end[1]) > 0.1 * np.linalg.norm(end[1])
    wanted = temperature * np.linalg.inv(gamma * np.eye(30) + dense[1])
    assert np.linalg.norm(late[1] - wanted) < 1e-4 * np.linalg.norm(wanted)


def test_time_is_that_of_the_slowest_mode_that_matters(bigram, data, dense):
    pull, matrix = dense
    values, vectors = np.linalg.eigh(matrix + 0.3 * np.eye(30))
    drops = (vectors.T @ pull) ** 2 / values
    slowest = values[np.argmax(np.cumsum(drops) > 0.01 * drops.sum())]
    theory = replace(EVERY, prior_precision=0.3, temperature=2.0)
    got = theory.relaxation(bigram, data, learning_rate=0.1, batch=4)
    np.testing.assert_allclose(got.time, 1 / slowest, rtol=1e-3)
    np.testing.assert_allclose(got.injected, 2 * 2.0 * 30)


def test_noise_is_that_of_single_steps(bigram, data):
    """The variance of a step of SGD over all batches of two documents with replacement, per unit of t."""
    rate, documents = 0.1, data.tokens.shape[0]
    pairs = np.stack(np.meshgrid(np.arange(documents), np.arange(documents)), -1).reshape(-1, 2)

    def step(rows):
        batch = jax.tree.map(lambda leaf: leaf[rows], data)
        return -rate * jax.grad(lambda params: mean_loss(bigram.with_params(params), batch))(bigram.params)

    steps = np.asarray(quick(jax.vmap(step))(jnp.asarray(pairs)), float).reshape(len(pairs), -1)
    counted = float(np.asarray(data.mask).sum())
    wanted = steps.var(axis=0).sum() * counted / rate
    got = replace(EVERY, prior_precision=0.3).relaxation(bigram, data, rate, batch=2)
    np.testing.assert_allclose(got.batches, wanted, rtol=1e-4)
    np.testing.assert_allclose(got.temperature, wanted / (2 * 30), rtol=1e-4)
    assert wanted > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"prior_precision": float("inf")}, "prior_precision"),
        ({"samples": 3}, "even number"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(Misuse, match=message):
        FiniteTimeLangevin(**fields)


@pytest.mark.parametrize("time", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_times(bigram, data, time):
    with pytest.raises(Misuse, match="time"):
        EVERY.transient(bigram, data, time)


def test_bad_batches(bigram, data):
    with pytest.raises(Misuse, match="at most the 8 documents of D', got 9"):
        gradient_variance(bigram, data, 9)
    with pytest.raises(Misuse, match="prior_precision"):
        replace(EVERY, prior_precision=0.0).relaxation(bigram, data, 0.1, 4)
