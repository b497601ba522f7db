"""Adam's first step has the size of its rate in every coordinate, whatever the gradient's size."""

import numpy as np
import pytest

from models.finetuning.adam import Adam
from theory.base import Misuse


def test_the_first_step_is_the_rate_against_the_sign():
    optimizer = Adam(learning_rate=0.01).optimizer()
    gradient = {"w": np.array([1e-3, -20.0])}
    updates, _ = optimizer.update(gradient, optimizer.init(gradient), gradient)
    np.testing.assert_allclose(updates["w"], [-0.01, 0.01], rtol=1e-4)


def test_its_time_is_how_far_a_constant_gradient_moves_a_weight_in_its_metric(travelled):
    """Λ = √v = 1 for a gradient of 1."""
    method, doses = Adam(0.001), (1, 2, 5, 40)
    time = method.training_time(doses)
    assert set(time) == {"adam"}
    np.testing.assert_allclose(time["adam"], travelled(method, doses), rtol=1e-4)


@pytest.mark.parametrize("rate", [0.0, -0.1, np.nan])
def test_a_learning_rate_that_is_not_above_0_is_refused(rate):
    with pytest.raises(Misuse, match=f"learning_rate must be finite and above 0, got {rate}"):
        Adam(rate)
