"""SGD's first step is -η times the gradient of its batch."""

import numpy as np
import pytest

from models.finetuning.sgd import Sgd
from theory.base import Misuse


def test_one_step_is_minus_rate_times_gradient():
    optimizer = Sgd(learning_rate=0.25).optimizer()
    gradient = {"w": np.array([1.0, -2.0])}
    updates, _ = optimizer.update(gradient, optimizer.init(gradient), gradient)
    np.testing.assert_allclose(updates["w"], [-0.25, 0.5])


def test_its_time_is_how_far_a_constant_gradient_moves_a_weight(travelled):
    method, doses = Sgd(0.02), (1, 2, 5, 40)
    time = method.training_time(doses)
    assert set(time) == {"identity"}
    np.testing.assert_allclose(time["identity"], travelled(method, doses), rtol=1e-5)


@pytest.mark.parametrize("rate", [0.0, -0.1, np.nan])
def test_a_learning_rate_that_is_not_above_0_is_refused(rate):
    with pytest.raises(Misuse, match=f"learning_rate must be finite and above 0, got {rate}"):
        Sgd(rate)
