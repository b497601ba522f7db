"""Weight decay towards w0 on a quadratic, against its closed form, and against the proximal theory."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.finetuning.adam import Adam
from models.finetuning.method import ExtraData
from models.finetuning.sgd import Sgd
from models.finetuning.weight_decay import WeightDecay
from theory.base import Dataset, Misuse
from theory.compute.descent import descend
from theory.theories.proximal import Proximal

COIN = Dataset(jnp.zeros((2, 1), int), jnp.ones((2, 1), bool))
CURVATURE, CENTRE, START = np.array([0.1, 1.0, 4.0]), np.array([1.0, -1.0, 2.0]), 0.5


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Quadratic:
    """-log p = ½ Σ h (w - c)², whatever the token."""

    params: Any

    def predict(self, tokens):
        value = -0.5 * jnp.sum(CURVATURE * (self.params - CENTRE) ** 2)
        return jnp.broadcast_to(value, (*tokens.shape, 1))

    def with_params(self, params):
        return replace(self, params=params)


@pytest.mark.parametrize("weight", [0.0, 0.5, 7.0, 1e4])
def test_a_quadratic_decays_to_its_ridge(weight):
    """w_t = w* + (1 - η (h + λ))ᵗ (w0 - w*), w* = w0 + h / (h + λ) (c - w0)."""
    base, method = Quadratic(jnp.full(3, START)), WeightDecay(weight)
    rate, doses = 0.5 / (4 + weight), [1, 5, 400]
    optimizer = Sgd(rate).optimizer()
    loss = lambda params, batch: method.loss(base.with_params(params), base, batch, ExtraData())  # noqa: E731
    kept, _ = descend(loss, optimizer, base.params, COIN, jnp.zeros((400, 2), int), doses)
    fixed = START + CURVATURE / (CURVATURE + weight) * (CENTRE - START)
    for row, dose in enumerate(doses):
        wanted = fixed + (1 - rate * (CURVATURE + weight)) ** dose * (START - fixed)
        np.testing.assert_allclose(kept[row], wanted, atol=1e-5)
    if weight > 0:
        assert np.abs(kept[-1] - START).max() <= 1.5 * 4 / weight  # an infinite weight does not move


def test_its_fixed_point_is_the_proximal_theory(table, data):
    """τ = 1 / λ."""
    method = WeightDecay(0.2)

    def step(params, _):
        return params - 0.5 * jax.grad(
            lambda params: method.loss(table.with_params(params), table, data, ExtraData())
        )(params), None

    params, _ = jax.lax.scan(step, table.params, length=300)
    counted = float(jnp.sum(data.mask))
    solution = Proximal(tolerance=1e-5, iterations=200).predict(table, data, 1 / (0.2 * counted))
    np.testing.assert_allclose(solution.params, params, atol=2e-5)
    assert jnp.abs(params - table.params).max() > 0.1


def test_the_first_step_is_plain_and_the_second_is_pulled_back(network, data, batches, run, descent):
    """w2 = w1 - η (∇ℓ(w1) + λ (w1 - w0))."""
    rate, weight = 0.1, 2.0
    kept, losses = run(network, data, batches, WeightDecay(weight, rule=Sgd(rate)), [1, 2])
    slopes = []
    params = [network.params, jax.tree.map(lambda leaf: leaf[0], kept)]
    for step in range(2):
        value, slope = descent(params[step], batches[step])
        slopes.append(slope)
    for w0, w1, g0, g1, got in zip(*map(jax.tree.leaves, (*params, *slopes, kept)), strict=True):
        np.testing.assert_allclose(got[0], w0 - rate * g0, atol=1e-6)
        np.testing.assert_allclose(got[1], w1 - rate * (g1 + weight * (w1 - w0)), atol=1e-6)
    moved = sum(float(jnp.sum((b - a) ** 2)) for a, b in zip(*map(jax.tree.leaves, params), strict=True))
    np.testing.assert_allclose(losses[1], value + 0.5 * weight * moved, rtol=1e-5)


def test_its_time_ends_where_the_pull_is_as_strong(travelled):
    """A flat mode whose gradient is 1 ends at 1 / λ from the start, and at λ = 0 it is SGD's."""
    method, doses = WeightDecay(0.5, rule=Sgd(0.001)), (1, 2, 5, 40)
    time = method.training_time(doses)["identity"]
    np.testing.assert_allclose(time, travelled(Sgd(0.001), doses, pull=0.5), rtol=1e-3)
    assert method.training_time((10**7,))["identity"][0] == pytest.approx(1 / 0.5)
    still = WeightDecay(0.0, rule=Sgd(0.02))
    np.testing.assert_allclose(
        still.training_time(doses)["identity"], Sgd(0.02).training_time(doses)["identity"]
    )


def test_it_has_no_time_around_another_rule_than_sgd():
    assert WeightDecay(rule=Adam()).training_time((1, 2, 5, 40)) == {}


@pytest.mark.parametrize("weight", [-0.1, np.nan])
def test_a_negative_weight_is_refused(weight):
    with pytest.raises(Misuse, match=f"weight must be finite and at least 0, got {weight}"):
        WeightDecay(weight)
