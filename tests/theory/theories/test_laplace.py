"""Laplace's approximation against inverses written out, Newton's step, and a posterior integrated exactly."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from theory.base import Dataset, Misuse
from theory.theories.laplace import Laplace
from theory.theories.linearised import Tangent
from theory.weights.diagonal_metrics import fisher
from theory.weights.kronecker import kronecker
from theory.weights.subnetwork import subnetwork

QUICK = {"xla_backend_optimization_level": 0}  # these programs compile for longer than they run


def quick(function):
    return jax.jit(function, compiler_options=QUICK)


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0], float)


def dense(prior, data):
    """g and H = Jᵀ S J, summed over D', in float64."""
    start, shaped = ravel_pytree(prior.params)
    read = lambda flat: prior.with_params(shaped(flat)).predict(data.tokens)  # noqa: E731
    mask = np.asarray(data.mask)
    both = quick(lambda flat: (jax.jacobian(read)(flat), read(flat)))(start)
    jacobian, logits = (np.asarray(array, float)[mask] for array in both)
    p = np.exp(logits)
    outputs = np.einsum("na,ab->nab", p, np.eye(p.shape[-1])) - np.einsum("na,nb->nab", p, p)
    miss = p - np.eye(p.shape[-1])[np.asarray(data.tokens)[mask]]
    return np.einsum("nap,na->p", jacobian, miss), np.einsum("nap,nab,nbq->pq", jacobian, outputs, jacobian)


def moments(theory, prior, data, betas):
    """For every strength the mean displacement, and the covariance of draws: linear in their normals."""
    start, shaped = ravel_pytree(prior.params)

    def moments(beta):
        gaussian = theory.gaussian(prior, data, beta)
        away = lambda normal: ravel_pytree(gaussian.deviation(shaped(normal)))[0]  # noqa: E731
        return ravel_pytree(gaussian.mean())[0], jax.vmap(away)(jnp.eye(start.size))

    means, roots = (np.asarray(array, float) for array in quick(jax.vmap(moments))(jnp.asarray(betas)))
    return means, np.einsum("bip,biq->bpq", roots, roots)


def check(theory, prior, data, held, pull, matrix, betas=(0.7,), tolerance=2e-4):
    """Against -(held + βH)⁻¹ βg and (held + βH)⁻¹."""
    for beta, mean, covariance in zip(betas, *moments(theory, prior, data, betas), strict=True):
        wanted = -np.linalg.solve(held + beta * matrix, beta * pull)
        inverse = np.linalg.inv(held + beta * matrix)
        assert np.linalg.norm(mean - wanted) <= tolerance * np.linalg.norm(wanted)
        assert np.linalg.norm(covariance - inverse) < tolerance * np.linalg.norm(inverse)
    return wanted


EVERY = Laplace(iterations=44)


def test_mean_and_covariance_are_those_of_the_inverse(curved, data):
    pull, matrix = dense(curved, data)
    check(replace(EVERY, prior_precision=1.5), curved, data, 1.5 * np.eye(44), pull, matrix, [0.0, 0.7, 5.0])


@pytest.fixture(scope="module")
def old():
    """Pretraining documents."""
    stream = np.random.default_rng(5)
    return Dataset(jnp.asarray(stream.integers(0, 5, (12, 4))), jnp.ones((12, 4), bool))


@pytest.mark.parametrize("structure", ["diagonal", pytest.param("kronecker", marks=pytest.mark.slow), "full"])
def test_the_structure_of_the_prior(curved, data, old, structure):
    """Fisher of pretraining documents on its diagonal, by Kronecker factors, or their whole Gauss-Newton."""
    size = flat(curved.params).size
    pull, matrix = dense(curved, data)
    if structure == "full":
        theory = replace(EVERY, prior_precision=0.3, replay=old, alpha=0.8)
        held = 0.3 * np.eye(size) + 0.8 * dense(curved, old)[1]
    else:
        metric = quick({"diagonal": fisher, "kronecker": kronecker}[structure])(curved, old)
        theory = replace(EVERY, prior_precision=2.0, metric=metric)
        if structure == "diagonal":
            held = 2.0 * np.diag(flat(metric))
        else:
            shaped = ravel_pytree(curved.params)[1]
            column = lambda unit: ravel_pytree(metric.power(shaped(unit), 1.0))[0]  # noqa: E731
            held = 2.0 * np.asarray(quick(jax.vmap(column))(jnp.eye(size)), float)
    step = check(theory, curved, data, held, pull, matrix)
    plain = -np.linalg.solve(np.eye(size) + 0.7 * matrix, 0.7 * pull)
    assert step @ plain < 0.97 * np.linalg.norm(step) * np.linalg.norm(plain)  # another direction


def test_the_mean_is_newtons_step_for_a_model_with_linear_logits(bigram, data):
    """β Σ ℓ + ½ γ ‖w - w0‖², row by row in float64."""
    beta, gamma = 0.4, 1.2
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    before = np.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=5)[mask]
    weights = np.asarray(bigram.params, float)
    p = np.exp(weights) / np.exp(weights).sum(axis=-1, keepdims=True)
    wanted = np.zeros_like(weights)
    for row in range(6):
        met = tokens[mask][before == row]
        slope = beta * (len(met) * p[row] - np.bincount(met, minlength=5))
        curvature = beta * len(met) * (np.diag(p[row]) - np.outer(p[row], p[row])) + gamma * np.eye(5)
        wanted[row] = -np.linalg.solve(curvature, slope)
    theory = Laplace(prior_precision=gamma, iterations=30)
    both = [theory, replace(theory, linear=False)]
    tangent, network = quick(lambda beta: [theory.predict(bigram, data, beta) for theory in both])(beta)
    np.testing.assert_allclose(tangent.displacement, wanted, atol=2e-6)
    np.testing.assert_allclose(network.params, bigram.params + wanted, atol=2e-6)
    assert np.abs(wanted).max() > 0.1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Coin:
    """One weight: the log-odds of token 1."""

    params: Any

    def predict(self, tokens):
        logits = jnp.concatenate([jnp.zeros(1), self.params["odds"]])
        return jnp.broadcast_to(jax.nn.log_softmax(logits), (*tokens.shape, 2))

    def with_params(self, params):
        return replace(self, params=params)


def test_the_exact_posterior_of_a_coin_is_met_as_evidence_grows():
    """At the mode, against integrals on a grid: twice the evidence, half the error of mean and variance."""
    tosses = Dataset(jnp.asarray([[0, 1, 1, 0, 1, 1, 1, 1]]), jnp.ones((1, 8), bool))  # 6 of 8
    coin = Coin({"odds": jnp.log(jnp.asarray([3.0]))})
    grid = np.log(3) + np.linspace(-8, 8, 400001)
    misses, betas = [], (20.0, 40.0)
    for beta, mean, covariance in zip(betas, *moments(Laplace(), coin, tosses, betas), strict=True):
        level = beta * (6 * grid - 8 * np.logaddexp(0, grid)) - 0.5 * (grid - np.log(3)) ** 2
        weight = np.exp(level - level.max())
        centre = np.average(grid, weights=weight)
        spread = np.average((grid - centre) ** 2, weights=weight)
        misses.append([centre - np.log(3) - mean[0], covariance[0, 0] / spread - 1])
    ratio = np.array(misses[0]) / np.array(misses[1])
    assert (np.abs(misses[0]) > 5e-3).all()
    np.testing.assert_allclose(ratio, 2, atol=0.1)


def test_the_last_layer_alone(curved, data):
    """Laplace of a part: the block of the inverse's precision, other weights where they were."""
    last = subnetwork(curved, ["unembed"])
    pull, matrix = dense(curved, data)
    block = slice(24, 44)  # embed comes first
    check(Laplace(), last, data, np.eye(20), pull[block], matrix[block, block])
    network = quick(Laplace(linear=False).predict)(last, data, 0.7).network()
    np.testing.assert_array_equal(network.params["embed"], curved.params["embed"])
    assert np.abs(network.params["unembed"] - curved.params["unembed"]).max() > 0.05


def test_draws_are_averaged_about_the_mean(curved, data, documents):
    """In opposite pairs, each its own; averaged are the linearised network's predictions, or its own."""
    theory, key = replace(EVERY, prior_precision=4.0, samples=6), jax.random.key(0)

    @quick
    def predictive(beta):
        gaussian = theory.gaussian(curved, data, beta)
        samples = gaussian.samples(key, 6)
        moved = jax.tree.map(jnp.add, curved.params, samples)
        linear = jax.vmap(lambda delta: Tangent(curved, delta).predict(documents))(samples)
        plain = jax.vmap(lambda params: curved.with_params(params).predict(documents))(moved)
        averages = [
            replace(theory, linear=linear).predict(curved, data, beta, key=key).predict(documents)
            for linear in (True, False)
        ]
        flat = jax.vmap(lambda tree: ravel_pytree(tree)[0])(samples)
        return flat, ravel_pytree(gaussian.mean())[0], [linear, plain], averages

    samples, mean, rows, averages = jax.tree.map(np.asarray, predictive(0.5))
    np.testing.assert_allclose((samples[:3] + samples[3:]) / 2, np.tile(mean, (3, 1)), atol=1e-5)
    assert np.abs(np.corrcoef(samples[:3] - mean) - np.eye(3)).max() < 0.6
    for row, average in zip(rows, averages, strict=True):
        np.testing.assert_allclose(np.exp(average), np.exp(row).mean(axis=0), atol=2e-5)
    assert np.abs(averages[0] - averages[1]).max() > 1e-3


def test_draws_break_the_law_of_the_prior_and_say_so(bigram, data, documents):
    assert set(Laplace().breaks) == {"additive"}
    warm = Laplace(samples=8)
    assert set(warm.breaks) == {"additive", "prior"} and set(replace(warm, samples=0).breaks) == {"additive"}
    answers = quick(
        lambda key: [
            replace(warm, prior_precision=gamma).predict(bigram, data, 0.0, key=key).predict(documents)
            for gamma in (1.0, 1e12)
        ]
    )(jax.random.key(1))
    warm, cold = (
        np.abs(np.exp(log_probs) - np.exp(bigram.predict(documents))).max() for log_probs in answers
    )
    assert warm > 1e-2 and cold < 1e-5


def test_misuse_is_refused(bigram, data, old):
    for wrong, sentence in (
        ({"samples": 3}, "an even number of them, got 3"),
        ({"samples": -2}, "an even number of them, got -2"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
        ({"prior_precision": 0.0}, "prior_precision must be finite and above 0, got 0.0"),
        ({"alpha": 0.5}, "pass them as replay"),
        ({"alpha": -0.5, "replay": old}, "alpha must be finite and at least 0, got -0.5"),
        ({"metric": jnp.zeros((6, 5))}, "metric must be positive"),
        ({"metric": {"w": jnp.ones((6, 5))}}, "an entry for every weight"),
        ({"samples": 2}, "needs a key, got None"),
    ):
        with pytest.raises(Misuse, match=sentence):
            Laplace(**wrong).predict(bigram, data, 0.1)
