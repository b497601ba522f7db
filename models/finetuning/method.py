"""Finetuning: from a base network and D' to the networks after every dose, in one run.

A method says which numbers move, what they descend and by which rule; what it does not say is full
finetuning on the mean loss of D'. `course` makes of it what `theory.compute.descent` follows: finetuning
here, and the linearised theory, which replays the same course on the network's tangent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from theory.base import Dataset, Misuse, Parametric, Predictor, mean_loss
from theory.compute.descent import descend

IMPOSSIBLE = -1e9  # nats; stands for a log-probability of -inf, where 0 log 0 counts as 0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ExtraData:
    """What a method may need besides D'; see its `needs`.

    replay   documents of every step, `tokens` and `mask` of shape "steps m t": pretraining's, say
    teacher  a predictor whose answers are to be learnt
    seed     where coordinates are drawn from, if they are random (an integer, which may be traced)
    """

    replay: Dataset | None = None
    teacher: Any = None
    seed: Any = 0

    def documents(self, contexts: str, batch: Dataset) -> Any:
        """Where a step compares predictions: "data" is its batch of D', "replay" what it replays."""
        return {"data": batch, "replay": self.replay}[contexts]


@runtime_checkable
class Method(Protocol):
    """A way of finetuning; one file each in models/finetuning. A member with a body is a default."""

    @property
    def learning_rate(self) -> float:
        """The step size η."""
        ...

    def optimizer(self) -> optax.GradientTransformation:
        """The update rule."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields of `ExtraData` that it cannot do without."""
        return ()

    def trained(self, network: Parametric, extra: ExtraData) -> Parametric:
        """The network as a function of what moves, its `params`: a `Network` or a `Reparametrised` one."""
        return network

    def loss(self, told: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """What is descended, in nats. `base` is `told` before the first step, `supply.replay` this step's."""
        return mean_loss(told, batch)

    def replayed(self, replay: Dataset) -> Dataset:
        """What of the documents that are supplied, "steps m t", it replays: masks may be emptied."""
        return replay

    def split(
        self, data: Dataset, batches: Int[Array, "steps batch"]
    ) -> tuple[Int[Array, "steps batch"], Dataset | None]:
        """The documents of each step, and those held out; if there are any, they choose among weights."""
        return batches, None


class Wrapper(Method):
    """A way of finetuning made of another one, its `rule`: what it does not say itself, the rule says."""

    rule: Method

    @property
    def learning_rate(self) -> float:
        """The rule's."""
        return self.rule.learning_rate

    def optimizer(self) -> optax.GradientTransformation:
        """The rule's."""
        return self.rule.optimizer()

    @property
    def needs(self) -> tuple[str, ...]:
        """The rule's."""
        return self.rule.needs

    def trained(self, network: Parametric, extra: ExtraData) -> Parametric:
        """The rule's."""
        return self.rule.trained(network, extra)

    def loss(self, told: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """The rule's."""
        return self.rule.loss(told, base, batch, extra)

    def replayed(self, replay: Dataset) -> Dataset:
        """The rule's."""
        return self.rule.replayed(replay)

    def split(
        self, data: Dataset, batches: Int[Array, "steps batch"]
    ) -> tuple[Int[Array, "steps batch"], Dataset | None]:
        """The rule's."""
        return self.rule.split(data, batches)


@dataclass(frozen=True)
class TrainingPlan:
    """What a run follows. `loss(told, base, batch)` (nats) takes the network itself or its tangent; `data`
    are all documents that `batches` name, replayed ones included; `held_out` chooses among weights."""

    start: Any
    data: Dataset
    batches: Int[Array, "steps batch"]
    loss: Callable[[Any, Any, Dataset], Float[Array, ""]]
    held_out: Dataset | None


def training_plan(
    network: Parametric,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    method: Method,
    extra: ExtraData | None = None,
) -> TrainingPlan:
    """The course that a method takes from a base network; refuses a supply that lacks what it needs."""
    extra = extra or ExtraData()
    for name in method.needs:
        if getattr(extra, name) is None:
            kind = type(method).__name__
            raise Misuse(f"{kind} needs a {name}, got none; hand one over in ExtraData({name}=...).")
    batches, held_out = method.split(data, batches)
    count, replays = batches.shape[1], "replay" in method.needs
    if replays:
        given: Any = extra.replay
        data, batches = _joined(data, batches, method.replayed(given))

    def loss(told: Any, base: Any, documents: Dataset) -> Float[Array, ""]:
        if not replays:
            return method.loss(told, base, documents, replace(extra, replay=None))
        batch = jax.tree.map(lambda leaf: leaf[:count], documents)
        replay = jax.tree.map(lambda leaf: leaf[count:], documents)
        return method.loss(told, base, batch, replace(extra, replay=replay))

    return TrainingPlan(method.trained(network, extra), data, batches, loss, held_out)


def run_plan(
    way: TrainingPlan, rule: optax.GradientTransformation, doses: Sequence[int]
) -> tuple[Any, Float[Array, " last"]]:
    """What moves after each dose (stacked), in the course's own coordinates, and each step's loss in nats."""
    start, held_out = way.start, way.held_out

    def loss(params: Any, batch: Dataset) -> Float[Array, ""]:
        return way.loss(start.with_params(params), start, batch)

    judge = None if held_out is None else lambda params: mean_loss(start.with_params(params), held_out)
    return descend(loss, rule, start.params, way.data, way.batches, doses, judge)


def finetune(
    network: Parametric,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    method: Method,
    doses: Sequence[int],
    extra: ExtraData | None = None,
) -> tuple[Any, Float[Array, " last"]]:
    """Full weights after each dose (stacked) and each step's value of the method's loss, in nats."""
    way = training_plan(network, data, batches, method, extra)
    kept, losses = run_plan(way, method.optimizer(), doses)
    start: Any = way.start
    if start is not network:
        kept = jax.vmap(lambda params: start.with_params(params).weights)(kept)
    return kept, losses


def mean_kl(left: Predictor, right: Predictor, documents: Dataset) -> Float[Array, ""]:
    """Mean KL(left ‖ right) (nats) of the next token at a counted position, 0 if none is counted; `right` has
    no zeros."""
    target = jnp.maximum(left.predict(documents.tokens), IMPOSSIBLE)
    terms = optax.losses.kl_divergence_with_log_targets(right.predict(documents.tokens), target)
    return jnp.sum(jnp.where(documents.mask, terms, 0.0)) / jnp.maximum(jnp.sum(documents.mask), 1)


def check_contexts(contexts: str) -> None:
    """Refuse contexts that are neither those of D' nor replayed."""
    if contexts not in ("data", "replay"):
        raise Misuse(f"contexts must be 'data' or 'replay', got {contexts!r}.")


def _joined(data: Dataset, batches: Array, replay: Any) -> tuple[Dataset, Array]:
    """D' with all replayed documents behind it, and batches that name this step's of both."""
    steps, length = batches.shape[0], data.tokens.shape[-1]
    shape = replay.tokens.shape
    if len(shape) != 3 or shape[0] < steps or shape[2] != length:
        raise Misuse(
            f"Documents to replay must have shape (at least {steps} steps, m, {length} tokens), got {shape}."
        )
    rows = len(data.tokens) + jnp.arange(shape[0] * shape[1]).reshape(shape[:2])
    pool = jax.tree.map(lambda own, other: jnp.concatenate([own, other.reshape(-1, length)]), data, replay)
    return pool, jnp.concatenate([batches, rows[:steps]], axis=1)
