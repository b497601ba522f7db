"""Large networks: the same cell as of small ones, without a stack of weights."""

import jax
import numpy as np
import pytest

from experiments.cells import large
from experiments.cells.programs import Executor
from experiments.storage.records import Cell
from theory.compute.devices import ShardedMap

METHODS = {"finetuning.methods": ("sgd", "early-stopping", "lora"), "finetuning.seeds": 2}


def test_only_networks_whose_doses_take_a_gigabyte_are_large(tiny, untrained, monkeypatch):
    experiment = tiny()
    network = untrained(experiment)
    assert not large.is_large(experiment, network)
    whole = 2 * experiment.seeds * len(experiment.doses) * 4 * network.size
    monkeypatch.setattr(large, "HELD", whole - 1)
    assert large.is_large(experiment, network)
    monkeypatch.setattr(large, "HELD", whole)
    assert not large.is_large(experiment, network)


@pytest.mark.slow
def test_cells_of_large_networks_are_those_of_small_ones(tiny, untrained, monkeypatch):
    experiment = tiny(METHODS)
    network, most = untrained(experiment), []
    small = Executor(experiment, network)
    monkeypatch.setattr(large, "HELD", 0)
    one_by_one = Executor(experiment, network)

    def call(program, *arguments):
        result = plain(program, *arguments)
        most.append(max(leaf.size for leaf in jax.tree.leaves(result)))
        return result

    plain = ShardedMap.__call__
    monkeypatch.setattr(ShardedMap, "__call__", call)
    largest = max(leaf.size for leaf in jax.tree.leaves(network.params))
    for method in experiment.methods:
        cell = Cell("finetuned", "topics0", 0, method)
        wanted, _ = small.run(cell, network)
        most.clear()
        content, problem = one_by_one.run(cell, network)
        assert not problem and content.update == {} and wanted.update
        assert max(most) <= len(jax.devices()) * max(largest, content.finetuned[0, 0].size * 8)
        for name in ("finetuned", "replica", "loss", "distance", "data_loss", "base_read_out", "base_blocks"):
            ours, theirs = getattr(content, name), getattr(wanted, name)
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=f"{method} {name}")
