"""Heavy-ball momentum against its geometric sum."""

import numpy as np
import pytest

from models.finetuning.momentum import Momentum
from theory.base import Misuse


def test_a_constant_gradient_adds_up_geometrically():
    """Step t is -η (1 - μᵗ) / (1 - μ) times the gradient; the first is plain SGD's."""
    optimizer = Momentum(learning_rate=0.25, decay=0.8).optimizer()
    gradient = {"w": np.array([1.0, -2.0])}
    state = optimizer.init(gradient)
    for step in range(1, 6):
        updates, state = optimizer.update(gradient, state, gradient)
        wanted = -0.25 * (1 - 0.8**step) / (1 - 0.8) * gradient["w"]
        np.testing.assert_allclose(updates["w"], wanted, rtol=1e-6)


@pytest.mark.parametrize("decay", [0.9, 0.0])
def test_its_time_is_how_far_a_constant_gradient_moves_a_weight(travelled, decay):
    method, doses = Momentum(0.01, decay), (1, 2, 5, 40)
    time = method.training_time(doses)
    assert set(time) == {"identity"}
    np.testing.assert_allclose(time["identity"], travelled(method, doses), rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value"), [("learning_rate", 0.0), ("learning_rate", np.nan), ("decay", 1.0), ("decay", -0.1)]
)
def test_bad_fields_are_refused(field, value):
    with pytest.raises(Misuse, match=rf"{field} must be .*got {value}"):
        Momentum(**{field: value})
