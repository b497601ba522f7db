"""Two looks: the method's own steps on a model of the gradient, made where they lead, so that features move.

    g(w) = (1 - θ) g0 + θ g1 + (1 - θ) C0 (w - v + θ s/2) + θ C1 (w - v - (1 - θ) s/2)
    v = w0 + θ s,    s = w1 - w0,    θ the share of a stage that is gone

The steps of a finetuning are divided into seven stages. At the start w0 of a stage the network is looked at:
the gradient g0 of every document of D', and of D' the Gauss-Newton matrix C0, as a Krylov space of eight
products has it (theory.weights.curvature). The method's rule, in its own coordinates and by its own order of
documents (a batch's gradient is the mean of theirs), is run on g0 + C0 (w - w0), which costs no network, to
w1, where the network is looked at again; and once more from the start of the stage, now on g, to where the
next stage starts. Along w0 to w1 g is exact to second order in θ where C is the curvature, and beside it C
pulls back. So the error is of third order in a stage. The forecast is the network where the steps end.

No metric is assumed: bias correction, momentum, second moments with the noise of batches, and factors whose
gradient is 0 at the start (LoRA) are those of the rule, as every document has a gradient of its own. With as
many stages as steps this is finetuning itself; and the first step always is.

Cost, for all doses together and however many steps they are: 8 gradients of D', document by document, and
four Lanczos runs, at the start and at the ends of three stages, where curvature has grown. Nothing is fitted.
In memory are the gradients of all documents, twice. A method that descends anything but a loss on documents
of D' (a replay of others; a choice among weights) is none for it.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from theory.base import Cost, Dataset, Misuse, Model, Parametric, Params, PyTree, mean_loss
from theory.compute.descent import check_doses
from theory.contracts import TrainingRun
from theory.theories.linearised import Linearised, stacked
from theory.weights.curvature import gauss_newton, krylov

STAGES, GROWTH = 7, 1.2  # stage k ends after the share (k/7)^1.2 of the steps: the first ones turn fastest
CURVED = (0, 3, 5, 6)  # the looks that also take the curvature, by number
PRODUCTS = 8  # of a Lanczos run

Loss: TypeAlias = Callable[[Parametric, Parametric, Dataset], Float[Array, ""]]


@runtime_checkable
class DocumentRun(TrainingRun, Protocol):
    """A finetuning whose steps descend the mean of a loss over documents of D'."""

    @property
    def data(self) -> Dataset:
        """D'."""
        ...

    @property
    def batches(self) -> Int[Array, "steps batch"]:
        """The documents of each step."""
        ...

    def loss(self, model: Parametric, base: Parametric, documents: Dataset) -> Float[Array, ""]:
        """The loss of a model on documents (nats), `base` being the model before the first step."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Look:
    """The loss near some weights: gradients of all documents, and V, VCVᵀ of a Krylov space of C."""

    weights: Float[Array, " p"]
    gradients: Float[Array, "n p"]
    basis: Float[Array, "k p"]
    tridiagonal: Float[Array, "k k"]

    def of_batch(self, rows: Int[Array, " batch"], shares: Float[Array, " batch"]) -> Float[Array, " p"]:
        """The gradient of a batch, with the documents' shares in the mean."""
        return shares @ self.gradients[rows]

    def curved(self, vector: Float[Array, " p"]) -> Float[Array, " p"]:
        """C v."""
        return (self.basis @ vector) @ self.tridiagonal @ self.basis


class Position(NamedTuple):
    """Weights on the path, the rule's state there, and the weights after every dose so far."""

    weights: Float[Array, " p"]
    state: PyTree
    kept: Float[Array, "d p"]


@dataclass(frozen=True)
class TwoLooks(Linearised):
    """The recipe that `predict` follows, as in `Linearised`."""

    optional: ClassVar[bool] = True
    by_document: ClassVar[bool] = True
    cost: ClassVar[Cost] = Cost(gradients=STAGES + 1, products=len(CURVED) * PRODUCTS)

    def start(self, prior: Parametric) -> Parametric:
        """The network."""
        return prior

    def trained(
        self, prior: Parametric, data: Dataset, doses: Sequence[int]
    ) -> tuple[Params, Float[Array, " last"]]:
        """The weights after each dose (stacked); there are no losses of steps."""
        return _by_recipe(prior, data, self.batches, self.rule(), tuple(doses)), jnp.zeros(0)

    def follow(self, network: Parametric, run: TrainingRun) -> tuple[Model, Params]:
        """Networks at every dose (stacked) and their weights (d, ...); refuses a run that is no
        `DocumentRun`."""
        if not isinstance(run, DocumentRun):
            raise Misuse(
                f"TwoLooks looks at documents of D', got {type(run).__name__} without data, batches or loss; "
                "give it those."
            )
        start: Model = run.coordinates(network)
        weights = Survey(start, run.data, run.batches, run.optimizer(), run.loss).followed(run.doses)
        if start is not network:
            weights = jax.vmap(lambda params: start.with_params(params).weights)(weights)
        return stacked(network, len(run.doses)).with_params(weights), weights


@dataclass(frozen=True)
class Survey:
    """A finetuning of `start`, as a function of the numbers that move: its documents, their order, rule and
    loss."""

    start: Parametric
    data: Dataset
    batches: Int[Array, "steps batch"]
    rule: optax.GradientTransformation
    loss: Loss

    def followed(self, doses: Sequence[int]) -> Params:
        """The `params` of the start after each dose (stacked)."""
        ends = stage_ends(check_doses(doses))
        weights, shaped = ravel_pytree(self.start.params)
        kept = jnp.broadcast_to(weights, (len(doses), weights.size))
        slots = jnp.asarray(np.searchsorted(doses, np.arange(1, ends[-1] + 1)))
        rank, count = min(PRODUCTS, weights.size), self.data.tokens.shape[0]
        nothing = (count, weights.size), (rank, weights.size), (rank, rank)
        unseen = Look(weights, *map(jnp.zeros, nothing))

        def stage(carry: tuple[Position, Look], now: tuple[Array, Array, Array]) -> tuple[tuple, None]:
            (position, left), (first, length, curved) = carry, now
            walk = functools.partial(self.walk, slots, first, length, position, left)
            there = walk(None).weights
            seen = replace(left, weights=there, gradients=self.gradients(there))
            right = jax.lax.cond(
                curved,
                lambda look: self.with_curvature(look.gradients, look.weights),
                lambda look: look,
                seen,
            )
            return (walk(right), right), None

        # the first look is the end of a stage without steps: all looks are then one program
        curved: Bool[np.ndarray, " looks"] = np.isin(np.arange(len(ends)), CURVED)
        looks = np.concatenate([[0], ends[:-1]]), np.diff(ends, prepend=0), curved
        position = Position(weights, self.rule.init(self.start.params), kept)
        (position, _), _ = jax.lax.scan(stage, (position, unseen), jax.tree.map(jnp.asarray, looks))
        return jax.vmap(shaped)(position.kept)

    def walk(
        self,
        slots: Int[Array, " steps"],
        first: Array,
        length: Array,
        position: Position,
        left: Look,
        right: Look | None,
    ) -> Position:
        """`length` steps from number `first`, between two looks, or near the first; no network is
        evaluated."""
        counts = jnp.sum(jnp.asarray(self.data.mask), axis=1)
        _, shaped = ravel_pytree(self.start.params)

        def slope(share: Array, weights: Array, rows: Array) -> Array:
            shares = counts[rows] / jnp.sum(counts[rows])
            if right is None:
                return left.of_batch(rows, shares) + left.curved(weights - left.weights)
            across = right.weights - left.weights
            away = weights - left.weights - share * across
            early = left.of_batch(rows, shares) + left.curved(away + share / 2 * across)
            late = right.of_batch(rows, shares) + right.curved(away - (1 - share) / 2 * across)
            return (1 - share) * early + share * late

        def step(number: Array, now: Position) -> Position:
            gradient = slope(number / length, now.weights, self.batches[first + number])
            change, state = self.rule.update(shaped(gradient), now.state, shaped(now.weights))
            weights = now.weights + ravel_pytree(change)[0]
            return Position(weights, state, now.kept.at[slots[first + number]].set(weights))

        return jax.lax.fori_loop(0, length, step, position)

    def gradients(self, weights: Float[Array, " p"]) -> Float[Array, "n p"]:
        """Of every document's loss; 0 of documents of which nothing counts, as they are padding."""

        def single(tokens: Array, mask: Array) -> Array:
            counts = jnp.any(mask)
            document = Dataset(tokens[None], (mask | ~counts)[None])
            slope = jax.grad(lambda weights: self.loss(self.at(weights), self.start, document))(weights)
            return jnp.where(counts, slope, 0.0)

        return jax.vmap(single)(jnp.asarray(self.data.tokens), jnp.asarray(self.data.mask))

    def with_curvature(self, gradients: Float[Array, "n p"], weights: Float[Array, " p"]) -> Look:
        """The look at these weights, with the Krylov space of the mean gradient."""
        _, shaped = ravel_pytree(self.start.params)
        counts = jnp.sum(jnp.asarray(self.data.mask), axis=1)
        shares = counts / jnp.sum(counts)
        product = gauss_newton(self.at(weights), self.data).product

        def flat(vector: Array) -> Array:
            return ravel_pytree(product(shaped(vector)))[0] / jnp.sum(counts)

        return Look(weights, gradients, *krylov(flat, shares @ gradients, PRODUCTS))

    def at(self, weights: Float[Array, " p"]) -> Parametric:
        """The network at these numbers."""
        return self.start.with_params(ravel_pytree(self.start.params)[1](weights))


@functools.partial(jax.jit, static_argnums=(3, 4))
def _by_recipe(
    prior: Parametric,
    data: Dataset,
    batches: Int[Array, "steps batch"],
    rule: optax.GradientTransformation,
    doses: tuple[int, ...],
) -> Params:
    return Survey(
        prior, data, batches, rule, lambda model, _, documents: mean_loss(model, documents)
    ).followed(doses)


def stage_ends(steps: int) -> np.ndarray:
    """Numbers of steps, from 0, after which stages end; fewer stages than seven where there are few steps."""
    shares = (np.arange(STAGES + 1) / STAGES) ** GROWTH
    return np.unique(np.round(steps * shares).astype(int))


def example() -> TwoLooks:
    """Four steps of gradient descent over eight documents."""
    return TwoLooks(optax.sgd(0.1), 0.1, jnp.arange(16).reshape(4, 4) % 8)
