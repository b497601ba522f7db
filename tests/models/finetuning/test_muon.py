"""Muon's first step against a singular value decomposition."""

import numpy as np
import pytest

from models.finetuning.muon import Muon
from theory.base import Misuse


@pytest.mark.parametrize("shape", [(5, 3), (4, 4), (2, 6)])
def test_the_first_step_pushes_singular_values_to_one(shape):
    """Five times s ← 3.4445 s - 4.775 s³ + 2.0315 s⁵ from s / ‖G‖, times -η 0.2 √max(inputs, outputs)."""
    optimizer = Muon(learning_rate=0.01).optimizer()
    gradient = {"w": np.random.default_rng(0).normal(size=shape).astype(np.float32)}
    updates, _ = optimizer.update(gradient, optimizer.init(gradient), gradient)
    left, values, right = np.linalg.svd(gradient["w"].astype(float), full_matrices=False)
    values = values / np.sqrt(np.sum(values**2))
    for _ in range(5):
        values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
    wanted = -0.01 * 0.2 * np.sqrt(max(shape)) * (left * values) @ right
    np.testing.assert_allclose(updates["w"], wanted, atol=2e-6)
    assert np.abs(values - 1).max() < 0.4  # near orthogonal, whatever the gradient's own values


def test_the_size_of_the_gradient_does_not_matter():
    optimizer = Muon().optimizer()
    gradient = {"w": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)}
    steps = []
    for scale in (1.0, 1e-3):
        scaled = {"w": scale * gradient["w"]}
        steps.append(optimizer.update(scaled, optimizer.init(scaled), scaled)[0]["w"])
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-3)


@pytest.mark.parametrize(("field", "value"), [("learning_rate", -1.0), ("decay", 1.0)])
def test_bad_fields_are_refused(field, value):
    with pytest.raises(Misuse, match=rf"{field} must be .*got {value}"):
        Muon(**{field: value})
