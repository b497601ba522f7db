"""The comparison of an accelerator with the CPU: what agrees, what does not, and what is refused then."""

import jax
import numpy as np
import pytest

from experiments.runs import device_check
from experiments.runs.device_check import (
    LIMIT,
    compare,
    lines,
    operations,
    refuse_other_values,
    report,
    run_on,
)
from theory.errors import Misuse


class Other:
    """A stand-in for an accelerator, whose programs run on the CPU."""

    platform, device_kind = "gpu", "Made-up 1"


@pytest.fixture
def other(monkeypatch):
    """Let it be the device of this process, with values changed by `change`; returns how to set that."""
    changes = {}

    def run(operation, device):
        value = run_on(operation, jax.devices()[0])
        change = changes.get(operation.function, lambda value: value)
        return jax.tree.map(change, value) if isinstance(device, Other) else value

    chosen = {name: operations()[name] for name in ("matrix product", "random bits", "reductions")}
    monkeypatch.setattr(device_check, "accelerator", Other)
    monkeypatch.setattr(device_check, "operations", lambda: chosen)
    monkeypatch.setattr(device_check, "run_on", run)
    refuse_other_values.cache_clear()
    yield lambda name, change: changes.update({chosen[name].function: change})
    refuse_other_values.cache_clear()


def tf32(values):
    """Numbers as TF32 has them, with 10 bits after the first."""
    return (values.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def test_a_device_that_agrees_is_taken(other):
    refuse_other_values()
    assert all(part.agrees for part in report()[1])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("matrix product", tf32),
        ("matrix product", lambda values: values * np.float32(1 + 2 * LIMIT)),
        ("matrix product", lambda values: np.where(values > 1, np.nan, values)),
        ("matrix product", lambda values: values[:-1]),
        ("random bits", lambda bits: bits ^ np.uint32(1)),
        ("reductions", lambda values: values + (values.dtype.kind == "i")),
    ],
)
def test_another_value_is_named_and_no_study_runs(other, name, change):
    other(name, change)
    with pytest.raises(
        Misuse, match=rf"Made-up 1 computes other values .* \(1 operations: {name} by .*\); no study"
    ):
        refuse_other_values()
    said, compared = report()
    assert [part.name for part in compared if not part.agrees] == [name]
    assert sum("FAILED" in line for line in said) == 1


def test_a_cpu_alone_is_compared_with_nothing():
    refuse_other_values.cache_clear()
    refuse_other_values()
    assert report() == (
        ["accelerator none: this machine computes on its CPU, there is nothing to compare"],
        [],
    )


@pytest.mark.slow
def test_every_operation_is_the_same_on_two_devices_of_a_cpu():
    first, last = jax.devices()[0], jax.devices()[-1]
    compared = compare(last, first)
    assert len(compared) == 16 and max(part.error for part in compared) == 0.0
    assert len(lines(compared)) == 16
    sizes = [jax.tree.map(np.isfinite, run_on(operation, first)) for operation in operations().values()]
    assert all(np.all(leaf) for leaf in jax.tree.leaves(sizes))
