"""Gradient descent with snapshots: one run, the weights after every dose.

Shared by finetuning itself (models.finetuning.method) and by the theory that replays it on the linearised
network (theory.theories.linearised), so that the two differ in the model alone.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from theory.base import Dataset, Misuse, Params, PyTree, host_stream

Loss: TypeAlias = Callable[[Params, Dataset], Float[Array, ""]]
Judge: TypeAlias = Callable[[Params], Float[Array, ""]]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Descent:
    """A descent between two steps: its weights, the rule's state and, with a judge, its least value so far
    with the weights there."""

    params: Params
    state: PyTree
    best: PyTree

    @property
    def weights(self) -> Params:
        """The weights that count now: the last ones, or the best by the judge."""
        return self.params if self.best is None else self.best[1]


def epochs(key: PRNGKeyArray, n: int, batch: int, steps: int) -> Int[Array, "steps batch"]:
    """Document numbers of every step: a new random order of all n in every epoch, cut into batches."""
    if not 1 <= batch <= n:
        raise Misuse(f"The batch must hold from 1 to n = {n} documents, got {batch}.")
    random = host_stream(key)
    rounds = -(-steps * batch // n)
    order = random.permuted(np.tile(np.arange(n), (rounds, 1)), axis=1)
    return jax.device_put(order.reshape(-1)[: steps * batch].reshape(steps, batch))


def descend(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    params: Params,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    doses: Sequence[int],
    judge: Judge | None = None,
) -> tuple[Params, Float[Array, " last"]]:
    """Weights after each of `doses` steps (ascending), stacked along a leading axis; and every step's loss.

    `loss(params, batch)` is in nats. Non-finite losses are returned, not raised: they are data. With a
    `judge`, the weights of a dose are those of its least value so far, the start included. The step's loss
    is handed to a rule that asks for it, as line searches do (`optax.lbfgs`).
    """
    steps = check_doses(doses)
    if steps > batches.shape[0]:
        raise Misuse(f"A dose of {steps} steps needs as many batches, got {batches.shape[0]}.")
    row = np.searchsorted(doses, np.arange(1, steps + 1))

    def step(carry: tuple[Descent, PyTree], now: tuple[Array, Array]) -> tuple[PyTree, Array]:
        descent, kept = carry
        rows, slot = now
        descent, value = _step(loss, optimizer, descent, data, rows, judge)
        # A dose's slot is overwritten until its last step: cheaper than a branch, which would copy `kept`.
        kept = jax.tree.map(lambda all, leaf: all.at[slot].set(leaf), kept, descent.weights)
        return (descent, kept), value

    kept = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(doses), *leaf.shape)), params)
    start = begin(optimizer, params, judge), kept
    (_, kept), losses = jax.lax.scan(step, start, (batches[:steps], jnp.asarray(row)))
    return kept, losses


def begin(optimizer: optax.GradientTransformation, params: Params, judge: Judge | None = None) -> Descent:
    """The state before the first step."""
    state = optax.with_extra_args_support(optimizer).init(params)
    return Descent(params, state, (judge(params), params) if judge else None)


def advance(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    descent: Descent,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    span: tuple[Int[Array, ""] | int, Int[Array, ""] | int],
    judge: Judge | None = None,
) -> tuple[Descent, Float[Array, " steps"]]:
    """The state after the steps of a span, from one number up to another, and their losses (0 for others).

    The same descent by parts, of which no weights but the last are kept.
    """

    def step(now: Int[Array, ""], carry: tuple[Descent, Array]) -> tuple[Descent, Array]:
        descent, losses = carry
        descent, value = _step(loss, optimizer, descent, data, batches[now], judge)
        return descent, losses.at[now].set(value)

    return jax.lax.fori_loop(*span, step, (descent, jnp.zeros(len(batches))))


def _step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    descent: Descent,
    data: Dataset,
    rows: Int[Array, " batch"],
    judge: Judge | None,
) -> tuple[Descent, Float[Array, ""]]:
    rule, best = optax.with_extra_args_support(optimizer), descent.best
    batch = jax.tree.map(lambda leaf: leaf[rows], data)
    value, gradient = jax.value_and_grad(loss)(descent.params, batch)
    more = {"value": value, "grad": gradient, "value_fn": lambda params: loss(params, batch)}
    updates, state = rule.update(gradient, descent.state, descent.params, **more)
    params = optax.apply_updates(descent.params, updates)
    if judge:
        candidate, (least, _) = (judge(params), params), best
        best = jax.tree.map(lambda new, old: jnp.where(candidate[0] < least, new, old), candidate, best)
    return Descent(params, state, best), value


def check_doses(doses: Sequence[Any]) -> int:
    """The number of steps a ladder of doses takes; refuses one that is not ascending from 1."""
    whole = all(isinstance(dose, (int, np.integer)) and not isinstance(dose, bool) for dose in doses)
    if not whole or not len(doses) or doses[0] < 1 or any(b <= a for a, b in itertools.pairwise(doses)):
        raise Misuse(f"Doses must be ascending numbers of steps from 1, got {list(doses)}.")
    return int(doses[-1])
