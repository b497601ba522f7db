"""Finetuning: from a base network and D' to the networks after every dose, in one run.

Method         which numbers move, what they descend and by which rule; full finetuning by default
Wrapper        a method around another one
ExtraData      data that it may need besides D'
TrainingPlan   a method with its documents, ready for `theory.compute.descent`
FinetuningRun  the same as a recipe, which theories replay on something else than the network
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from theory.arguments import fits
from theory.base import Dataset, Misuse, Model, Parametric, Params, Predictor, mean_loss
from theory.compute.descent import descend
from theory.weights.order_noise import Recipe

IMPOSSIBLE = -1e9  # nats; stands for a log-probability of -inf, where 0 log 0 counts as 0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ExtraData:
    """Data that a method may need besides D'; see its `needs`.

    replay   documents of every step, `tokens` and `mask` of shape "steps m t": pretraining's, say
    teacher  a predictor whose answers are learnt
    key      of random coordinates, if there are any (without: a fixed one)
    """

    replay: Dataset | None = None
    teacher: Model = None
    key: Any = None  # not checked: jax rebuilds the pytree around placeholders

    def documents(self, contexts: str, batch: Dataset) -> Dataset:
        """The documents on which a step compares answers: its batch of D' ("data"), or its "replay"."""
        if contexts == "data":
            return batch
        assert self.replay is not None, "training_plan refuses a method whose needs are not met"
        return self.replay


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

    def coordinates(self, network: Parametric, extra: ExtraData) -> Parametric:
        """The network as a function of the numbers that move, its `params`: itself, or `Reparametrised`."""
        return network

    def loss(self, model: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """The loss of a step (nats). `base` is `model` before the first step, `extra.replay` this step's."""
        return mean_loss(model, batch)

    def replayed(self, replay: Dataset) -> Dataset:
        """The documents to replay at each step, out of those supplied, "steps m t": masks may be emptied."""
        return replay

    def split(
        self, data: Dataset, batches: Int[Array, "steps batch"]
    ) -> tuple[Int[Array, "steps batch"], Dataset | None]:
        """The documents of each step, and those held out; if there are any, they choose among weights."""
        return batches, None

    @property
    def by_document(self) -> bool:
        """Whether steps descend a mean of the loss over documents of D' alone, and the last weights count."""
        return "replay" not in self.needs

    def training_time(self, doses: Sequence[int]) -> dict[str, np.ndarray]:
        """Learning-rate time (d,) by metric, "identity" or "adam", from the recipe alone; nothing is fitted.

        Gradient flow on the mean loss for that time, in that metric, is what s steps approach as η → 0. A
        method that is no such flow has none: it moves in a part of the space, stops early, descends another
        loss, or has another kernel than that of all weights (LoRA, Muon).
        """
        return {}

    def recipe(self, doses: Sequence[int], batch: int) -> tuple[Recipe, str] | None:
        """Its steps on all weights as `theory.weights.order_noise` follows them, and their metric, "identity"
        or "adam"; None for a method that has others."""
        return None


class Wrapper(Method):
    """A way of finetuning made of another one, its `rule`: members that it does not define are the rule's.

    Except the learning-rate time and the recipe: what a wrapper changes makes the rule's untrue, unless it
    derives its own.
    """

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

    def coordinates(self, network: Parametric, extra: ExtraData) -> Parametric:
        """The rule's."""
        return self.rule.coordinates(network, extra)

    def check_rule(self, network: Parametric, extra: ExtraData) -> None:
        """Refuse a rule with coordinates of its own, for a wrapper that chooses them."""
        if self.rule.coordinates(network, extra) is not network:
            raise Misuse(f"{type(self).__name__} needs a rule that moves all weights, got {self.rule}.")

    def loss(self, model: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """The rule's."""
        return self.rule.loss(model, base, batch, extra)

    def replayed(self, replay: Dataset) -> Dataset:
        """The rule's."""
        return self.rule.replayed(replay)

    def split(
        self, data: Dataset, batches: Int[Array, "steps batch"]
    ) -> tuple[Int[Array, "steps batch"], Dataset | None]:
        """The rule's."""
        return self.rule.split(data, batches)

    @property
    def by_document(self) -> bool:
        """The rule's, and its own."""
        return "replay" not in self.needs and self.rule.by_document


@dataclass(frozen=True)
class TrainingPlan:
    """A start, the documents of each step and a loss, for `run_plan`.

    start     what is trained, as a function of the numbers that move, its `params`
    data      all documents that `batches` index: D', then those to replay
    loss      (model, base, batch) -> nats, of the network or of an expansion of it
    held_out  documents that choose, after every step, among the weights so far; None: the last weights count
    """

    start: Parametric
    data: Dataset
    batches: Int[Array, "steps batch"]
    loss: Callable[[Parametric, Parametric, Dataset], Float[Array, ""]]
    held_out: Dataset | None


def training_plan(
    network: Parametric,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    method: Method,
    extra: ExtraData | None = None,
) -> TrainingPlan:
    """The plan of a method from a base network; refuses extra data that lack what the method needs."""
    extra = extra or ExtraData()
    return _plan(method.coordinates(network, extra), data, batches, method, extra)


def _plan(
    start: Parametric,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    method: Method,
    extra: ExtraData,
) -> TrainingPlan:
    """The same from a start in the method's coordinates."""
    if any(leaf.dtype == jnp.float16 for leaf in jax.tree.leaves(start.params)):
        raise Misuse(
            "A network is finetuned in float32, got weights of float16, in which Adam's smallest divisor "
            "(1e-8) is 0, so that steps become nan; convert them (leaf.astype(float))."
        )
    for name in method.needs:
        if getattr(extra, name) is None:
            kind = type(method).__name__
            raise Misuse(f"{kind} needs a {name}, got none; hand one over in ExtraData({name}=...).")
    batches, held_out = method.split(data, batches)
    count = batches.shape[1]
    pool = extra.replay if "replay" in method.needs else None
    if pool is not None:
        # one array holds D' and all replayed documents, so that a step gathers both at once
        data, batches = _append_replay(data, batches, method.replayed(pool))

    def loss(model: Parametric, base: Parametric, documents: Dataset) -> Float[Array, ""]:
        if pool is None:
            return method.loss(model, base, documents, replace(extra, replay=None))
        batch = jax.tree.map(lambda leaf: leaf[:count], documents)
        replay = jax.tree.map(lambda leaf: leaf[count:], documents)
        return method.loss(model, base, batch, replace(extra, replay=replay))

    return TrainingPlan(start, data, batches, loss, held_out)


def run_plan(
    plan: TrainingPlan, rule: optax.GradientTransformation, doses: Sequence[int]
) -> tuple[Params, Float[Array, " last"]]:
    """The `params` of the plan's start after each dose (d, ...), and each step's loss in nats."""
    start, held_out = plan.start, plan.held_out

    def loss(params: Params, batch: Dataset) -> Float[Array, ""]:
        return plan.loss(start.with_params(params), start, batch)

    judge = None if held_out is None else lambda params: mean_loss(start.with_params(params), held_out)
    return descend(loss, rule, start.params, plan.data, plan.batches, doses, judge)


def finetune(
    network: Parametric,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    method: Method,
    doses: Sequence[int],
    extra: ExtraData | None = None,
) -> tuple[Params, Float[Array, " last"]]:
    """Full weights after each dose (d, ...), and each step's value of the method's loss, in nats."""
    plan = training_plan(network, data, batches, method, extra)
    params, losses = run_plan(plan, method.optimizer(), doses)
    start: Model = plan.start
    if start is not network:
        params = jax.vmap(lambda moved: start.with_params(moved).weights)(params)
    return params, losses


@dataclass(frozen=True)
class FinetuningRun:
    """A method with its documents and doses, to be run on the network or on what replaces it in a theory.

    It is a `theory.contracts.TrainingRun`: theories that replay a method meet it as that.
    """

    data: Dataset
    batches: Int[Array, "steps batch"]
    method: Method
    doses: Sequence[int]
    extra: ExtraData = field(default_factory=ExtraData)

    def finetune(self, model: Parametric) -> Params:
        """Full weights after each dose (d, ...), of a model that is trained as the network would be."""
        return finetune(model, self.data, self.batches, self.method, self.doses, self.extra)[0]

    def coordinates(self, network: Parametric) -> Parametric:
        """The network as a function of the numbers that move: itself, or LoRA's factors, say."""
        return self.method.coordinates(network, self.extra)

    def train(self, start: Parametric, rule: optax.GradientTransformation) -> Params:
        """The `params` of `start` after each dose (d, ...), by another rule than the method's own.

        `start` is already in the method's coordinates, or a function of them; documents, loss and held-out
        documents are the method's.
        """
        plan = _plan(start, self.data, self.batches, self.method, self.extra)
        return run_plan(plan, rule, self.doses)[0]

    def optimizer(self) -> optax.GradientTransformation:
        """The method's own rule."""
        return self.method.optimizer()

    def loss(self, model: Parametric, base: Parametric, documents: Dataset) -> Float[Array, ""]:
        """The method's loss on documents of D' (nats), `base` being `model` before the first step."""
        return self.method.loss(model, base, documents, replace(self.extra, replay=None))


def mean_kl(left: Predictor, right: Predictor, documents: Dataset) -> Float[Array, ""]:
    """Mean KL(left ‖ right) (nats) of the next token at a counted position, 0 if none is counted; `right` has
    no zeros."""
    target = jnp.maximum(left.predict(documents.tokens), IMPOSSIBLE)
    terms = optax.losses.kl_divergence_with_log_targets(right.predict(documents.tokens), target)
    return jnp.sum(jnp.where(documents.mask, terms, 0.0)) / jnp.maximum(jnp.sum(documents.mask), 1)


def check_layers(layers: object) -> None:
    """Refuse layers that are no names of layers."""
    if not fits(layers, tuple[str, ...]) or not layers:
        raise Misuse(f"layers must be a list of names of layers, got {layers!r}.")


def check_contexts(contexts: str) -> None:
    """Refuse contexts that are neither those of D' nor replayed."""
    if contexts not in ("data", "replay"):
        raise Misuse(f"contexts must be 'data' or 'replay', got {contexts!r}.")


def _append_replay(
    data: Dataset, batches: Int[Array, "steps batch"], replay: Dataset
) -> tuple[Dataset, Int[Array, "steps both"]]:
    """D' followed by all replayed documents, and batches that index this step's of both."""
    steps, length = batches.shape[0], data.tokens.shape[-1]
    shape = replay.tokens.shape
    if len(shape) != 3 or shape[0] < steps or shape[2] != length:
        raise Misuse(
            f"Documents to replay must have shape (at least {steps} steps, m, {length} tokens), got {shape}."
        )
    rows = len(data.tokens) + jnp.arange(shape[0] * shape[1]).reshape(shape[:2])
    pool = jax.tree.map(
        lambda narrow, broad: jnp.concatenate([narrow, broad.reshape(-1, length)]), data, replay
    )
    return pool, jnp.concatenate([batches, rows[:steps]], axis=1)
