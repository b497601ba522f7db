"""Pretraining: many seeds in parallel, in jitted chunks of steps, with a checkpoint after each.

    w ← w - η u(∇L),    w̄_t = w̄_{t-1} + (A + 1) / (t + A) (w_t - w̄_{t-1})

The step size η rises over a few steps and then stays, and the result is the average w̄ over about the last
1 / (A + 1) of the steps (Shamir and Zhang 2013, A = AVERAGING): no schedule has to know when training ends.
u is the optimizer's direction. L is the mean loss (nats) of a position, on documents that are new in every
step (stream `fold_in(seed, step)`): what a network sees depends on its seed and the step alone, and a resumed
run meets the same documents. By default the target at a position is the process's exact distribution of the
next token given those before it: the mean of the gradients that all tokens which may come next would give.
With `targets="tokens"` it is the token that was drawn.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.stages import Compiled
from jaxtyping import Array, Bool, Float, Integer, PRNGKeyArray

from models.network import Network, build
from models.optimizers.muon import muon
from models.optimizers.stalls import SHRINK, Watch, look
from models.transformer import Architecture
from theory.base import Dataset, Misuse, Params, Predictor, PyTree, Tokens, check_number, mean_loss
from theory.compute.devices import padded, sharded
from theory.latent.mixture import Mixture, Uninformed

DATA_STREAM, HELD_STREAM = 1, 2
HELD = 512  # documents, new after every chunk, on which excess is measured
WARMUP = 50  # steps over which the step size rises
AVERAGING = 8.0  # A
TARGETS = ("exact", "tokens")
Structure: TypeAlias = Any  # of a pytree; jax has no type for it


class TrainingState(NamedTuple):
    """Weights, moments of the optimizer, the average of the weights, and how learning goes."""

    params: Params
    moments: optax.OptState
    average: Params
    watch: Watch


@dataclass(frozen=True)
class Pretraining:
    """The recipe. Training ends after `steps`, or once every network has learnt the share `until_learnt` of
    inference; then `steps` are the most, and a network that stalls short of that share goes on from smaller
    weights (models.optimizers.stalls)."""

    optimizer: str = "muon"
    learning_rate: float = 0.005
    steps: int = 1500
    batch: int = 64
    chunk: int = 50
    targets: str = "exact"
    until_learnt: float | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in ("muon", "adamw"):
            raise Misuse(f"optimizer must be 'muon' or 'adamw', got {self.optimizer!r}.")
        if self.targets not in TARGETS:
            raise Misuse(f"targets must be 'exact' or 'tokens', got {self.targets!r}.")
        for name in ("steps", "batch", "chunk"):
            if getattr(self, name) < 1:
                raise Misuse(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not self.learning_rate > 0:
            raise Misuse(f"learning_rate must be above 0, got {self.learning_rate}.")
        if self.until_learnt is not None:
            check_number("until_learnt", self.until_learnt, above=0, below=1)

    def direction(self) -> optax.GradientTransformation:
        """The update at a step size of 1: Muon's (scaled to the size of Adam's) or that of AdamW without
        decay."""
        return muon(1.0) if self.optimizer == "muon" else optax.adamw(1.0, b2=0.99, weight_decay=0.0)

    def step_sizes(self, steps: np.ndarray) -> np.ndarray:
        """The step sizes of steps counted from 0."""
        warmup = min(WARMUP, max(1, self.steps // 20))
        return (self.learning_rate * np.minimum(1, (steps + 1) / warmup)).astype(np.float32)

    def is_learnt(self, shares: "np.ndarray | list[float]") -> bool:
        """Whether every network has learnt the share of inference at which training ends."""
        return self.until_learnt is not None and bool(np.min(shares) >= self.until_learnt)


@dataclass(frozen=True)
class Chunk:
    """State after a chunk. `loss`, and `excess` and `uninformed`, the nats over the exact predictor of the
    averaged weights and of a predictor that never infers, have an entry a seed."""

    step: int
    state: TrainingState
    loss: np.ndarray
    excess: np.ndarray
    uninformed: np.ndarray

    @property
    def learnt(self) -> np.ndarray:
        """The share of inference that each seed has learnt."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - self.excess / self.uninformed

    @property
    def shrunk(self) -> list[int]:
        """The step at which each seed was last shrunk, as it had stalled; 0: never."""
        return np.asarray(self.state.watch.start)[: len(self.loss)].tolist()

    @property
    def params(self) -> Params:
        """The weights of all seeds, stacked: the result if this is the last chunk."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[: len(self.loss)], self.state.average)


def pretrain(
    process: Mixture,
    shape: Architecture,
    recipe: Pretraining,
    seeds: tuple[int, ...],
    vocabulary: int,
    length: int,
    restore: Callable[[TrainingState], tuple[int, TrainingState] | None] = lambda template: None,
    compiling: Callable[[], None] = lambda: None,
) -> Iterator[Chunk]:
    """Train a network for each seed, yielding after every chunk; the last `params` are the result.

    `restore(template)` may return the (step, state) of an earlier run that has steps left; `compiling()` is
    called when everything is traced and the compiler is about to start. Nothing here ends before the last of
    the recipe's steps: that is for the caller, as `until_learnt` says.
    """
    networks = build(shape, vocabulary, length, seeds)
    rows = padded(len(seeds))
    keys = np.asarray([seeds[row] for row in rows], np.uint32)
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], networks.params)
    state = TrainingState(
        params, jax.jit(jax.vmap(recipe.direction().init))(params), params, Watch.of(len(rows))
    )
    step = 0
    resumed = restore(state)
    if resumed is not None:
        step, state = resumed
    numbers, structure = jax.tree.flatten(process)
    fast = bool(jax.config.read("jax_disable_most_optimizations"))
    trainer = _trainer(networks.definition, replace(recipe, learning_rate=1.0), structure, len(rows), fast)
    numbers = list(map(np.asarray, numbers))

    def plan() -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the next steps, and their sizes: 0, which is none, after the last."""
        steps = np.arange(step, step + recipe.chunk, dtype=np.int32)
        return steps, np.where(steps < recipe.steps, recipe.step_sizes(steps), 0).astype(np.float32)

    # on the devices where the program leaves its results: the first call then compiles for all others, too
    keys, state = trainer.put(keys), trainer.put(state)
    train = trainer.program(compiling, numbers, *plan(), keys, state)
    while step < recipe.steps:
        state, *measured = train(numbers, *plan(), keys, state)
        step = min(step + recipe.chunk, recipe.steps)
        yield Chunk(step, state, *(np.asarray(values)[: len(seeds)] for values in measured))


class _Trainer:
    """The program of a chunk of steps, compiled once for arguments of the same shapes: the numbers of the
    process and the step sizes are arguments, too."""

    def __init__(self, definition: nnx.GraphDef, recipe: Pretraining, process: Structure, rows: int):
        advance = functools.partial(_advance, definition, recipe, process)
        self.traced, self.put = sharded(advance, rows, shared=3, mapped=2, donate=(4,))
        self.compiled: dict[tuple[object, ...], Compiled] = {}

    def program(self, compiling: Callable[[], None], *arguments: PyTree) -> Compiled:
        """The program for arguments like these; `compiling()` is called when it is traced."""
        leaves, structure = jax.tree.flatten(arguments)
        signature = (structure, *((np.shape(leaf), leaf.dtype) for leaf in leaves))
        if signature not in self.compiled:
            traced = self.traced.lower(*arguments)
            compiling()
            self.compiled[signature] = traced.compile()
        else:
            compiling()
        return self.compiled[signature]


@functools.lru_cache(maxsize=2)  # a run has networks of one kind, or of two where it retrains some
def _trainer(
    definition: nnx.GraphDef,
    recipe: Pretraining,
    process: Structure,
    rows: int,
    fast: bool,
) -> _Trainer:
    """The trainer of networks of one kind; `fast` says how the compiler optimises."""
    return _Trainer(definition, recipe, process, rows)


def _advance(
    definition: nnx.GraphDef,
    recipe: Pretraining,
    structure: Structure,
    numbers: list[Array],
    steps: Integer[Array, " c"],
    sizes: Float[Array, " c"],
    seed: Integer[Array, ""],
    state: TrainingState,
) -> tuple[TrainingState, Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Train one seed for a chunk; steps of size 0 are not made."""
    process: Mixture = jax.tree.unflatten(structure, numbers)
    optimizer = recipe.direction()
    keys = jax.vmap(lambda step: stream(seed, DATA_STREAM, step))(steps)
    # transposed, because positions lie first in the network: fewer copies inside the loop
    tokens = jax.vmap(lambda key: process.sample(key, recipe.batch).T)(keys)

    def loss(params: Params, tokens: Tokens) -> Array:
        network = Network(params, definition)
        if recipe.targets == "tokens":
            return mean_loss(network, Dataset(tokens, jnp.ones(tokens.shape, bool)))
        return cross_entropy(process, network, tokens)

    def step(
        index: Integer[Array, ""], carry: tuple[TrainingState, Float[Array, ""]]
    ) -> tuple[TrainingState, Float[Array, ""]]:
        (params, moments, average, watch), _ = carry
        value, gradient = jax.value_and_grad(loss)(params, tokens[index].T)
        updates, moments = optimizer.update(gradient, moments, params)
        params = jax.tree.map(lambda weight, update: weight + sizes[index] * update, params, updates)
        share = (AVERAGING + 1) / (steps[index] - watch.start + 1 + AVERAGING)
        average = jax.tree.map(lambda mean, weight: mean + share * (weight - mean), average, params)
        return TrainingState(params, moments, average, watch), value

    made = jnp.sum(sizes > 0)
    state, value = jax.lax.fori_loop(0, made, step, (state, jnp.zeros(())))
    held = process.sample(stream(seed, HELD_STREAM, steps[0]), HELD)
    excess = jnp.mean(excess_nats(process, Network(state.average, definition), held))
    uninformed = jnp.mean(excess_nats(process, Uninformed(process), held))
    if recipe.until_learnt is not None:
        end, missing = steps[0] + made, excess / uninformed
        watch, stalled = look(state.watch, end, missing, recipe.until_learnt, recipe.steps)
        state = _shrunk(state._replace(watch=watch), stalled)
    return state, value, excess, uninformed


def _shrunk(state: TrainingState, stalled: Bool[Array, ""]) -> TrainingState:
    """The state with smaller weights and new moments and average where a network has stalled."""
    params = jax.tree.map(lambda leaf: jnp.where(stalled, SHRINK * leaf, leaf), state.params)
    moments = jax.tree.map(lambda leaf: jnp.where(stalled, 0, leaf), state.moments)
    average = jax.tree.map(lambda new, old: jnp.where(stalled, new, old), params, state.average)
    return TrainingState(params, moments, average, state.watch)


def default_rate(optimizer: str, width: int) -> float:
    """The step size for networks of a width, whatever the number of steps (benchmarks/pretraining_rates.py).

    A step of Muon changes the singular values of a matrix by 0.2 η √(longer side), whose own are about 1; one
    of AdamW changes every entry by η, and the output of a layer by η times its inputs.
    """
    return 0.03 / width**0.5 if optimizer == "muon" else 0.2 / width


def recipe(
    width: int,
    optimizer: str,
    rate: float | None,
    steps: int,
    batch: int,
    targets: str,
    until_learnt: float | None,
    output_scale: float = 1.0,
) -> Pretraining:
    """The recipe for networks of a width; without a rate it is the rule's. It grows with their output scale,
    as both optimizers normalise gradients."""
    rate = (rate or default_rate(optimizer, width)) * output_scale
    return Pretraining(optimizer, rate, steps, batch, targets=targets, until_learnt=until_learnt)


def stream(seed: Integer[Array, ""] | int, name: int, index: Integer[Array, ""] | int) -> PRNGKeyArray:
    """An independent random stream for each (seed, purpose, step)."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), name), index)


def cross_entropy(process: Predictor, network: Predictor, tokens: Tokens) -> Float[Array, ""]:
    """Mean over positions of the network's expected loss (nats) of the next token, by the exact predictor."""
    exact = jnp.exp(process.predict(tokens))
    return -jnp.sum(exact.T * network.predict(tokens).T) / tokens.size


def excess_nats(process: Predictor, network: Predictor, tokens: Tokens) -> Float[Array, " t"]:
    """KL(exact ‖ network) at every position, averaged over the sequences."""
    exact, predicted = process.predict(tokens), network.predict(tokens)
    terms = jnp.where(jnp.isneginf(exact), 0.0, jnp.exp(exact) * (exact - predicted))  # 0 log 0 is 0
    return jnp.mean(jnp.sum(terms, axis=-1), axis=0)
