"""Gradient descent with snapshots: one run, the weights after every dose.

Shared by finetuning itself (models.finetuning.method) and by the theory that replays it on the linearised
network (theory.theories.linearised), so that the two differ in the model alone.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory.base import Dataset, Misuse, Params, PyTree, host_stream

Loss: TypeAlias = Callable[[Params, Dataset], Float[Array, ""]]


def epochs(key: PRNGKeyArray, n: int, batch: int, steps: int) -> Int[Array, "steps batch"]:
    """Document numbers of every step: a new random order of all n in every epoch, cut into batches."""
    if not 1 <= batch <= n:
        raise Misuse(f"The batch must hold from 1 to n = {n} documents, got {batch}.")
    random = host_stream(key)
    rounds = -(-steps * batch // n)
    order = random.permuted(np.tile(np.arange(n), (rounds, 1)), axis=1)
    return jnp.asarray(order.reshape(-1)[: steps * batch].reshape(steps, batch))


def descend(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    params: Params,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    doses: Sequence[int],
    judge: Callable[[Params], Float[Array, ""]] | None = None,
) -> tuple[Params, Float[Array, " last"]]:
    """Weights after each of `doses` steps (ascending), stacked along a leading axis; and every step's loss.

    `loss(params, batch)` is in nats. Non-finite losses are returned, not raised: they are data. With a
    `judge`, the weights of a dose are those of its least value so far, the start included. The step's loss
    is handed to a rule that asks for it, as line searches do (`optax.lbfgs`).
    """
    steps = check_doses(doses)
    if steps > batches.shape[0]:
        raise Misuse(f"A dose of {steps} steps needs as many batches, got {batches.shape[0]}.")
    rule = optax.with_extra_args_support(optimizer)
    row = np.searchsorted(doses, np.arange(1, steps + 1))

    def step(carry: PyTree, now: tuple[Array, Array]) -> tuple[PyTree, Array]:
        params, state, kept, best = carry
        rows, slot = now
        batch = jax.tree.map(lambda leaf: leaf[rows], data)
        value, gradient = jax.value_and_grad(loss)(params, batch)
        more = {"value": value, "grad": gradient, "value_fn": lambda params: loss(params, batch)}
        updates, state = rule.update(gradient, state, params, **more)
        params = optax.apply_updates(params, updates)
        if judge:
            candidate, (least, _) = (judge(params), params), best
            best = jax.tree.map(lambda new, old: jnp.where(candidate[0] < least, new, old), candidate, best)
        shown = best[1] if judge else params
        # A dose's slot is overwritten until its last step: cheaper than a branch, which would copy `kept`.
        kept = jax.tree.map(lambda all, leaf: all.at[slot].set(leaf), kept, shown)
        return (params, state, kept, best), value

    kept = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(doses), *leaf.shape)), params)
    start = (params, rule.init(params), kept, (judge(params), params) if judge else None)
    (_, _, kept, _), losses = jax.lax.scan(step, start, (batches[:steps], jnp.asarray(row)))
    return kept, losses


def check_doses(doses: Sequence[Any]) -> int:
    """The number of steps a ladder of doses takes; refuses one that is not ascending from 1."""
    whole = all(isinstance(dose, (int, np.integer)) and not isinstance(dose, bool) for dose in doses)
    if not whole or not len(doses) or doses[0] < 1 or any(b <= a for a, b in itertools.pairwise(doses)):
        raise Misuse(f"Doses must be ascending numbers of steps from 1, got {list(doses)}.")
    return int(doses[-1])
