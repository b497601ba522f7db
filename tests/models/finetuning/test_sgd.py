"""SGD's first step is -η times the gradient of its batch."""

import numpy as np

from models.finetuning.sgd import Sgd


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
