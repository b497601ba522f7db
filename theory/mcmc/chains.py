"""Chains: warm-up, then samples reduced as they come, in chunks that can be stopped and resumed.

A run keeps the reductions of its streams (a mean, a covariance, an average prediction, the values of a few
observables), never the samples themselves, so memory does not grow with their number. A chain is a pure
function of its key: chains are vmapped and split over the devices, and a run resumed from the carry of a
chunk gives bit for bit the results of one that was never stopped.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray
from numpyro.util import is_prng_key

from theory.base import PyTree, check_number
from theory.compute.devices import batch_per_device, padded, sharded
from theory.errors import Misuse
from theory.mcmc.langevin import Arguments, Langevin, LangevinState

Function: TypeAlias = Callable[[PyTree], PyTree]  # of a chain's state
Count: TypeAlias = Int[Array, ""]  # of samples
Moments: TypeAlias = tuple[Float[Array, " p"], Float[Array, "p p"]]


@dataclass(frozen=True)
class Plan:
    """Length of a chain: steps of warm-up, samples kept, and one kept of every `thin` steps."""

    warmup: int
    samples: int
    thin: int = 1

    def __post_init__(self) -> None:
        for name, least in (("warmup", 0), ("samples", 1), ("thin", 1)):
            check_number(name, getattr(self, name), least=least, whole=True)

    @property
    def steps(self) -> int:
        """Steps of a chain."""
        return self.warmup + self.samples * self.thin


class Stream(NamedTuple):
    """A reduction of the samples of a chain: `of(state)` is added to an accumulator, `result` finishes it."""

    of: Function
    empty: Callable[[PyTree, int], PyTree]  # (shapes of a value, samples) -> accumulator
    add: Callable[[PyTree, PyTree, Count], PyTree]  # (accumulator, value, samples so far) -> accumulator
    result: Callable[[PyTree, Count], PyTree]  # (accumulator, samples) -> result


def mean(of: Function) -> Stream:
    """The mean of a pytree over the samples."""
    return Stream(
        of,
        lambda value, samples: jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, jnp.result_type(leaf.dtype, float)), value
        ),
        # A running mean, not a sum: a sum in single precision loses digits as it grows.
        lambda means, value, count: jax.tree.map(
            lambda m, x: m + (jnp.asarray(x, m.dtype) - m) / (count + 1), means, value
        ),
        lambda means, count: means,
    )


def covariance(of: Function) -> Stream:
    """Mean (p,) and covariance (p, p) of a pytree, flattened to p numbers (Welford's recursion); the
    covariance of a single sample is nan."""

    def empty(value: PyTree, samples: int) -> Moments:
        size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(value))
        return jnp.zeros(size), jnp.zeros((size, size))

    def add(moments: Moments, value: PyTree, count: Count) -> Moments:
        centre, spread = moments
        gap = ravel_pytree(value)[0] - centre
        return centre + gap / (count + 1), spread + jnp.outer(gap, gap) * count / (count + 1)

    return Stream(of, empty, add, lambda moments, count: (moments[0], moments[1] / (count - 1)))


def log_mean_exp(of: Function) -> Stream:
    """The log of the mean of exp(of): the average prediction, from log-probabilities."""
    return Stream(
        of,
        lambda value, samples: jnp.full(value.shape, -jnp.inf, value.dtype),
        lambda total, value, count: jnp.logaddexp(total, value),
        lambda total, count: total - jnp.log(count),
    )


def trace(of: Function) -> Stream:
    """Every value, (samples, ...): for a few small observables."""
    return Stream(
        of,
        lambda value, samples: jax.tree.map(
            lambda leaf: jnp.zeros((samples, *leaf.shape), leaf.dtype), value
        ),
        lambda values, value, count: jax.tree.map(lambda all, x: all.at[count].set(x), values, value),
        lambda values, count: values,
    )


def nonfinite() -> Stream:
    """The number of the first sample whose position or potential is not finite, -1 if all are finite."""

    def is_nonfinite(state: LangevinState) -> Bool[Array, ""]:
        leaves = [*jax.tree.leaves(state.z), state.potential_energy]
        return ~jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))

    return Stream(
        is_nonfinite,
        lambda value, samples: jnp.full((), -1),
        lambda first, value, count: jnp.where(value & (first < 0), count, first),
        lambda first, count: first,
    )


def joint(of: Function, parts: Mapping[str, Stream]) -> Stream:
    """Streams of a shared value, such as a prediction, that is computed once a sample: each part reduces a
    function of `of(state)`."""
    # As separate streams they would each compute the value: XLA does not merge equal work across their loops.

    def values(state: PyTree) -> dict[str, PyTree]:
        value = of(state)
        return {name: part.of(value) for name, part in parts.items()}

    return Stream(
        values,
        lambda value, samples: {name: part.empty(value[name], samples) for name, part in parts.items()},
        lambda accumulators, value, count: {
            name: part.add(accumulators[name], value[name], count) for name, part in parts.items()
        },
        lambda accumulators, count: {
            name: part.result(accumulators[name], count) for name, part in parts.items()
        },
    )


class Carry(NamedTuple):
    """A chain between two steps: the kernel's state, and an accumulator for every stream."""

    state: LangevinState
    accumulators: dict[str, PyTree]


def begin(
    kernel: Langevin,
    plan: Plan,
    streams: Mapping[str, Stream],
    key: PRNGKeyArray,
    start: PyTree = None,
    args: Arguments = (),
) -> Carry:
    """A chain at its first position."""
    state = kernel.init(key, plan.warmup, start, args, {})
    accumulators = {
        name: stream.empty(jax.eval_shape(stream.of, state), plan.samples) for name, stream in streams.items()
    }
    return Carry(state, accumulators)


def advance(
    kernel: Langevin,
    plan: Plan,
    streams: Mapping[str, Stream],
    carry: Carry,
    times: Int[Array, " steps"],
    args: Arguments = (),
    limit: ArrayLike | None = None,
) -> Carry:
    """A chain after the steps numbered `times`; steps past the plan's end (or `limit`) do not change it."""

    # Warm-up and samples are one program, so it compiles once. What a sample costs besides the step (a
    # prediction, say) stands behind a branch on the step's number, and so do the steps past the end, with
    # which the last chunk is filled to the length of all others.
    def step(carry: Carry, now: Int[Array, ""]) -> tuple[Carry, None]:
        def move(carry: Carry) -> Carry:
            state = kernel.sample(carry.state, args, {})
            after = now + 1 - plan.warmup

            def keep(accumulators: dict[str, PyTree]) -> dict[str, PyTree]:
                count = after // plan.thin - 1
                return {
                    name: stream.add(accumulators[name], stream.of(state), count)
                    for name, stream in streams.items()
                }

            kept = (after > 0) & (after % plan.thin == 0)
            return Carry(state, jax.lax.cond(kept, keep, lambda unchanged: unchanged, carry.accumulators))

        return jax.lax.cond(
            now < (plan.steps if limit is None else limit), move, lambda carry: carry, carry
        ), None

    return jax.lax.scan(step, carry, times)[0]


def finish(plan: Plan, streams: Mapping[str, Stream], carry: Carry) -> dict[str, PyTree]:
    """The results of a chain's streams after all samples."""
    return {
        name: stream.result(carry.accumulators[name], jnp.asarray(plan.samples))
        for name, stream in streams.items()
    }


class Chunk(NamedTuple):
    """A run between two chunks: steps done, and the carry of all chains (numpy, a leading axis c)."""

    step: int
    carry: Carry


def run_chains(
    kernel: Langevin,
    key: PRNGKeyArray,
    chains: int,
    plan: Plan,
    streams: Mapping[str, Stream],
    start: PyTree = None,
    *,
    chunk: int = 200,
    resume: Chunk | None = None,
) -> Iterator[Chunk]:
    """Advance all chains chunk by chunk, yielding after each; `results` reads the last one.

    Chain c has the random stream `fold_in(key, c)` of a key that is typed or plain numbers; `start` is the
    first position of every chain (without: the model's guess, another for each chain). `resume` is a chunk
    of an earlier run with equal arguments.
    """
    check_number("chains", chains, least=1, whole=True)
    check_number("chunk", chunk, least=1, whole=True)
    check_key(key)
    if start is not None and resume is None:
        kernel.check(start)
    # Devices must hold equally many chains: the last chain is repeated, and its copies are dropped.
    rows = padded(chains)
    keys = np.asarray(jax.vmap(lambda row: _raw(jax.random.fold_in(key, row)))(np.asarray(rows)))
    if resume is None:
        first, put = sharded(lambda key: begin(kernel, plan, streams, key, start), len(rows), 0, 1)
        resume = Chunk(0, _host(first(put(keys)), chains))
        yield resume
    step, carry = resume
    weights = sum(leaf[0].size for leaf in jax.tree.leaves(carry.state.z))
    program, put = sharded(
        lambda times, carry: advance(kernel, plan, streams, carry, times),
        len(rows),
        shared=1,
        mapped=1,
        batch=batch_per_device(weights),  # more chains at once would leave a core's cache
    )
    carry = put(jax.tree.map(lambda leaf: leaf[rows], carry))
    while step < plan.steps:
        carry = program(np.arange(step, step + chunk, dtype=np.int32), carry)
        step = min(step + chunk, plan.steps)
        yield Chunk(step, _host(carry, chains))


def results(plan: Plan, streams: Mapping[str, Stream], chunk: Chunk) -> dict[str, PyTree]:
    """The results of every chain's streams (numpy, a leading axis c), of a complete run."""
    if chunk.step < plan.steps:
        raise Misuse(f"The run has done {chunk.step} of {plan.steps} steps; let it finish.")
    return jax.tree.map(np.asarray, jax.vmap(lambda carry: finish(plan, streams, carry))(chunk.carry))


def _host(carry: Carry, chains: int) -> Carry:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:chains], carry)


def check_key(key: Any) -> None:
    """Refuse a batch of keys, and generators whose plain numbers no kernel reads as a key."""
    if is_prng_key(key) and jax.random.key_data(key).shape == (2,):
        return
    batch = key.shape != () or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    got = f"keys of shape {key.shape}" if batch else f"one of {jax.random.key_impl(key)}"
    raise Misuse(f"run_chains needs a single key of jax's default generator (threefry2x32), got {got}.")


def _raw(key: PRNGKeyArray) -> Array:
    """A key as plain numbers, which can be stored."""
    return jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
