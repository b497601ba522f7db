"""Runs of one shape side by side: vmapped, and split over the devices there are.

On a CPU each core can be a device (`jax_num_cpu_devices`); a small network gains nothing from two threads
on one matrix product, but two networks at once nearly halve the time. The program has no collective, so a
run's numbers may depend on how many share its device, never on what another device does.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


def side_by_side(function: Callable[..., Any], shared: int = 0) -> Callable[..., Any]:
    """`function(*shared, *own)` for every row of the stacked `own` arguments, compiled once for each shape.

    The first `shared` arguments go whole to all rows. Returns numpy arrays: slicing an array that lies
    on several devices would start a collective. The jitted program is `run.programs[rows]`.
    """
    programs: dict[int, Any] = {}

    def run(*arguments: Any) -> Any:
        whole, own = arguments[:shared], arguments[shared:]
        count = jax.tree.leaves(own)[0].shape[0]
        rows = padded(count)
        if len(rows) not in programs:
            programs[len(rows)], _ = sharded(function, len(rows), shared, len(own))
        own = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], own)
        result = programs[len(rows)](*jax.tree.map(np.asarray, whole), *own)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], result)

    run.programs = programs  # type: ignore[attr-defined]
    return run


def padded(rows: int) -> list[int]:
    """Row numbers 0 ... rows-1, the last repeated until the devices share them evenly."""
    return [*range(rows), *[rows - 1] * (-rows % min(rows, len(jax.devices())))]


def sharded(
    function: Callable[..., Any], rows: int, shared: int, own: int, donate: tuple[int, ...] = ()
) -> tuple[Any, Callable[[Any], Any]]:
    """The jitted program for a (padded) number of rows, and the function that puts its own arguments
    where the program wants them, for callers that keep their state on the devices."""
    mesh = Mesh(np.asarray(jax.devices()[: min(rows, len(jax.devices()))]), ("run",))
    program = jax.shard_map(
        jax.vmap(function, in_axes=(None,) * shared + (0,) * own),
        mesh=mesh,
        in_specs=(P(),) * shared + (P("run"),) * own,
        out_specs=P("run"),
        check_vma=False,
    )
    whole, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("run"))
    jitted = jax.jit(
        program,
        in_shardings=(whole,) * shared + (split,) * own,
        out_shardings=split,
        donate_argnums=donate,
    )

    def place(own_arguments: Any) -> Any:
        return jax.device_put(jax.tree.map(np.asarray, own_arguments), split)

    return jitted, place
