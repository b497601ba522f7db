"""Second-order terms against polynomials, and κ² against what a line leaves of a curve."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.divergence.kl import kl
from theory.weights.taylor import spread, taylor


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Polynomial:
    """Outputs c0 + c1 w + c2 w² + c3 w³, a weight for each answer, not normalised: derivatives are exact."""

    params: Any
    powers: Any

    def predict(self, tokens):
        outputs = sum(row * self.params**power for power, row in enumerate(self.powers))
        return jnp.broadcast_to(outputs, (*tokens.shape, len(self.params)))

    def with_params(self, params):
        return replace(self, params=params)


TOKENS = jnp.zeros((1, 1), int)
WEIGHTS, STEP = jnp.array([1.0, 2.0, -1.0]), jnp.array([0.3, -0.1, 0.2])
POWERS = jnp.array([[0.1, 0.2, 0.3], [1.0, -1.0, 2.0], [0.5, 0.25, -1.0], [0.1, 0.0, 0.2]])


def test_terms_are_those_of_the_polynomial():
    parts = taylor(Polynomial(WEIGHTS, POWERS), STEP, TOKENS)
    value, slope, curvature = (np.asarray(part)[0, 0] for part in parts)
    w, (c0, c1, c2, c3) = np.asarray(WEIGHTS), np.asarray(POWERS)
    assert value == pytest.approx(c0 + c1 * w + c2 * w**2 + c3 * w**3, rel=1e-6)
    assert slope == pytest.approx((c1 + 2 * c2 * w + 3 * c3 * w**2) * np.asarray(STEP), rel=1e-6)
    assert curvature == pytest.approx((2 * c2 + 6 * c3 * w) * np.asarray(STEP) ** 2, rel=1e-6)


def test_kappa_is_zero_for_a_line_and_half_the_step_for_a_square_at_one():
    """f = w²: J d = 2 w d and ½ dᵀ H d = d², in one answer alone, whatever the probabilities."""
    square = jnp.array([[0.3, 0.7, 0.1], [0.0] * 3, [1.0] * 3])
    moved = jnp.array([0.25, 0.0, 0.0])
    for powers, wanted in ((square, 0.125), (POWERS[:2], 0.0)):
        value, slope, curvature = taylor(Polynomial(WEIGHTS, powers), moved, TOKENS)
        first, second = (float(spread(part[0], value[0])[0]) for part in (slope, curvature / 2))
        assert np.sqrt(second / first) == pytest.approx(wanted)


def test_twice_the_kl_of_a_small_change_is_its_spread_whatever_normalises_it():
    base = jax.nn.log_softmax(jnp.array([[0.2, -1.0, 0.5]]))
    change = 1e-2 * jnp.array([[1.0, -0.5, 0.3]])
    exact = kl(base, jax.nn.log_softmax(base + change))
    assert 2 * float(exact[0]) == pytest.approx(float(spread(change, base)[0]), rel=2e-2)
    assert float(spread(change + 7, base)[0]) == pytest.approx(float(spread(change, base)[0]), rel=1e-2)


def test_the_second_order_is_what_the_line_leaves_unexplained_of_a_short_step():
    network, short = Polynomial(WEIGHTS, POWERS), 0.1 * STEP
    value, slope, curvature = (np.asarray(part, float)[0, 0] for part in taylor(network, short, TOKENS))
    w = np.asarray(WEIGHTS + short, float)
    after = sum(row * w**power for power, row in enumerate(np.asarray(POWERS, float)))

    def divergence(left, right):
        left, right = (logits - np.logaddexp.reduce(logits) for logits in (left, right))
        return np.sum(np.exp(left) * (left - right))

    left = divergence(after, value + slope) / divergence(after, value)
    second, first = (float(spread(jnp.asarray(part), jnp.asarray(value))) for part in (curvature / 2, slope))
    assert left == pytest.approx(second / first, rel=0.1) and 0 < left < 1e-2
