"""Frozen-read-out finetuning moves every weight but the read-out's, as full finetuning would."""

import numpy as np
import pytest
from flax import nnx

from models.finetuning.frozen_read_out import FrozenReadOut
from models.finetuning.lora import Lora
from models.finetuning.method import ExtraData
from models.finetuning.sgd import Sgd
from theory.base import Misuse

RATE = 0.1


def flat(params):
    return {path: np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(params)}


@pytest.mark.parametrize("frozen", [("unembed",), ("blocks", "position")])
def test_all_else_descends_and_what_is_frozen_is_bitwise_the_base(
    network, data, batches, run, descent, frozen
):
    kept, _ = run(network, data, batches, FrozenReadOut(frozen, Sgd(RATE)), [1, 8])
    slope = flat(descent(network.params, batches[0])[1])
    before, after = flat(network.params), flat(kept)
    assert before.keys() == after.keys()
    for path, moved in after.items():
        if path[0] in frozen:
            assert moved.tobytes() == np.stack([before[path]] * 2).tobytes()
        else:
            np.testing.assert_allclose(moved[0], before[path] - RATE * slope[path], atol=1e-7)
            assert np.abs(moved - before[path]).max(axis=(1, 2)).min() > 1e-4


def test_layers_that_are_not_there_or_all_of_them_are_refused(network):
    with pytest.raises(Misuse, match=r"frozen must be some layers of the network, .*'reed'"):
        FrozenReadOut(("unembed", "reed")).coordinates(network, ExtraData())
    everything = tuple({path[0] for path in flat(network.params)})
    with pytest.raises(Misuse, match="not all of them"):
        FrozenReadOut(everything).coordinates(network, ExtraData())
    with pytest.raises(Misuse, match="layers must be a list of names of layers"):
        FrozenReadOut(())


def test_a_rule_that_says_what_moves_is_refused(network):
    with pytest.raises(Misuse, match="moves all weights, got Lora"):
        FrozenReadOut(rule=Lora()).coordinates(network, ExtraData())
