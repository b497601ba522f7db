"""Head-only finetuning moves the read-out alone, and its linearisation is exact."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from models.finetuning.head_only import HeadOnly
from models.finetuning.lora import Lora
from models.finetuning.method import ExtraData
from models.finetuning.sgd import Sgd
from models.network import first
from theory.base import Misuse
from theory.theories.linearised import Linearised

RATE = 0.1


def flat(params):
    return {path: np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(params)}


@pytest.mark.parametrize("layers", [("unembed",), ("embed", "position")])
def test_one_step_is_minus_rate_times_gradient_there_and_nothing_elsewhere(
    network, data, batches, run, descent, layers
):
    kept, _ = run(network, data, batches, HeadOnly(layers, Sgd(RATE)), [1])
    slope = flat(descent(network.params, batches[0])[1])
    before, after = flat(network.params), flat(first(kept))
    for path in before:
        if path[0] in layers:
            np.testing.assert_allclose(after[path], before[path] - RATE * slope[path], atol=1e-7)
            assert np.abs(after[path] - before[path]).max() > 1e-3
        else:
            np.testing.assert_array_equal(after[path], before[path])


def test_the_linearised_head_is_the_head(network, data, batches, run):
    """Logits are linear in what moves: the theory that replays the recipe there predicts the network."""
    kept, _ = run(network, data, batches, HeadOnly(rule=Sgd(RATE)), [8])
    start = HeadOnly().coordinates(network, ExtraData())
    expansion = Linearised(optax.sgd(RATE), RATE, batches).predict(start, data, 8 * RATE)
    wanted = network.with_params(first(kept)).predict(data.tokens)
    np.testing.assert_allclose(expansion.predict(data.tokens), wanted, atol=2e-5)
    assert jnp.abs(wanted - network.predict(data.tokens)).max() > 0.1


def test_a_layer_that_is_not_there_is_refused(network):
    with pytest.raises(Misuse, match=r"layers must be layers of the network, got .*reed"):
        HeadOnly(("unembed", "reed")).coordinates(network, ExtraData())
    with pytest.raises(Misuse, match=r"layers must be a list of names of layers, got \(\)"):
        HeadOnly(())


def test_a_rule_that_says_what_moves_is_refused(network):
    with pytest.raises(Misuse, match="moves all weights, got Lora"):
        HeadOnly(rule=Lora()).coordinates(network, ExtraData())
