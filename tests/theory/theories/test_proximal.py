"""The zero-temperature Gibbs posterior against closed forms and Newton's method in float64."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.base import Dataset, Misuse, ladder, mean_loss
from theory.contracts import Scale
from theory.theories.proximal import Proximal

TIGHT = Proximal(tolerance=1e-5, iterations=200)


def counted(data):
    """Rows of (previous token, token) at the counted positions."""
    tokens, mask = np.asarray(data.tokens), np.asarray(data.mask)
    before = np.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=5)
    return before[mask], tokens[mask]


def softmax(logits):
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def slope(weights, data):
    """∇L of the bigram in numpy."""
    before, after = counted(data)
    gradient = np.zeros_like(weights)
    np.add.at(gradient, before, softmax(weights[before]) - np.eye(5)[after])
    return gradient / len(after)


def newton(start, data, tau, metric=1.0):
    """argmin τ L(w) + ½‖w - w0‖²_Λ in float64; the rows of the bigram are apart."""
    metric = np.broadcast_to(metric, start.shape)
    before, after = counted(data)
    weights = start.copy()
    share = np.bincount(before, minlength=len(start)) / len(after)
    for _ in range(100):
        gradient = tau * slope(weights, data) + metric * (weights - start)
        if np.linalg.norm(gradient) < 1e-12:
            break
        p = softmax(weights)
        for row in range(len(start)):
            curvature = np.diag(p[row]) - np.outer(p[row], p[row])
            weights[row] -= np.linalg.solve(
                np.diag(metric[row]) + tau * share[row] * curvature, gradient[row]
            )
    assert np.linalg.norm(gradient) < 1e-12
    return weights


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Quadratic:
    """log p(token) = -½ (w - centre)ᵀ H (w - centre): a Gaussian likelihood up to its constant."""

    params: Any
    curvature: Any = field(metadata={"static": True})
    centres: Any = field(metadata={"static": True})

    def predict(self, tokens):
        miss = self.params["w"] - jnp.asarray(self.centres)
        value = -0.5 * jnp.sum(jnp.asarray(self.curvature) * miss**2, axis=-1)
        return jnp.broadcast_to(value, (*tokens.shape, len(self.centres)))

    def with_params(self, params):
        return replace(self, params=params)


CURVATURE = (0.1, 1.0, 4.0)
CENTRES = ((1.0, -1.0, 2.0), (3.0, 0.0, -1.0))
QUADRATIC = Quadratic({"w": jnp.asarray([0.5, 0.5, 0.5])}, CURVATURE, CENTRES)
COINS = Dataset(jnp.asarray([[0, 1], [1, 1]]), jnp.ones((2, 2), bool))


def test_a_quadratic_shrinks_each_mode_by_its_curvature():
    """w0 + τh/(1 + τh) (centre - w0), the ridge."""
    betas = np.array([0.01, 0.1, 0.5, 2.0, 20.0])
    solutions, residuals = TIGHT.solve(QUADRATIC, COINS, jnp.asarray(betas))
    centre = np.array(CENTRES[0]) / 4 + 3 * np.array(CENTRES[1]) / 4
    times = 4 * betas[:, None] * np.array(CURVATURE)
    wanted = 0.5 + times / (1 + times) * (centre - 0.5)
    assert (np.asarray(residuals) < 1e-5).all()
    np.testing.assert_allclose(solutions["w"], wanted, atol=3e-5)


def test_a_metric_holds_each_mode_by_its_own_prior_precision():
    """w0 + τh/(Λ + τh) (centre - w0)."""
    metric, betas = np.array([4.0, 0.25, 30.0]), np.array([0.1, 2.0])
    theory = replace(TIGHT, metric={"w": jnp.asarray(metric)})
    solutions, residuals = theory.solve(QUADRATIC, COINS, jnp.asarray(betas))
    centre = np.array(CENTRES[0]) / 4 + 3 * np.array(CENTRES[1]) / 4
    times = 4 * betas[:, None] * np.array(CURVATURE)
    assert (np.asarray(residuals) < 1e-5).all()
    np.testing.assert_allclose(solutions["w"], 0.5 + times / (metric + times) * (centre - 0.5), atol=3e-5)


def test_the_bigram_in_a_metric_against_newton(bigram, data):
    """Λ from 0.1 to 10: far from the identity's answer, which a metric of ones gives."""
    metric = np.exp(np.random.default_rng(0).uniform(np.log(0.1), np.log(10), size=(6, 5)))
    theory, start = replace(TIGHT, metric=jnp.asarray(metric)), np.asarray(bigram.params, float)
    betas = np.array([0.02, 0.2, 1.0, 5.0])
    solve = jax.jit(lambda metric: replace(TIGHT, metric=metric).solve(bigram, data, jnp.asarray(betas))[0])
    solutions, plain = solve(theory.metric), solve(None)
    np.testing.assert_allclose(solve(jnp.ones((6, 5))), plain, atol=1e-6)
    for row, beta in enumerate(betas):
        wanted = newton(start, data, beta * np.asarray(data.mask).sum(), metric)
        far = np.linalg.norm(wanted - start)
        assert np.linalg.norm(np.asarray(solutions[row], float) - wanted) < 2e-4 * far
        assert np.linalg.norm(np.asarray(plain[row], float) - wanted) > 0.1 * far


def test_the_size_of_a_metric_is_the_prior_precision(bigram, data):
    left = replace(TIGHT, prior_precision=6.0).predict(bigram, data, 1.0).params
    right = (
        replace(TIGHT, prior_precision=2.0, metric=jnp.full((6, 5), 3.0)).predict(bigram, data, 1.0).params
    )
    assert np.abs(left - bigram.params).max() > 0.1
    np.testing.assert_allclose(left, right, atol=2e-5)


@pytest.mark.parametrize("theory", [TIGHT, Proximal()], ids=["tight", "default"])
def test_the_bigram_against_newton(bigram, data, theory):
    """The objective is 1-strongly convex: the error is at most the gradient that is left."""
    betas = np.array([0.02, 0.2, 1.0, 5.0])
    solutions, residuals = theory.solve(bigram, data, jnp.asarray(betas))
    start = np.asarray(bigram.params, float)
    pull = np.linalg.norm(slope(start, data))
    assert (np.asarray(residuals) <= theory.tolerance).all()
    for row, beta in enumerate(betas):
        tau = beta * np.asarray(data.mask).sum()
        wanted = newton(start, data, tau)
        error = np.linalg.norm(np.asarray(solutions[row], float) - wanted)
        assert error <= 1.01 * theory.tolerance * tau * pull + 2e-6
        assert error < 0.05 * np.linalg.norm(wanted - start)


def test_the_residual_is_the_gradient_left_over(bigram, data):
    betas = np.array([0.1, 1.0])
    solutions, residuals = Proximal(iterations=2).solve(bigram, data, jnp.asarray(betas))
    start = np.asarray(bigram.params, float)
    for row, beta in enumerate(betas):
        tau, weights = beta * np.asarray(data.mask).sum(), np.asarray(solutions[row], float)
        left = tau * slope(weights, data) + weights - start
        wanted = np.linalg.norm(left) / (tau * np.linalg.norm(slope(start, data)))
        np.testing.assert_allclose(residuals[row], wanted, rtol=2e-2, atol=1e-5)
    assert residuals[1] > 1e-3  # two iterations are not enough: the number says so


def test_only_counted_positions_over_prior_precision_matter(bigram, data):
    left = TIGHT.predict(bigram, data, 0.3).params
    twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), data)
    right = replace(TIGHT, prior_precision=7.0).predict(bigram, twice, 1.05).params
    np.testing.assert_allclose(left, right, atol=2e-5)


def test_strength_zero_stays_at_the_base(bigram, data):
    np.testing.assert_array_equal(TIGHT.predict(bigram, data, 0.0).params, bigram.params)


def test_a_small_strength_is_a_step_of_gradient_descent(bigram, data):
    """‖w - w0 + τ ∇L‖ ≤ ½ τ² ‖∇L‖, as a softmax curves by at most ½."""
    start = np.asarray(bigram.params, float)
    gradient = slope(start, data)
    taus = np.array([0.02, 0.1])
    solutions, _ = TIGHT.solve(bigram, data, jnp.asarray(taus / np.asarray(data.mask).sum()))
    for tau, after in zip(taus, np.asarray(solutions, float), strict=True):
        miss = after - start + tau * gradient
        assert np.linalg.norm(miss) <= 0.5 * tau**2 * np.linalg.norm(gradient) + 1e-6
        assert np.linalg.norm(miss) < 0.05 * tau * np.linalg.norm(gradient)


@pytest.mark.parametrize("which", ["bigram", "curved"])
def test_the_loss_falls_and_the_distance_grows_with_strength(request, data, which):
    """Weights come back in the pytree they were given in."""
    prior = request.getfixturevalue(which)
    betas = jnp.asarray([0.0, 0.01, 0.1, 0.3, 1.0, 3.0])
    solutions, residuals = TIGHT.solve(prior, data, betas)
    assert jax.tree.structure(solutions) == jax.tree.structure(prior.params)
    networks = prior.with_params(solutions)
    losses = jax.vmap(lambda network: mean_loss(network, data))(networks)
    moved = jax.tree.map(lambda new, old: new - old, solutions, prior.params)
    distance = sum(jnp.sum(leaf.reshape(len(betas), -1) ** 2, axis=-1) for leaf in jax.tree.leaves(moved))
    np.testing.assert_allclose(losses[0], mean_loss(prior, data), rtol=1e-6)
    assert (np.diff(losses) < 0).all()
    assert (np.diff(distance) > 0).all()
    assert (np.asarray(residuals) < 1e-3).all()


@pytest.mark.parametrize("prior_precision", [0.0, -2.0, np.nan])
def test_a_prior_precision_that_is_not_positive_is_refused(prior_precision):
    with pytest.raises(Misuse, match=str(prior_precision)):
        Proximal(prior_precision=prior_precision)


@pytest.mark.parametrize("beta", [-0.1, np.nan])
def test_a_ladder_refuses_a_bad_strength(bigram, data, beta):
    with pytest.raises(Misuse):
        ladder(Proximal(), bigram, data, jnp.asarray([beta]), lambda networks: networks.params)


def test_a_rung_that_has_not_converged_is_no_number(bigram, data):
    theory, betas = Proximal(iterations=1), jnp.asarray([0.0, 0.02, 5.0])
    solutions, residuals = theory.solve(bigram, data, betas)
    lost = np.asarray(residuals) > 0.05
    assert not lost[0] and lost[2]
    path = theory.path(bigram, data, betas)
    answers = np.asarray(jax.lax.map(lambda solution: solution.predict(data.tokens), path))
    assert np.isnan(answers[lost]).all() and np.isfinite(answers[~lost]).all()
    np.testing.assert_array_equal(path.params, solutions)


@pytest.mark.parametrize(("longest", "last"), [(0.0, 8.0), (3.0, 8.0), (9.0, 32.0)])
def test_times_go_past_the_longest_of_the_methods(longest, last):
    times = Proximal().times(Scale(answers=48.0, longest=longest))
    assert times[0] == 0 and times[1] == 2.0**-8 and times[-1] == last
    np.testing.assert_array_equal(times[2:], 2 * times[1:-1])
