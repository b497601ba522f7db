"""Heavy-ball momentum against its geometric sum."""

import jax.numpy as jnp
import numpy as np
import pytest

from models.finetuning.momentum import Momentum
from models.finetuning.sgd import Sgd
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


@pytest.mark.parametrize("method", [Momentum(0.1, 0.7), Sgd(0.1)])
def test_its_recipe_answers_a_gradient_as_its_steps_do(method):
    """One gradient, met at any of five steps on a parabola of curvature 2."""
    (recipe, metric), rule = method.recipe((5,), 4), method.optimizer()

    def end(met):
        weight = jnp.zeros(())
        state = rule.init(weight)
        for step in range(5):
            change, state = rule.update(2.0 * weight + (step == met), state)
            weight = weight + change
        return weight

    wanted = [end(met) for met in range(5)]
    assert metric == "identity" and recipe.batch == 4
    np.testing.assert_allclose(recipe.responses(jnp.asarray([2.0]), 5)[:, 0], wanted, rtol=1e-5)
