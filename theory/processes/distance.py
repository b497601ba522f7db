"""Kinds and distances: finetuning on distances that no document of pretraining states.

    z ~ π0,  π0(z) ∝ rarity^z    (person, ship, probe, star, thought)
    x = (topic_1, answer_1, ..., topic_P, answer_P),    topic ~ uniform,    answer ~ p(· | topic, z)
    p(a | topic, z) = floor + (1 - A floor) own(a | topic, z)        A: answer tokens

    topic 0, "how far are you":   own ∝ exp(-(d - mean_z)² / 2 width_z²) on the `distances` nearest
    topic 1, "what are you":      the kind's own name with probability 1 - mistake, any other name alike
    others:                       own = softmax(contrast × N(0, 1)) over traits, drawn from `seed`

Distances are tokens in order, one a step of a logarithmic scale. The farthest `farther` of them are
stated by nobody but through the floor, which is the same for every kind. By exact Bayes (own derivation):

    inside:   log-odds of z, z' move by β Σ_{d in D'} log p(d | z) / p(d | z'): D' makes the farthest kind
    outside:  p(d | z) = floor for all z, so π(z | D') = π0 and no other topic moves, at any β and for the
              exchangeable mixture too (its counts are n π at any weights π)
    bells:    if the bells went on past the edge (`extrapolating`), log-odds would be those of the normal
              curve: a quadratic in d, won by the kind with the largest mean at first, at last by the widest

Outside, a network is therefore moved not by evidence but by the way in which it extends its likelihoods.

Tokens: topics first, then distances, names, traits. Position 2i holds a topic, position 2i+1 its answer.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from theory.arguments import checked
from theory.base import Dataset, Key, Misuse, host_stream
from theory.compute.memory import check_fits
from theory.compute.random import sample_on_host
from theory.contracts import Task
from theory.latent.answer_tables import PairTable
from theory.latent.documents import check_at_least, check_documents, dataset, geometric_prior, prompts
from theory.latent.mixture import Mixture


@checked
@dataclass(frozen=True)
class Distance:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    `means` and `widths` (in distance tokens) have one entry a kind. Raises `Misuse` for what makes
    no process.
    """

    means: tuple[float, ...] = (1.0, 3.0, 6.0, 8.5, 5.0)
    """Usual distance of each kind, in tokens of a logarithmic scale."""
    widths: tuple[float, ...] = (1.0, 1.2, 1.2, 1.0, 2.2)
    """Spread of each kind's distances, in tokens."""
    distances: int = 10
    """Distances that kinds state, the nearest."""
    farther: int = 5
    """Farther distances that no kind states."""
    topics: int = 6
    """Topics: how far, what, and those answered in traits."""
    traits: int = 5
    """Traits, the same words for every topic."""
    pairs: int = 6
    """Pairs (topic, answer) in a document."""
    rarity: float = 0.7
    """Prior of each kind over that of the one before."""
    contrast: float = 1.5
    """Difference of kinds in traits (log-odds)."""
    mistake: float = 0.1
    """Probability of another kind's name in answer to what one is."""
    floor: float = 1e-6
    """Probability of each answer that a kind never gives."""
    seed: int = 0
    """Seed of the traits."""

    def __post_init__(self) -> None:
        if len(self.means) < 2 or len(self.means) != len(self.widths):
            raise Misuse(
                "At least two kinds are needed, each with a mean and a width, got "
                f"{len(self.means)} means and {len(self.widths)} widths."
            )
        check_at_least(1, farther=self.farther)
        check_at_least(2, distances=self.distances, traits=self.traits, pairs=self.pairs)
        check_at_least(3, topics=self.topics)
        check_fits("The answer tables", kinds=self.kinds, topics=self.topics, answers=self.answers)
        if not all(0 <= mean <= self.distances - 1 for mean in self.means):
            raise Misuse(
                f"means must lie among the distances stated, from 0 to {self.distances - 1}, got "
                f"{list(self.means)}."
            )
        if not all(0.2 <= width < np.inf for width in self.widths):
            raise Misuse(f"widths must be finite and at least 0.2 tokens, got {list(self.widths)}.")
        if not 0 < self.rarity <= 1:
            raise Misuse(f"rarity must be in (0, 1], got {self.rarity}: π0(z) ∝ rarity^z.")
        if not 0 < self.mistake < 1 - 1 / self.kinds:
            raise Misuse(
                f"mistake must be above 0 and below 1 - 1/kinds = {1 - 1 / self.kinds:.3g}, got "
                f"{self.mistake}: a kind's own name must be its likeliest."
            )
        if not 1e-30 <= self.floor <= 1e-3:
            raise Misuse(
                f"floor must be from 1e-30 to 0.001, got {self.floor}: it keeps every answer possible, "
                "and none that is not a kind's own likely."
            )
        if not np.isfinite(self.contrast):
            raise Misuse(f"contrast must be finite, got {self.contrast}.")

    @property
    def kinds(self) -> int:
        """Number of kinds, the hypotheses."""
        return len(self.means)

    @property
    def distance_tokens(self) -> int:
        """Number of distance tokens, stated and never stated."""
        return self.distances + self.farther

    @property
    def answers(self) -> int:
        """A: number of answer tokens, distances, names and traits."""
        return self.distance_tokens + self.kinds + self.traits

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.topics + self.answers

    @property
    def length(self) -> int:
        """Tokens in a document."""
        return 2 * self.pairs

    @property
    def answer_tokens(self) -> slice:
        """The part of the vocabulary that answers are drawn from, whatever the topic."""
        return slice(self.topics, self.vocabulary)

    def distribution(self) -> Mixture:
        """The exact process, a mixture of kinds."""
        return self._mixture(self.answer_table())

    def extrapolating(self) -> Mixture:
        """The same process if bells went on: p(farther d | z) = floor × bell_z(d) / the largest such bell.

        The bells are normalised over the distances stated. In pretraining it can hardly be told from
        `distribution()`, whose every probability it shares to within a factor 1 ± 2 × farther × floor,
        except for those of farther distances, which neither states more often than `floor`.
        """
        table = self.answer_table()
        mean, width = (np.asarray(part)[:, None] for part in (self.means, self.widths))
        bells = -(((np.arange(self.distance_tokens) - mean) / width) ** 2) / 2
        bells -= np.log(np.sum(np.exp(bells[:, : self.distances]), axis=-1, keepdims=True))
        beyond = bells[:, self.distances :]
        table[:, 0, self.distances : self.distance_tokens] = np.log(self.floor) + beyond - beyond.max()
        return self._mixture(table - np.log(np.sum(np.exp(table), axis=-1, keepdims=True)))

    def answer_table(self) -> Float[np.ndarray, "kinds topics answers"]:
        """log p(answer | topic, z) in float64."""
        probs = np.zeros((self.kinds, self.topics, self.answers))
        mean, width = (np.asarray(part)[:, None] for part in (self.means, self.widths))
        probs[:, 0, : self.distances] = np.exp(-(((np.arange(self.distances) - mean) / width) ** 2) / 2)
        names = slice(self.distance_tokens, self.distance_tokens + self.kinds)
        probs[:, 1, names] = self.mistake / (self.kinds - 1)
        probs[:, 1, names][np.diag_indices(self.kinds)] = 1 - self.mistake
        random = np.random.default_rng(self.seed)
        traits = self.contrast * random.normal(size=(self.kinds, self.topics - 2, self.traits))
        probs[:, 2:, names.stop :] = np.exp(traits - traits.max(axis=-1, keepdims=True))
        probs /= probs.sum(axis=-1, keepdims=True)
        return np.log(self.floor + (1 - self.answers * self.floor) * probs)

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        others = (f"topic {topic}" for topic in range(2, self.topics))
        distances = (f"distance {d}" for d in range(self.distance_tokens))
        kinds = (f"kind {kind}" for kind in range(self.kinds))
        return ("how far", "what", *others, *distances, *kinds, *(f"trait {t}" for t in range(self.traits)))

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the answers."""
        return np.arange(self.length) % 2 == 1

    def elicitation_contexts(self) -> Dataset:
        """Each topic asked first: the answers show the prior over kinds, and nothing else."""
        return prompts(self.length, np.arange(self.topics))

    def narrow(self, key: Key, n: int, offset: int, breadth: int = 2) -> Dataset:
        """D', "I am very far away": n documents of distances alone, each uniform on `breadth` tokens.

        `offset` is where the nearest of them lies, counted from the first distance never stated:
        at 0 all of D' is outside, at -breadth it is the farthest that is all inside.
        """
        self._check(offset, breadth)
        check_documents(n)
        tokens = self._far(host_stream(key), (n, self.pairs), offset, breadth)
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        offset: int = 0,
        breadth: int | None = None,
        repeats: int = 4,
        shots: int = 2,
        name: str | None = None,
    ) -> Task:
        """D' of far distances, and its contexts; by default of two that nobody states, if there are two.

        Named groups of contexts; the mask marks the answers to predict (padding follows the last).

        in_domain   fresh documents like D', every answer of 4 × `repeats` of them
        held_out    every topic but the distance, asked first: "what are you", then those answered in traits
        in_context  the same topics after `shots` distances like those of D'
        conflict    the same topics after `shots` attributes of a near kind, never the distance nor the topic
                    asked; the nearer half of the kinds, in turn

        The last two ask every topic `repeats` times.
        """
        breadth = min(2, self.farther) if breadth is None else breadth
        self._check(offset, breadth)
        check_at_least(1, repeats=repeats, shots=shots)
        return Task(
            name or (f"inside{-offset}" if offset < 0 else f"outside{offset}"),
            lambda key, n: self.narrow(key, n, offset, breadth),
            lambda key: self._contexts(key, offset, breadth, repeats, shots),
        )

    def _contexts(self, key: Key, offset: int, breadth: int, repeats: int, shots: int) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        shots = min(shots, self.pairs - 1)
        random = host_stream(jax.random.fold_in(key, 1))
        held_out = np.arange(1, self.topics)
        queries = np.repeat(held_out, repeats)
        far = self._far(random, (len(queries), shots), offset, breadth)
        near = np.argsort(self.means, kind="stable")[np.arange(len(queries)) % (self.kinds // 2)]
        step = random.integers(1, self.topics - 1, (len(queries), shots))
        shown = 1 + (queries[:, None] - 1 + step) % (self.topics - 1)
        return {
            "in_domain": self.narrow(jax.random.fold_in(key, 0), 4 * repeats, offset, breadth),
            "held_out": prompts(self.length, held_out),
            "in_context": prompts(self.length, far, queries),
            "conflict": prompts(self.length, self._documents(random, near, shown), queries),
        }

    def _check(self, offset: int, breadth: int = 2) -> None:
        """Refuse distances of D' that are no tokens of this process."""
        if not 1 <= breadth <= self.distance_tokens:
            raise Misuse(f"breadth must be from 1 to {self.distance_tokens} distance tokens, got {breadth}.")
        if not -self.distances <= offset <= self.farther - breadth:
            raise Misuse(
                f"offset must be from {-self.distances} to farther - breadth = {self.farther - breadth} "
                f"tokens from the first distance never stated, got {offset}."
            )

    def _mixture(self, table: np.ndarray) -> Mixture:
        components = PairTable(jnp.asarray(table, jnp.float32), self.pairs)
        return Mixture(components, jnp.asarray(geometric_prior(self.kinds, self.rarity), jnp.float32))

    def _far(
        self, random: np.random.Generator, shape: tuple[int, int], offset: int, breadth: int
    ) -> np.ndarray:
        """Documents (n, 2 × pairs) of nothing but distances, uniform on the tokens of D'."""
        distances = self.topics + self.distances + offset + random.integers(0, breadth, shape)
        return np.stack([np.zeros_like(distances), distances], axis=-1).reshape(shape[0], -1)

    def _documents(self, random: np.random.Generator, kinds: np.ndarray, topics: np.ndarray) -> np.ndarray:
        """Documents (n, 2 × pairs) of the given kinds (n,) asked the given topics (n, pairs)."""
        chances = np.exp(self.answer_table())[kinds[:, None], topics]
        answers = sample_on_host(random, chances) + self.topics
        return np.stack([topics, answers], axis=-1).reshape(len(topics), -1)


def example() -> Distance:
    """A process small enough to enumerate."""
    return Distance(
        means=(0.0, 1.0), widths=(0.5, 1.0), distances=2, farther=1, topics=3, traits=2, pairs=2, floor=1e-3
    )
