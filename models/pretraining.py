"""Pretraining: many seeds in parallel, in jitted chunks of steps, with a checkpoint after each.

Every step draws fresh documents from the process (stream `fold_in(seed, step)`), so the data a network
sees depends on its seed and the step alone, and a resumed run meets the same documents.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from models.network import Network, build
from models.optimizers.muon import muon
from models.transformer import Architecture
from theory.base import Dataset, Distribution, Misuse, Params, Predictor, Tokens, mean_loss
from theory.compute.devices import padded, sharded

DATA_STREAM = 1

TrainingState: TypeAlias = tuple[Params, optax.OptState]


@dataclass(frozen=True)
class Pretraining:
    """The recipe. The step size rises over the first 5 % of the steps and then falls to 0 along a cosine."""

    optimizer: str = "muon"
    learning_rate: float = 0.01
    steps: int = 1500
    batch: int = 64
    chunk: int = 50

    def __post_init__(self) -> None:
        if self.optimizer not in ("muon", "adamw"):
            raise Misuse(f"optimizer must be 'muon' or 'adamw', got {self.optimizer!r}.")
        for name in ("steps", "batch", "chunk"):
            if getattr(self, name) < 1:
                raise Misuse(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not self.learning_rate > 0:
            raise Misuse(f"learning_rate must be above 0, got {self.learning_rate}.")

    def transformation(self) -> optax.GradientTransformation:
        """Muon (its update scaled to Adam's size) or AdamW without decay."""
        warmup = max(1, self.steps // 20)
        rate = optax.warmup_cosine_decay_schedule(
            0.0, self.learning_rate, warmup, max(self.steps, warmup + 1)
        )
        if self.optimizer == "muon":
            return muon(rate)
        return optax.adamw(rate, b2=0.99, weight_decay=0.0)


@dataclass(frozen=True)
class Chunk:
    """State after a chunk. `loss` and `excess` (nats over the exact predictor) have an entry a seed."""

    step: int
    state: TrainingState
    loss: np.ndarray
    excess: np.ndarray


def pretrain(
    process: Distribution,
    shape: Architecture,
    recipe: Pretraining,
    seeds: tuple[int, ...],
    vocabulary: int,
    length: int,
    restore: Callable[[TrainingState], tuple[int, TrainingState] | None] = lambda template: None,
    compiling: Callable[[], None] = lambda: None,
) -> Iterator[Chunk]:
    """Train a network for each seed, yielding after every chunk; the last state's weights are the result.

    `restore(template)` may return the (step, state) of an earlier run that has steps left; `compiling()` is
    called when everything is traced and the compiler is about to start. Weights are `chunk.state[0]`, stacked
    along a leading seed axis.
    """
    networks = build(shape, vocabulary, length, seeds)
    optimizer = recipe.transformation()
    rows = padded(len(seeds))
    keys = np.asarray([seeds[row] for row in rows], np.uint32)
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], networks.params)
    state = (params, jax.jit(jax.vmap(optimizer.init))(params))
    step = 0
    resumed = restore(state)
    if resumed is not None:
        step, state = resumed
    advance = functools.partial(_advance, process, networks.definition, recipe)
    program, put = sharded(advance, len(rows), shared=1, mapped=2, donate=(2,))
    # on the devices where the program leaves its results: the first call then compiles for all others, too
    keys, state = put(keys), put(state)
    traced = program.lower(np.int32(step), keys, state)
    compiling()
    train = traced.compile()
    while step < recipe.steps:
        state, loss, excess = train(np.int32(step), keys, state)
        step = min(step + recipe.chunk, recipe.steps)
        yield Chunk(step, state, np.asarray(loss)[: len(seeds)], np.asarray(excess)[: len(seeds)])


def _advance(
    process: Distribution,
    definition: nnx.GraphDef,
    recipe: Pretraining,
    start: Integer[Array, ""],
    seed: Integer[Array, ""],
    state: TrainingState,
) -> tuple[TrainingState, Float[Array, ""], Float[Array, ""]]:
    """Train one seed for a chunk, or for the remaining steps."""
    optimizer = recipe.transformation()
    indices = start + jnp.arange(recipe.chunk + 1)  # the last batch is not trained on: it measures the excess
    keys = jax.vmap(lambda index: stream(seed, DATA_STREAM, index))(indices)
    # transposed, because positions lie first in the network: fewer copies inside the loop
    tokens = jax.vmap(lambda key: process.sample(key, recipe.batch).T)(keys)

    def loss(params: Params, tokens: Tokens) -> Array:
        everything = Dataset(tokens, jnp.ones(tokens.shape, bool))
        return mean_loss(Network(params, definition), everything)

    def step(
        index: Integer[Array, ""], carry: tuple[Params, optax.OptState, Float[Array, ""]]
    ) -> tuple[Params, optax.OptState, Float[Array, ""]]:
        params, moments, _ = carry
        value, gradient = jax.value_and_grad(loss)(params, tokens[index].T)
        updates, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, updates), moments, value

    steps = jnp.minimum(recipe.chunk, recipe.steps - start)
    params, moments, value = jax.lax.fori_loop(0, steps, step, (*state, jnp.zeros(())))
    excess = jnp.mean(excess_nats(process, Network(params, definition), tokens[-1].T))
    return (params, moments), value, excess


def stream(seed: Integer[Array, ""] | int, name: int, index: Integer[Array, ""] | int) -> PRNGKeyArray:
    """An independent random stream for each (seed, purpose, step)."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), name), index)


def excess_nats(process: Distribution, network: Predictor, tokens: Tokens) -> Float[Array, " t"]:
    """KL(exact ‖ network) at every position, averaged over the sequences."""
    exact, predicted = process.predict(tokens), network.predict(tokens)
    terms = jnp.where(jnp.isneginf(exact), 0.0, jnp.exp(exact) * (exact - predicted))  # 0 log 0 is 0
    return jnp.mean(jnp.sum(terms, axis=-1), axis=0)
