"""Comparison of an accelerator with the CPU, on the operations that runs are made of.

Accelerators have given wrong values, and products in fewer digits than float32 has, without a word. Each
operation has fixed inputs, and runs compiled on both. The largest difference, beside the largest number of
the CPU's result, may be what another order of sums makes of float32: LIMIT is 40 times the rounding of one
operation (2⁻²⁴), as sums here have up to some thousand terms, whose errors grow like a root of their number.
Products in TF32 differ by 2⁻¹¹ = 5e-4, in bfloat16 by 2⁻⁸. Random bits must be the same bit for bit.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from models.network import build, first
from models.transformer import Architecture
from theory.base import Dataset, PyTree, mean_loss
from theory.compute.devices import eigh
from theory.compute.random import categorical, normal
from theory.errors import Misuse

Device: TypeAlias = Any  # jax.Device, which has no public type
LIMIT = 40 * 2.0**-24
LARGER = 10 * LIMIT  # of what is made of many operations one after the other, whose errors add


@dataclass(frozen=True)
class Operation:
    """A function of arrays, and the largest difference between two devices beside its largest number."""

    function: Callable[..., PyTree]
    inputs: tuple[np.ndarray, ...]
    limit: float = LIMIT


@dataclass(frozen=True)
class Comparison:
    """The difference of two devices in an operation; ∞ where one is not finite, or has another shape."""

    name: str
    error: float
    limit: float

    @property
    def agrees(self) -> bool:
        """Whether it is no more than rounding."""
        return self.error <= self.limit


def operations() -> dict[str, Operation]:
    """Every operation by name, with inputs that are the same everywhere."""
    random = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    key = np.array([3, 5], np.uint32)
    square = numbers(48, 48)
    positive = (square @ square.T + 48 * np.eye(48)).astype(np.float32)
    rows = random.integers(0, 64, 4096).astype(np.int32)
    tokens = random.integers(0, 7, (16, 12)).astype(np.int32)
    return {
        "random bits": Operation(_bits, (key,), 0.0),
        "normal numbers": Operation(_normals, (key,)),
        "categories": Operation(_categories, (key, numbers(7)), 0.0),
        "matrix product": Operation(jnp.matmul, (numbers(256, 512), numbers(512, 64))),
        "batched products": Operation(_batched, (numbers(32, 24, 16), numbers(32, 16, 24))),
        "many small products": Operation(_small, (numbers(32769, 3),)),
        "softmax and logsumexp": Operation(_softmax, (10 * numbers(64, 512),)),
        "elementwise": Operation(_elementwise, (numbers(4096),)),
        "reductions": Operation(_reductions, (np.abs(numbers(64, 1024)),)),
        "cumulated sums": Operation(_cumulated, (np.abs(numbers(16, 512)),)),
        "gather and scatter": Operation(_scatter, (numbers(64), rows, numbers(4096))),
        "sort": Operation(_sort, (numbers(2048),), 0.0),
        "scan": Operation(_scan, (numbers(64), square / 16), LARGER),
        "eigenvalues": Operation(_eigh, (positive,), LARGER),
        "Cholesky factor": Operation(jnp.linalg.cholesky, (positive,), LARGER),
        "gradient of a network": Operation(_gradient, (tokens,), LARGER),
    }


def compare(
    device: Device,
    reference: Device,
    known: Mapping[str, Operation] | None = None,
    run: Callable[[Operation, Device], PyTree] | None = None,
) -> list[Comparison]:
    """Every operation on a device and on the reference; `run` runs one."""
    run = run or run_on
    chosen = operations() if known is None else known
    return [
        Comparison(name, _difference(run(operation, device), run(operation, reference)), operation.limit)
        for name, operation in chosen.items()
    ]


def run_on(operation: Operation, device: Device) -> PyTree:
    """The result of an operation, compiled for a device."""
    inputs = jax.device_put(operation.inputs, device)
    return jax.tree.map(np.asarray, jax.jit(operation.function)(*inputs))


def _difference(ours: PyTree, theirs: PyTree) -> float:
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return max(_of_leaf(*map(np.asarray, pair)) for pair in pairs)


def _of_leaf(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return np.inf
    gap = np.abs(ours.astype(float) - theirs.astype(float)).max(initial=0.0)
    return float(gap / max(np.abs(theirs.astype(float)).max(initial=0.0), 1e-30))


def accelerator() -> Device | None:
    """The first device that computes, where that is not the CPU."""
    device = jax.devices()[0]
    return None if device.platform == "cpu" else device


def cpu() -> Device:
    """The CPU beside it; raises `Misuse` where jax was told to do without."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise Misuse(
            f"An accelerator is compared with the CPU, which jax cannot use here ({error}); unset "
            "JAX_PLATFORMS, or add cpu to it, as in cuda,cpu."
        ) from error


@functools.cache
def refuse_other_values() -> None:
    """Refuse a study on an accelerator whose values are not the CPU's; nothing on a CPU."""
    device = accelerator()
    if device is None:
        return
    wrong = [part for part in compare(device, cpu()) if not part.agrees]
    if wrong:
        named = ", ".join(f"{part.name} by {part.error:.1e} of {part.limit:.1e}" for part in wrong[:3])
        raise Misuse(
            f"{device.device_kind} computes other values than the CPU ({len(wrong)} operations: {named}); no "
            "study is run on it. See finebayes doctor, or set JAX_PLATFORMS=cpu."
        )


def _bits(key: Array) -> Array:
    return jax.random.bits(jax.random.wrap_key_data(key, impl="threefry2x32"), (4096,))


def _normals(key: Array) -> Array:
    return normal(key, jnp.zeros(4096, jnp.float32))


def _categories(key: Array, log_weights: Array) -> Array:
    return categorical(key, log_weights, (4096,))


def _batched(left: Array, right: Array) -> Array:
    return jnp.einsum("bij,bjk->bik", left, right)


def _small(rows: Array) -> Array:
    """jaxlib 0.10.2 has this wrong on CPUs."""
    return jax.vmap(lambda row: jnp.sum(jnp.square(jnp.eye(3) @ row)))(rows)


def _softmax(logits: Array) -> tuple[Array, Array]:
    masked = jnp.where(jnp.arange(logits.shape[-1]) < 400, logits, -jnp.inf)
    return jax.nn.softmax(masked), jax.nn.logsumexp(masked, axis=-1)


def _elementwise(x: Array) -> tuple[Array, ...]:
    return jnp.exp(x), jnp.log(1 + x * x), jnp.tanh(x), jax.nn.gelu(x), jax.lax.rsqrt(1 + x * x), jnp.cos(x)


def _reductions(x: Array) -> tuple[Array, ...]:
    return x.sum(), x.mean(axis=0), x.max(axis=1), x.var(axis=1), jnp.argmax(x, axis=1)


def _cumulated(x: Array) -> Array:
    return jnp.cumsum(x, axis=-1)


def _scatter(start: Array, rows: Array, values: Array) -> tuple[Array, Array]:
    added = start.at[rows].add(values)  # rows occur many times
    return added, added[rows]


def _sort(x: Array) -> tuple[Array, Array]:
    order = jnp.argsort(x)
    return x[order], jnp.searchsorted(x[order], jnp.linspace(-2, 2, 64))


def _scan(start: Array, weights: Array) -> Array:
    def step(state: Array, _: None) -> tuple[Array, None]:
        return 0.5 * state + 0.1 * jnp.tanh(jnp.concatenate([weights @ state[:48], state[48:]])), None

    return jax.lax.scan(step, start, None, 200)[0] + start


def _eigh(matrix: Array) -> tuple[Array, Array]:
    values, vectors = eigh(matrix)
    return values, vectors * values @ vectors.T  # eigenvectors have either sign


def _gradient(tokens: Array) -> PyTree:
    """Loss and gradient of a small transformer."""
    network = first(build(Architecture(16, 1, 2), 7, 12, [0]))
    data = Dataset(tokens, jnp.ones(tokens.shape, bool))
    return jax.value_and_grad(lambda params: mean_loss(network.with_params(params), data))(network.params)


def lines(compared: list[Comparison]) -> list[str]:
    """A line for each operation, as `finebayes doctor` prints them."""
    return [
        f"  {part.name:22s}{'ok' if part.agrees else 'FAILED'}  differs by {part.error:.1e}, at most "
        f"{part.limit:.1e}"
        for part in compared
    ]


def report() -> tuple[list[str], list[Comparison]]:
    """Lines on the comparison, and itself; a CPU alone is compared with nothing."""
    device = accelerator()
    if device is None:
        return ["accelerator none: this machine computes on its CPU, there is nothing to compare"], []
    compared = compare(device, cpu())
    return [f"accelerator {device.device_kind}, against the CPU:", *lines(compared)], compared
