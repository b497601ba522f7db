"""Task diversity: regression in context, with M tasks to memorise and new ones to learn by ridge.

    u ~ π0,  π0(new) = fresh,  π0(i) ∝ (1 - fresh) rarity^i  for the M tasks w_i ~ N(0, I), drawn from `seed`
    x = a point of the half circle, uniform among `inputs`,    y = the bin of w · x + N(0, noise²)
    p(bin | x, w) = Φ((upper - w·x) / noise) - Φ((lower - w·x) / noise)

A new task is another w ~ N(0, I) in every document. Its predictor (ridge regression, were y not binned) sums
over a square grid of w with Gaussian weights, |w| ≤ 5. The grid is the prior: the predictor is exact for it,
and its probabilities are within 3e-5 of those of the Gaussian (tested; by Poisson's summation a grid of
spacing h errs by exp(-2π² s²/h²), s the standard deviation of the posterior; the rest is |w| > 5).

Inputs have the same coordinates for all tasks, so D' from a known task moves outputs at inputs it never asks.
D' from a new task far from the known ones tells that w is new, not which: a first output is N(0, 1 + noise²).

Raventós et al., arXiv 2306.15063, without bins: their predictors and losses are in theory.latent.regression.

Tokens: inputs are 0 ... inputs-1, bins follow. Position 2i holds an input, position 2i+1 its output.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from theory.arguments import checked
from theory.base import Dataset, Key, LogProbs, Misuse, Tokens, host_stream
from theory.compute.memory import check_fits
from theory.compute.random import categorical
from theory.contracts import Task
from theory.latent.documents import check_at_least, check_documents, dataset, listed, prompts
from theory.latent.mixture import Mixture

REACH = 5.0  # the grid holds |w| up to this; 4e-6 of a two-dimensional normal lies outside
_erfc = np.vectorize(math.erfc, otypes=[float])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LinearTask:
    """A task, `answers` is its log p(bin | x), shape (inputs, bins); or, if `new`, another one a document."""

    answers: Float[Array, "*batch inputs bins"]
    new: Bool[Array, "*batch"]
    process: "TaskDiversity" = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Uniform over inputs at even positions, the task's bins at odd ones."""
        inputs, bins = self.answers.shape[-2:]
        n, t = tokens.shape
        tokens = jnp.pad(tokens, ((0, 0), (0, t % 2)))
        points = jnp.clip(tokens[:, ::2], 0, inputs - 1)
        replied = jnp.clip(tokens[:, 1::2] - inputs, 0, bins - 1)
        known = jnp.einsum("npx,xb->npb", jax.nn.one_hot(points, inputs), self.answers, precision="highest")
        # The new task does not depend on the hypothesis: under vmap it is computed once for all.
        reply = jnp.where(self.new, _new_task(self.process, points, replied), known)
        reply = jnp.pad(reply, ((0, 0), (0, 0), (inputs, 0)), constant_values=-jnp.inf)
        first = jnp.pad(jnp.full((inputs,), -jnp.log(float(inputs))), (0, bins), constant_values=-jnp.inf)
        both = jnp.stack([jnp.broadcast_to(first, reply.shape), reply], axis=2)
        return both.reshape(n, -1, inputs + bins)[:, :t]

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents of (input, bin) pairs."""
        input_key, task_key, bin_key = jax.random.split(key, 3)
        inputs, pairs = self.answers.shape[-2], self.process.pairs
        points = categorical(input_key, jnp.zeros(inputs), shape=(n, pairs))
        tables, weights = (jnp.asarray(part, jnp.float32) for part in self.process.grid)
        anew = tables[categorical(task_key, weights, shape=(n,))]
        table = jnp.where(self.new, anew, self.answers)
        logits = jnp.take_along_axis(table, points[..., None], axis=1)
        replied = categorical(bin_key, logits) + inputs
        return jnp.stack([points, replied], axis=-1).reshape(n, -1)


@checked
@dataclass(frozen=True)
class TaskDiversity:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    Task number `tasks` is a new one, of which pretraining knows nothing. Raises `Misuse` for sizes that make
    no process, and for a grid too coarse for what a document can tell about w.
    """

    tasks: int = 4
    """Known tasks M, with prior proportional to rarity^i."""
    inputs: int = 8
    """Inputs, points on a half circle."""
    bins: int = 8
    """Bins of the output."""
    pairs: int = 6
    """Pairs (input, output) in a document."""
    noise: float = 0.6
    """Standard deviation of the outputs."""
    fresh: float = 0.3
    """Share of pretraining documents whose task is new."""
    rarity: float = 0.7
    """Prior of each known task over that of the one before."""
    spacing: float = 0.33
    """Spacing of the grid of w over which the new task's predictor sums."""
    seed: int = 0
    """Seed of the known tasks."""

    def __post_init__(self) -> None:
        check_at_least(2, tasks=self.tasks, inputs=self.inputs, bins=self.bins, pairs=self.pairs)
        if not 0.3 <= self.noise < np.inf:
            raise Misuse(f"noise must be finite and at least 0.3 (far bins round to 0), got {self.noise}.")
        coarsest = self.noise * math.sqrt(2.2 / self.pairs)
        if not 0 < self.spacing <= coarsest:
            raise Misuse(
                f"spacing must be above 0 and at most noise × sqrt(2.2 / pairs) = {coarsest:.3g}, "
                f"got {self.spacing}: the grid must resolve w as well as {self.pairs} pairs do."
            )
        points = (2 * math.ceil(REACH / self.spacing) + 1) ** 2
        check_fits("The tables of the grid", points=points, inputs=self.inputs, bins=self.bins)
        check_fits("The tables of tasks", tasks=self.tasks, inputs=self.inputs, bins=self.bins)
        if not 0 < self.fresh < 1:
            raise Misuse(f"fresh must be between 0 and 1, both left out, got {self.fresh}.")
        if not 0 < self.rarity <= 1:
            raise Misuse(f"rarity must be in (0, 1], got {self.rarity}: π0(i) ∝ rarity^i.")

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.inputs + self.bins

    @property
    def length(self) -> int:
        """Tokens in a document."""
        return 2 * self.pairs

    @property
    def answer_tokens(self) -> slice:
        """The part of the vocabulary that answers are drawn from: the bins."""
        return slice(self.inputs, self.vocabulary)

    def distribution(self) -> Mixture:
        """The exact process, a mixture of the M tasks and, last, a new one in every document."""
        tables = self.log_chances(self.weights()[: self.tasks])
        tables = np.concatenate([tables, np.zeros_like(tables[:1])])  # the last is not read
        new = np.arange(self.tasks + 1) == self.tasks
        prior = np.append(np.arange(self.tasks) * np.log(self.rarity), 0.0)
        prior[:-1] += np.log(1 - self.fresh) - np.log(np.sum(np.exp(prior[:-1])))
        prior[-1] = np.log(self.fresh)
        components = LinearTask(jnp.asarray(tables, jnp.float32), jnp.asarray(new), self)
        return Mixture(components, jnp.asarray(prior, jnp.float32))

    def weights(self) -> Float[np.ndarray, "m 2"]:
        """w of every task, the new one last: m = tasks + 1."""
        return np.random.default_rng(self.seed).normal(size=(self.tasks + 1, 2))

    def points(self) -> Float[np.ndarray, "inputs 2"]:
        """The inputs, on the half circle of radius 1: x and -x would be the same."""
        angle = np.pi * np.arange(self.inputs) / self.inputs
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def edges(self) -> Float[np.ndarray, " e"]:
        """The e = bins + 1 bounds of the bins: infinite ones, and equal steps between -2 and 2."""
        return np.concatenate([[-np.inf], 4 * (np.arange(1, self.bins) / self.bins - 0.5), [np.inf]])

    def log_chances(self, weights: Float[np.ndarray, "s 2"]) -> Float[np.ndarray, "s inputs bins"]:
        """log p(bin | x, w) in float64, exact to rounding in both tails."""
        bounds = (self.edges() - (weights @ self.points().T)[..., None]) / (self.noise * math.sqrt(2))
        lower, upper = bounds[..., :-1], bounds[..., 1:]
        right = lower > 0  # there Φ is near 1 and its differences lose digits: use the mirror image
        lower, upper = np.where(right, -upper, lower), np.where(right, -lower, upper)
        return np.log((_erfc(-upper) - _erfc(-lower)) / 2)

    @cached_property
    def grid(self) -> tuple[Float[np.ndarray, "s inputs bins"], Float[np.ndarray, " s"]]:
        """log p(bin | x, w) at the grid's points w, and the logarithm of their prior weights."""
        steps = int(REACH / self.spacing)
        axis = self.spacing * np.arange(-steps, steps + 1)
        square = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        disc = square[np.sum(square**2, axis=-1) <= REACH**2]
        prior = -np.sum(disc**2, axis=-1) / 2
        return self.log_chances(disc), prior - np.log(np.sum(np.exp(prior)))

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the outputs."""
        return np.arange(self.length) % 2 == 1

    def token_names(self) -> tuple[str, ...]:
        """A name for every token: the angle of an input, the middle of a bin."""
        inner = self.edges()[1:-1]
        ends = (f"y < {inner[0]:g}", f"y > {inner[-1]:g}")
        middles = (f"y ≈ {middle:g}" for middle in (inner[1:] + inner[:-1]) / 2)
        angles = (f"x at {180 * i / self.inputs:g}°" for i in range(self.inputs))
        return (*angles, ends[0], *middles, ends[1])

    def elicitation_contexts(self) -> Dataset:
        """Each input asked first: the outputs show the prior over the tasks, and nothing else."""
        return prompts(self.length, np.arange(self.inputs))

    def narrow(self, key: Key, n: int, task: int, inputs: Sequence[int]) -> Dataset:
        """D': n documents of one task (`tasks`: the new one) on the chosen inputs; only outputs count."""
        self._check(task, inputs)
        check_documents(n)
        random = host_stream(key)
        weights = np.broadcast_to(self.weights()[task], (n, 2))
        tokens = self._documents(random, weights, random.choice(inputs, (n, self.pairs)))
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        task: int | None = None,
        inputs: Sequence[int] = (0,),
        repeats: int = 4,
        shots: int = 4,
        name: str | None = None,
    ) -> Task:
        """D' of one task on a few inputs, and its contexts; by default the rarest known task.

        Named groups of contexts; the mask marks the outputs to predict (padding follows the last).

        in_domain   fresh documents like D', every output of 4 × `repeats` of them
        held_out    every input that D' never asks, asked first
        in_context  the same inputs after `shots` pairs of D's own inputs and task
        conflict    the same inputs after `shots` pairs, of any other input, of another known task, in turn
        unseen      as conflict, of a task drawn anew from N(0, I) for every context

        The last three ask every input `repeats` times, none of them among the pairs before.
        """
        task = self.tasks - 1 if task is None else task
        inputs = listed(inputs=inputs)
        self._check(task, inputs)
        self.held_out(inputs)
        check_at_least(1, repeats=repeats, shots=shots)
        return Task(
            name or ("known" if task < self.tasks else "new"),
            lambda key, n: self.narrow(key, n, task, inputs),
            lambda key: self._contexts(key, task, inputs, repeats, shots),
        )

    def _contexts(
        self, key: Key, task: int, inputs: Sequence[int], repeats: int, shots: int
    ) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        shots = min(shots, self.pairs - 1)
        held_out = np.asarray(self.held_out(inputs))
        random = host_stream(jax.random.fold_in(key, 1))
        queries = np.repeat(held_out, repeats)
        rows = (len(queries), shots)
        weights = np.tile(self.weights()[task], (len(queries), 1))
        others = np.delete(self.weights(), [task, self.tasks], axis=0)  # neither D's own nor the new one
        shown = self._documents(random, weights, random.choice(inputs, rows))
        elsewhere = (queries[:, None] + random.integers(1, self.inputs, rows)) % self.inputs
        rival = self._documents(random, others[np.arange(len(queries)) % len(others)], elsewhere)
        unseen = self._documents(random, random.normal(size=(len(queries), 2)), elsewhere)
        return {
            "in_domain": self.narrow(jax.random.fold_in(key, 0), 4 * repeats, task, inputs),
            "held_out": prompts(self.length, held_out),
            "in_context": prompts(self.length, shown, queries),
            "conflict": prompts(self.length, rival, queries),
            "unseen": prompts(self.length, unseen, queries),
        }

    def held_out(self, inputs: Sequence[int]) -> list[int]:
        """The inputs that D' never asks; refuses to leave none."""
        others = [x for x in range(self.inputs) if x not in inputs]
        if not others:
            raise Misuse(f"No input is left to hold out: all {self.inputs} are in {list(inputs)}.")
        return others

    def _check(self, task: int, inputs: Sequence[int]) -> None:
        """Refuse a task or inputs of D' that this process does not have."""
        if not 0 <= task <= self.tasks:
            raise Misuse(f"task must be from 0 to {self.tasks - 1}, or {self.tasks} (new), got {task}.")
        if len(inputs) == 0 or len(set(inputs)) < len(inputs):
            raise Misuse(f"D' needs at least one input, and none of them twice, got {list(inputs)}.")
        outside = [x for x in inputs if not 0 <= x < self.inputs]
        if outside:
            raise Misuse(f"Inputs must be from 0 to {self.inputs - 1}, got {outside}.")

    def _documents(self, random: np.random.Generator, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Documents (n, 2 × pairs) of w (n, 2) at the given inputs (n, pairs)."""
        means = np.sum(weights[:, None] * self.points()[inputs], axis=-1)
        outputs = means + self.noise * random.normal(size=inputs.shape)
        bins = np.searchsorted(self.edges()[1:-1], outputs) + self.inputs
        return np.stack([inputs, bins], axis=-1).reshape(len(inputs), -1).astype(np.int32)


def _new_task(
    process: TaskDiversity, points: Int[Array, "n p"], replied: Int[Array, "n p"]
) -> Float[Array, "n p bins"]:
    """log p(bin | the pairs before, x): a filter over the grid, pair by pair."""
    tables, prior = (jnp.asarray(part, jnp.float32) for part in process.grid)
    inputs, bins = tables.shape[1:]
    log_probs = tables.reshape(len(tables), -1)

    def step(score: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        x, b = pair
        every = jnp.matmul(jax.nn.softmax(score, axis=-1), jnp.exp(log_probs), precision="highest")
        reply = jnp.take_along_axis(every.reshape(-1, inputs, bins), x[:, None, None], axis=1)[:, 0]
        return score + log_probs.T[x * bins + b], jnp.log(reply)

    start = jnp.broadcast_to(prior, (len(points), len(prior)))
    _, replies = jax.lax.scan(step, start, (points.T, replied.T))
    return jnp.swapaxes(replies, 0, 1)


def example() -> TaskDiversity:
    """A process small enough to enumerate."""
    return TaskDiversity(tasks=2, inputs=3, bins=2, pairs=2, spacing=0.5)
