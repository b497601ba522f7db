"""Running chains: warm-up, then draws reduced as they come, in chunks that can be stopped and resumed.

A run keeps what its streams make of the draws (a mean, a covariance, an average prediction, the values of a
few observables), never the draws themselves, so memory does not grow with their number. One chain is a pure
function of its key: chains are vmapped, split over the devices there are, and a run that goes on from the
carry of a chunk makes the same bits as one that was never stopped.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int, PRNGKeyArray

from theory.compute.devices import batch_per_device, padded, sharded
from theory.errors import Misuse
from theory.mcmc.langevin import Langevin, LangevinState


@dataclass(frozen=True)
class Plan:
    """How long: steps of warm-up, draws kept, and one kept of every `thin` steps."""

    warmup: int
    samples: int
    thin: int = 1

    def __post_init__(self) -> None:
        for name, least in (("warmup", 0), ("samples", 1), ("thin", 1)):
            if getattr(self, name) < least:
                raise Misuse(f"{name} must be at least {least}, got {getattr(self, name)}.")

    @property
    def steps(self) -> int:
        """Steps of a chain."""
        return self.warmup + self.samples * self.thin


class Stream(NamedTuple):
    """What is made of the draws of one chain: `of(state)` is added to an accumulator, `done` reads it."""

    of: Callable[[Any], Any]
    empty: Callable[[Any, int], Any]  # (shapes of a value, draws) -> accumulator
    add: Callable[[Any, Any, Array], Any]  # (accumulator, value, draws before) -> accumulator
    done: Callable[[Any, Array], Any]  # (accumulator, draws) -> result


def mean(of: Callable[[Any], Any]) -> Stream:
    """The mean of a pytree over the draws."""
    return Stream(
        of,
        lambda value, samples: jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, jnp.result_type(leaf.dtype, float)), value
        ),
        lambda told, value, count: jax.tree.map(
            lambda m, x: m + (jnp.asarray(x, m.dtype) - m) / (count + 1), told, value
        ),
        lambda told, count: told,
    )


def covariance(of: Callable[[Any], Any]) -> Stream:
    """Mean (p,) and covariance (p, p) of a pytree, flattened to p numbers (Welford's recursion); the
    covariance of a single draw is nan."""

    def empty(value: Any, samples: int) -> Any:
        size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(value))
        return jnp.zeros(size), jnp.zeros((size, size))

    def add(told: Any, value: Any, count: Array) -> Any:
        centre, spread = told
        gap = ravel_pytree(value)[0] - centre
        return centre + gap / (count + 1), spread + jnp.outer(gap, gap) * count / (count + 1)

    return Stream(of, empty, add, lambda told, count: (told[0], told[1] / (count - 1)))


def log_mean_exp(of: Callable[[Any], Array]) -> Stream:
    """The log of the mean of exp(of): the average prediction, out of log-probabilities."""
    return Stream(
        of,
        lambda value, samples: jnp.full(value.shape, -jnp.inf, value.dtype),
        lambda told, value, count: jnp.logaddexp(told, value),
        lambda told, count: told - jnp.log(count),
    )


def trace(of: Callable[[Any], Any]) -> Stream:
    """Every value, (draws, ...): for a few small observables."""
    return Stream(
        of,
        lambda value, samples: jax.tree.map(
            lambda leaf: jnp.zeros((samples, *leaf.shape), leaf.dtype), value
        ),
        lambda told, value, count: jax.tree.map(lambda all, x: all.at[count].set(x), told, value),
        lambda told, count: told,
    )


def nonfinite() -> Stream:
    """The number of the first draw whose position or potential is not finite, -1 if all are."""

    def broken(state: LangevinState) -> Array:
        leaves = [*jax.tree.leaves(state.z), state.potential_energy]
        return ~jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))

    return Stream(
        broken,
        lambda value, samples: jnp.full((), -1),
        lambda told, value, count: jnp.where(value & (told < 0), count, told),
        lambda told, count: told,
    )


def joint(of: Callable[[LangevinState], Any], parts: Mapping[str, Stream]) -> Stream:
    """Streams of one value, such as a prediction, that is computed once a draw: what each part is made of is
    a function of `of(state)`. Apart, each would compute it (the compiler keeps its loops apart)."""

    def values(state: LangevinState) -> Any:
        value = of(state)
        return {name: part.of(value) for name, part in parts.items()}

    return Stream(
        values,
        lambda value, samples: {name: part.empty(value[name], samples) for name, part in parts.items()},
        lambda told, value, count: {
            name: part.add(told[name], value[name], count) for name, part in parts.items()
        },
        lambda told, count: {name: part.done(told[name], count) for name, part in parts.items()},
    )


class Carry(NamedTuple):
    """A chain between two steps: the kernel's state and the accumulators."""

    state: Any
    told: Any


def begin(
    kernel: Langevin,
    plan: Plan,
    streams: Mapping[str, Stream],
    key: PRNGKeyArray,
    start: Any = None,
    args: tuple[Any, ...] = (),
) -> Carry:
    """One chain at its first position."""
    state = kernel.init(key, plan.warmup, start, args, {})
    told = {
        name: stream.empty(jax.eval_shape(stream.of, state), plan.samples) for name, stream in streams.items()
    }
    return Carry(state, told)


def advance(
    kernel: Langevin,
    plan: Plan,
    streams: Mapping[str, Stream],
    carry: Carry,
    times: Int[Array, " steps"],
    args: tuple[Any, ...] = (),
    limit: Any = None,
) -> Carry:
    """One chain through the steps numbered `times`; those past the plan's end (or `limit`) leave it alone.

    One program for warm-up and draws: what a draw costs beside the step is behind a branch on its number.
    """

    def step(carry: Carry, now: Array) -> tuple[Carry, None]:
        def move(carry: Carry) -> Carry:
            state = kernel.sample(carry.state, args, {})
            after = now + 1 - plan.warmup

            def keep(told: Any) -> Any:
                count = after // plan.thin - 1
                return {
                    name: stream.add(told[name], stream.of(state), count) for name, stream in streams.items()
                }

            kept = (after > 0) & (after % plan.thin == 0)
            return Carry(state, jax.lax.cond(kept, keep, lambda told: told, carry.told))

        return jax.lax.cond(
            now < (plan.steps if limit is None else limit), move, lambda carry: carry, carry
        ), None

    return jax.lax.scan(step, carry, times)[0]


def finish(plan: Plan, streams: Mapping[str, Stream], carry: Carry) -> dict[str, Any]:
    """What the streams of a chain say after all draws."""
    return {
        name: stream.done(carry.told[name], jnp.asarray(plan.samples)) for name, stream in streams.items()
    }


class Chunk(NamedTuple):
    """A run between two chunks: steps done, and the carry of all chains (numpy, a leading axis c)."""

    step: int
    carry: Any


def run_chains(
    kernel: Langevin,
    key: PRNGKeyArray,
    chains: int,
    plan: Plan,
    streams: Mapping[str, Stream],
    start: Any = None,
    *,
    chunk: int = 200,
    resume: Chunk | None = None,
) -> Iterator[Chunk]:
    """Advance all chains chunk by chunk, yielding after each; `results` reads the last one.

    Chain c has the stream `fold_in(key, c)`; `start` is the first position of every chain (the model's own
    guess, one for each chain, without). `resume` is a chunk of an earlier run of the same arguments. A core
    of a CPU takes as many chains side by side as its cache holds.
    """
    if chains < 1 or chunk < 1:
        raise Misuse(f"chains and chunk must be at least 1, got {chains} and {chunk}.")
    if start is not None and resume is None:
        kernel.check(start)
    rows = padded(chains)
    keys = np.asarray(jax.vmap(lambda row: _raw(jax.random.fold_in(key, row)))(np.asarray(rows)))
    if resume is None:
        first, place = sharded(lambda key: begin(kernel, plan, streams, key, start), len(rows), 0, 1)
        resume = Chunk(0, _host(first(place(keys)), chains))
        yield resume
    step, carry = resume
    weights = sum(leaf[0].size for leaf in jax.tree.leaves(carry.state.z))
    program, place = sharded(
        lambda times, carry: advance(kernel, plan, streams, carry, times),
        len(rows),
        shared=1,
        own=1,
        most=batch_per_device(weights),
    )
    carry = place(jax.tree.map(lambda leaf: leaf[rows], carry))
    while step < plan.steps:
        carry = program(np.arange(step, step + chunk, dtype=np.int32), carry)
        step = min(step + chunk, plan.steps)
        yield Chunk(step, _host(carry, chains))


def results(plan: Plan, streams: Mapping[str, Stream], chunk: Chunk) -> dict[str, Any]:
    """What the streams say of every chain (numpy, a leading axis c); the run must be complete."""
    if chunk.step < plan.steps:
        raise Misuse(f"The run has done {chunk.step} of {plan.steps} steps; let it finish.")
    return jax.tree.map(np.asarray, jax.vmap(lambda carry: finish(plan, streams, carry))(chunk.carry))


def _host(carry: Any, chains: int) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:chains], carry)


def _raw(key: Any) -> Array:
    """A key as plain numbers, which can be stored."""
    return jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
