"""Training time: against the displacement that each recipe makes under a constant and a linear pull."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.cells.clock import times
from models.finetuning.adam import Adam
from models.finetuning.head_only import HeadOnly
from models.finetuning.lora import Lora
from models.finetuning.momentum import Momentum
from models.finetuning.muon import Muon
from models.finetuning.sgd import Sgd
from models.finetuning.weight_decay import WeightDecay

DOSES = (1, 2, 5, 40)


def travelled(method, pull=0.0):
    """-w after every dose, from 0, of a weight whose gradient is 1 + pull × w."""
    optimizer, w = method.optimizer(), jnp.zeros(())
    state, kept = optimizer.init(w), []
    for step in range(1, DOSES[-1] + 1):
        updates, state = optimizer.update(1 + pull * w, state, w)
        w = optax.apply_updates(w, updates)
        if step in DOSES:
            kept.append(-float(w))
    return kept


@pytest.mark.parametrize("method", [Sgd(0.02), Momentum(0.01, 0.9), Momentum(0.01, 0.0)])
def test_the_time_of_a_flow_is_how_far_a_constant_gradient_moves_a_weight(method):
    told = times(method, DOSES)
    assert set(told) == {"identity"}
    np.testing.assert_allclose(told["identity"], travelled(method), rtol=1e-5)


def test_adam_moves_as_far_in_its_own_metric():
    """Λ = √v = 1 for a gradient of 1."""
    told = times(Adam(0.001), DOSES)
    assert set(told) == {"adam"}
    np.testing.assert_allclose(told["adam"], travelled(Adam(0.001)), rtol=1e-4)


def test_weight_decay_stops_where_the_pull_is_as_strong():
    method = WeightDecay(0.5, rule=Sgd(0.001))
    told = times(method, DOSES)["identity"]
    np.testing.assert_allclose(told, travelled(Sgd(0.001), pull=0.5), rtol=1e-3)
    assert times(method, (10**7,))["identity"][0] == pytest.approx(1 / 0.5)
    np.testing.assert_allclose(
        times(WeightDecay(0.0, rule=Sgd(0.02)), DOSES)["identity"], times(Sgd(0.02), DOSES)["identity"]
    )


@pytest.mark.parametrize("method", [HeadOnly(), Lora(), Muon(), WeightDecay(rule=Adam())])
def test_what_is_no_flow_of_all_weights_has_no_time(method):
    assert times(method, DOSES) == {}
