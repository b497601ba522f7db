"""Runs of one shape side by side: vmapped, and split over the devices there are.

On a CPU each core can be a device (`jax_num_cpu_devices`); a small network gains nothing from two threads
on one matrix product, but two networks at once nearly halve the time. The program has no collective, so a
run's numbers may depend on how many share its device, never on what another device does.
"""

import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import sequential_vmap
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

CACHED = 100_000  # weights of the rows that a core takes side by side: with more they leave its cache


class ShardedMap:
    """`function(*shared, *own)` for every row of the stacked `own` arguments.

    The first `shared` arguments go whole to all rows. Returns numpy arrays: slicing an array that lies on
    several devices would start a collective. `programs` holds one compiled program for each shape.
    """

    def __init__(self, function: Callable[..., Any], shared: int = 0):
        self.function = function
        self.shared = shared
        self.programs: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        count = jax.tree.leaves(arguments[self.shared :])[0].shape[0]
        rows = padded(count)
        whole = jax.tree.map(np.asarray, arguments[: self.shared])
        own = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], arguments[self.shared :])
        result = self._program(*whole, *own)(*whole, *own)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], result)

    def compile(self, *arguments: Any) -> None:
        """Compile for arguments like these (arrays or `jax.ShapeDtypeStruct`), ahead of the first call."""

        def pad(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((len(padded(leaf.shape[0])), *leaf.shape[1:]), leaf.dtype)

        self._program(*arguments[: self.shared], *jax.tree.map(pad, arguments[self.shared :]))

    def _program(self, *arguments: Any) -> Any:
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
        leaves, structure = jax.tree.flatten(shapes)
        signature = (structure, *((leaf.shape, leaf.dtype) for leaf in leaves))
        with self._lock:  # a call that comes while its program is being compiled elsewhere waits for it
            if signature not in self.programs:
                own = len(arguments) - self.shared
                rows = jax.tree.leaves(shapes[self.shared :])[0].shape[0]
                program, _ = sharded(self.function, rows, self.shared, own)
                self.programs[signature] = program.lower(*shapes).compile()
        return self.programs[signature]


@sequential_vmap
def eigh(matrix: Any) -> tuple[Any, Any]:
    """Eigenvalues and eigenvectors of a symmetric matrix; under vmap one after the other. Several at once go
    to a thread pool, where programs on two CPU devices wait for each other for ever (jaxlib 0.10)."""
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


def compiler_options() -> dict[str, Any] | None:
    """For `jax.jit` on a CPU: the lowest level of optimisation that still writes loops in vectors, as wide as
    the machine has them. Programs compile sooner and run no slower (benchmarks/compiler_level.py)."""
    if jax.default_backend() != "cpu" or jax.config.read("jax_disable_most_optimizations"):
        return None
    return {"xla_backend_optimization_level": 1, "xla_cpu_prefer_vector_width": 512}


def batch_per_device(size: int) -> int | None:
    """How many rows of `size` weights each a device should take side by side: on a CPU as many as its cache
    holds, and two whatever they hold; elsewhere all of them (None)."""
    return max(2, CACHED // size) if jax.default_backend() == "cpu" else None


def padded(rows: int) -> list[int]:
    """Row numbers 0 ... rows-1, the last repeated until the devices share them evenly."""
    return [*range(rows), *[rows - 1] * (-rows % min(rows, len(jax.devices())))]


def sharded(
    function: Callable[..., Any],
    rows: int,
    shared: int,
    own: int,
    donate: tuple[int, ...] = (),
    most: int | None = None,
) -> tuple[Any, Callable[[Any], Any]]:
    """The jitted program for a (padded) number of rows, and the function that puts its own arguments
    where the program wants them, for callers that keep their state on the devices. A device that has more
    than `most` rows takes so many side by side, one group after the other."""
    mesh = Mesh(np.asarray(jax.devices()[: min(rows, len(jax.devices()))]), ("run",))

    def alone(*arguments: Any) -> Any:  # a row that has its device to itself: no axis of one in its products
        only = jax.tree.map(lambda leaf: leaf[0], arguments[shared:])
        return jax.tree.map(lambda leaf: leaf[None], function(*arguments[:shared], *only))

    def grouped(*arguments: Any) -> Any:
        return jax.lax.map(
            lambda own: function(*arguments[:shared], *own), arguments[shared:], batch_size=most
        )

    together = jax.vmap(function, in_axes=(None,) * shared + (0,) * own)
    each = rows // mesh.size
    program = jax.shard_map(
        alone if each == 1 else together if most is None or each <= most else grouped,
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
        compiler_options=compiler_options(),
    )

    def place(own_arguments: Any) -> Any:
        return jax.device_put(jax.tree.map(np.asarray, own_arguments), split)

    return jitted, place
