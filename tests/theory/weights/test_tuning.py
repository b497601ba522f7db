"""Step sizes and prior precisions against brute force: whole Hessians, exact draws, and rules by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from tests.theory.tiny_networks import Curved
from theory.base import Dataset, Misuse, mean_loss
from theory.weights.tuning import (
    WIDTHS,
    choose_step,
    curvature,
    prior_costs,
    prior_precision_for,
    stable_step,
)

KEY = jax.random.key(3)


RNG = np.random.default_rng(0)
BASE = {"embed": RNG.normal(size=(6, 4)), "unembed": 0.8 * RNG.normal(size=(4, 5))}
NETWORK = Curved(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), BASE))
METRIC = jax.tree.map(lambda leaf: jnp.asarray(np.exp(RNG.normal(2, 1, leaf.shape)), jnp.float32), BASE)
DATA = Dataset(jnp.asarray(RNG.integers(0, 5, (30, 4))), jnp.asarray(RNG.random((30, 4)) < 0.8))
FLAT, BACK = ravel_pytree(NETWORK.params)
METRICS = pytest.mark.parametrize("metric", [None, METRIC], ids=["identity", "metric"])


def loss(flat):
    return mean_loss(NETWORK.with_params(BACK(flat)), DATA)


def cost(flat):
    """Mean KL of a counted position from the network, nats."""
    base, moved = NETWORK.predict(DATA.tokens), NETWORK.with_params(BACK(flat)).predict(DATA.tokens)
    terms = jnp.sum(jnp.exp(base) * (base - moved), axis=-1)
    return jnp.sum(jnp.where(DATA.mask, terms, 0.0)) / jnp.sum(DATA.mask)


HESSIAN, SLOPE = jax.jit(jax.hessian(loss)), jax.jit(jax.grad(loss))
FISHER = jax.jit(jax.hessian(cost))


def units(metric):
    """Λ^-½, flat."""
    return np.ones(FLAT.size) if metric is None else np.asarray(ravel_pytree(metric)[0], float) ** -0.5


def largest(flat, scale):
    """The largest |eigenvalue| of the whole Hessian, in scaled coordinates."""
    bent = np.asarray(HESSIAN(flat), float) * scale * scale[:, None]
    return np.abs(np.linalg.eigvalsh(bent)).max()


@METRICS
def test_the_curvature_is_the_largest_eigenvalue(metric):
    exact = largest(FLAT, units(metric))
    assert abs(exact / largest(FLAT, units(None if metric else METRIC)) - 1) > 0.5  # the metric matters
    assert float(curvature(NETWORK, DATA, metric, 0.0, KEY, 150)) == pytest.approx(exact, rel=1e-3)


@METRICS
def test_few_iterations_come_from_below(metric):
    exact = largest(FLAT, units(metric))
    assert 0.7 * exact < float(curvature(NETWORK, DATA, metric, 0.0, KEY)) < exact * (1 + 1e-5)


@pytest.mark.parametrize(("size", "metric", "growth"), [(0.4, METRIC, 1.116), (1.0, None, 0.775)])
def test_the_curvature_one_step_on_counts_where_it_is_larger(size, metric, growth):
    """Small weights say little, so the loss is flat there and may bend on the way to D'."""
    start, scale = size * FLAT, units(metric)
    time = 30 / largest(start, scale)
    stride = time / (1 + time * largest(start, scale))
    there = largest(start - stride * scale**2 * SLOPE(start), scale)
    assert there / largest(start, scale) == pytest.approx(growth, abs=0.01)
    result = float(curvature(NETWORK.with_params(BACK(start)), DATA, metric, time, KEY, 150))
    assert result == pytest.approx(max(largest(start, scale), there), rel=5e-3)


@pytest.mark.parametrize("curved", [0.0, 3.0, 99.0])
def test_a_stable_step_is_a_share_of_where_a_direction_becomes_unstable(curved):
    """One step of the kernel on the prior with a likelihood of curvature λ is a matrix: its eigenvalues lie
    on the unit circle below the limit, and one grows beyond it."""

    def growth(step):
        kick = np.array([[1, 0], [-np.tan(step / 2) * curved, 1]])
        turn = np.array([[np.cos(step), np.sin(step)], [-np.sin(step), np.cos(step)]])
        return np.abs(np.linalg.eigvals(kick @ turn @ kick)).max()

    assert growth(stable_step(curved, 0.98)) == pytest.approx(1.0, abs=1e-9)
    if curved:
        assert growth(2 * np.arcsin(min(1.02 / np.sqrt(1 + curved), 1))) > 1.05
    steps = stable_step([curved] * 2, np.array([0.25, 0.5]))
    np.testing.assert_allclose(np.sin(steps / 2) * np.sqrt(1 + curved), [0.25, 0.5])


STEPS = (1.0, 0.5, 0.25, 0.125)


@pytest.mark.parametrize(
    ("acceptance", "step", "reason"),
    [
        ((0.2, 0.7, 0.8, 0.9), 0.5, "acceptance 0.70, 0.20 one step up (target 0.6)"),
        ((0.61, 0.7, 0.8, 0.9), 1.0, "acceptance 0.61, the largest (target 0.6)"),
        ((0.9, 0.2, 0.6, 0.9), 0.25, "acceptance 0.60, 0.20 one step up"),  # a lucky large step is not taken
        ((0.9, np.nan, 0.7, 0.9), 0.25, "acceptance 0.70, nan one step up"),
        ((0.9, 0.9, 0.9, 0.1), 0.125, "the smallest tried, misses the target: acceptance 0.10 < 0.6"),
        ((0.9, 0.9, 0.9, np.nan), 0.125, "misses the target: acceptance nan"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_largest_step_from_which_on_all_are_good(acceptance, step, reason, order):
    choice = choose_step(STEPS[::order], acceptance[::order], 0.6, friction=2.0)
    assert choice.step_size == step
    np.testing.assert_equal(choice.acceptance, acceptance[STEPS.index(step)])
    assert choice.warmup == 3 / step
    assert choice.reason.startswith(f"h = {step:g}")
    assert reason in choice.reason
    assert choice.reason.endswith(f"; warm-up {choice.warmup} steps")


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0, np.nan])
def test_a_target_that_is_no_probability_is_refused(target):
    with pytest.raises(Misuse, match=f"between 0 and 1, got {target}"):
        choose_step(STEPS, (0.9,) * 4, target)


def costs_of(metric, pairs):
    return np.asarray(jax.jit(lambda: prior_costs(NETWORK, DATA, metric, KEY, pairs))(), float)


@pytest.fixture(scope="module")
def curves():
    """Costs with many pairs, where their mean is known to a few percent."""
    return {name: costs_of(metric, 200) for name, metric in (("identity", None), ("metric", METRIC))}


@METRICS
def test_small_costs_are_those_of_the_quadratic(curves, metric):
    """½σ² tr(S F S), F the Fisher information, S = Λ^-½ with a mean square of 1; a pair tells it with
    variance ½σ⁴ tr((S F S)²)."""
    scale = units(metric) / np.sqrt(np.mean(units(metric) ** 2))
    bent = np.asarray(FISHER(FLAT), float) * scale * scale[:, None]
    costs = curves["metric" if metric else "identity"]
    for width in (5e-3, 1e-2, 2e-2):
        index = np.abs(WIDTHS - width).argmin()
        square = WIDTHS[index] ** 2 / 2
        error = square * np.sqrt(2 * np.sum(bent**2) / 200) + 0.02 * square * np.trace(bent)
        assert abs(costs[index] - square * np.trace(bent)) < 4 * error
        assert costs[index] > 8 * error  # far from nothing


@METRICS
def test_the_cost_of_one_pair_grows_as_the_square(metric):
    """Odd orders cancel between opposite draws."""
    costs = costs_of(metric, 1)
    low, high = (np.abs(WIDTHS - width).argmin() for width in (5e-3, 5e-2))
    power = np.log(costs[high] / costs[low]) / np.log(WIDTHS[high] / WIDTHS[low])
    assert power == pytest.approx(2, abs=0.1)


@METRICS
def test_the_prior_precision_inverts_the_curve(curves, metric):
    costs = curves["metric" if metric else "identity"]
    inside = np.flatnonzero((costs > 1e-4) & (costs < 0.5))
    result = prior_precision_for(costs, costs[inside].tolist(), metric)
    np.testing.assert_allclose(result, np.mean(units(metric) ** 2) / WIDTHS[inside] ** 2, rtol=1e-4)
    assert len(inside) > 5
    middle = prior_precision_for(costs, [np.sqrt(costs[inside[0]] * costs[inside[1]])], metric)
    assert middle[0] == pytest.approx(np.sqrt(result[0] * result[1]), rel=1e-4)


@METRICS
def test_the_prior_of_that_prior_precision_costs_what_was_asked(curves, metric):
    """The round trip, with other draws: the mean KL under w0 + (γΛ)^-½ ξ."""
    noise = np.random.default_rng(1).normal(size=(1500, FLAT.size))
    wanted = [1e-3, 1e-2, 0.1]
    gammas = prior_precision_for(curves["metric" if metric else "identity"], wanted, metric)
    costs = jax.jit(jax.vmap(cost))
    for asked, gamma in zip(wanted, gammas, strict=True):
        moved = noise * units(metric) * gamma**-0.5
        both = [np.asarray(costs(jnp.asarray(FLAT + sign * moved)), float) for sign in (1, -1)]
        assert np.mean(both) == pytest.approx(asked, rel=0.12)


@pytest.mark.parametrize("asked", [1e-14, 1e6, np.nan])
def test_a_cost_that_no_width_makes_is_refused(curves, asked):
    with pytest.raises(Misuse, match=f"cost {asked} nats .* ask for another temperature"):
        prior_precision_for(curves["identity"], [asked], None)
