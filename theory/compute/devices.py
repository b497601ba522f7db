"""Sharded maps: runs of equal shape, vmapped and split over the devices.

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
from jax.stages import Compiled, Lowered
from jaxtyping import Array, Float

from theory.base import PyTree

FASTER: dict[str, bool | int | str] = {"xla_cpu_use_fusion_emitters": False}  # to compile, by jax 0.10
CACHED = 100_000  # weights of the rows that a core takes at once: with more they leave its cache
COPIES = (
    16  # of a row's weights, for which an accelerator's memory must have room: gradient, noise, activations
)


class Programs:
    """A function compiled once for each shape of its arguments, by its first call or ahead of it.

    `programs` holds the compiled ones, those without optimisations beside those with. A call whose program
    another thread is compiling waits for it.
    """

    def __init__(self, function: Callable[..., PyTree]):
        self.function = function
        self.programs: dict[tuple[object, ...], Compiled] = {}
        self._lock = threading.Lock()

    def __call__(self, *arguments: PyTree) -> PyTree:
        return self._program(*arguments)(*jax.tree.leaves(arguments))

    def compile(self, *arguments: PyTree) -> None:
        """Compile for arguments like these (arrays or `jax.ShapeDtypeStruct`), ahead of the first call."""
        self._program(*arguments)

    def _lower(self, *arguments: PyTree) -> Lowered:
        leaves, structure = jax.tree.flatten(arguments)

        def flat(*leaves: Array) -> PyTree:  # jax would put its own records into the arguments' types
            return self.function(*jax.tree.unflatten(structure, leaves))

        return jax.jit(flat, compiler_options=compiler_options()).lower(*leaves)

    def _program(self, *arguments: PyTree) -> Compiled:
        leaves, structure = jax.tree.flatten(arguments)
        kinds = ((np.shape(leaf), getattr(leaf, "dtype", type(leaf))) for leaf in leaves)
        signature = jax.config.read("jax_disable_most_optimizations"), structure, *kinds
        with self._lock:
            if signature not in self.programs:
                self.programs[signature] = self._lower(*arguments).compile()
        return self.programs[signature]


class ShardedMap(Programs):
    """`function(*shared, *mapped)` for every row of the stacked `mapped` arguments.

    The first `shared` arguments go whole to all rows. Returns numpy arrays: slicing an array that lies on
    several devices would start a collective.
    """

    def __init__(self, function: Callable[..., PyTree], shared: int = 0):
        super().__init__(function)
        self.shared = shared

    def __call__(self, *arguments: PyTree) -> PyTree:
        count = jax.tree.leaves(arguments[self.shared :])[0].shape[0]
        rows = padded(count)
        # numpy first: indexing a jax array would compile a gather for every shape.
        whole = jax.tree.map(np.asarray, arguments[: self.shared])
        mapped = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], arguments[self.shared :])
        result = self._program(*whole, *mapped)(*whole, *mapped)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], result)

    def compile(self, *arguments: PyTree) -> None:
        """Compile for arguments like these (arrays or `jax.ShapeDtypeStruct`), ahead of the first call."""

        def pad(leaf: Array | np.ndarray | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((len(padded(leaf.shape[0])), *leaf.shape[1:]), leaf.dtype)

        self._program(*arguments[: self.shared], *jax.tree.map(pad, arguments[self.shared :]))

    def _lower(self, *arguments: PyTree) -> Lowered:
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
        rows = jax.tree.leaves(shapes[self.shared :])[0].shape[0]
        program, _ = sharded(self.function, rows, self.shared, len(shapes) - self.shared)
        return program.lower(*shapes)


def row_by_row(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """A function whose rows go one after the other on a CPU where it is vmapped; elsewhere as it is.

    For loops that end after another number of steps in each row: together they take the steps of the longest
    row, and select all that a loop carries at every step. The function must not close over what is mapped.
    """
    return sequential_vmap(function) if jax.default_backend() == "cpu" else function


@sequential_vmap
def eigh(matrix: Float[Array, "p p"]) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
    """Eigenvalues and eigenvectors of a symmetric matrix; under vmap one after the other."""
    # A batch of them would go to a thread pool, where programs on two CPU devices wait for each other for
    # ever (jaxlib 0.10).
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


def compiler_options() -> dict[str, bool | int | str] | None:
    """Options of `jax.jit` on a CPU: the lowest level of optimisation that still vectorises loops, as wide as
    the machine can. Programs compile sooner and run no slower (benchmarks/compiler_level.py).

    Without optimisations those that compile fastest. They are no flags of XLA's, which it reads once: a
    process that has computed before, as a sweep has, would compile to other digits than a run does.
    """
    if jax.default_backend() != "cpu":
        return None
    if jax.config.read("jax_disable_most_optimizations"):
        return FASTER if jax.__version_info__[:2] == (0, 10) else None
    return {"xla_backend_optimization_level": 1, "xla_cpu_prefer_vector_width": 512}


def batch_per_device(size: int) -> int | None:
    """Number of rows of `size` weights each that a device should take at once: on a CPU as many as its cache
    holds, but two at least; on an accelerator as many as its memory, and all (None) where it names none."""
    if jax.default_backend() == "cpu":
        return max(2, CACHED // size)
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return max(1, memory // (4 * COPIES * size)) if memory else None


def padded(rows: int) -> list[int]:
    """Row numbers 0 ... rows-1, the last repeated until the devices share them evenly."""
    return [*range(rows), *[rows - 1] * (-rows % min(rows, len(jax.devices())))]


def sharded(
    function: Callable[..., PyTree],
    rows: int,
    shared: int,
    mapped: int,
    donate: tuple[int, ...] = (),
    batch: int | None = None,
) -> tuple[Any, Callable[[PyTree], PyTree]]:
    """The jitted program for a (padded) number of rows, and a function that puts its mapped arguments on the
    devices as the program wants them, for callers that keep their state there. `batch`: at most so many of
    a device's rows are vmapped, one batch after the other."""
    mesh = Mesh(np.asarray(jax.devices()[: min(rows, len(jax.devices()))]), ("run",))

    def single(*arguments: PyTree) -> PyTree:
        # A vmap over one row would put an axis of size 1 into every product, which costs time.
        row = jax.tree.map(lambda leaf: leaf[0], arguments[shared:])
        return jax.tree.map(lambda leaf: leaf[None], function(*arguments[:shared], *row))

    def batched(*arguments: PyTree) -> PyTree:
        return jax.lax.map(
            lambda row: function(*arguments[:shared], *row), arguments[shared:], batch_size=batch
        )

    vmapped = jax.vmap(function, in_axes=(None,) * shared + (0,) * mapped)
    per_device = rows // mesh.size
    program = jax.shard_map(
        single if per_device == 1 else vmapped if batch is None or per_device <= batch else batched,
        mesh=mesh,
        in_specs=(P(),) * shared + (P("run"),) * mapped,
        out_specs=P("run"),
        check_vma=False,  # rows do not interact
    )
    whole, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("run"))
    jitted = jax.jit(
        program,
        in_shardings=(whole,) * shared + (split,) * mapped,
        out_shardings=split,
        donate_argnums=donate,
        compiler_options=compiler_options(),
    )

    def put(arguments: PyTree) -> PyTree:
        return jax.device_put(jax.tree.map(np.asarray, arguments), split)

    return jitted, put
