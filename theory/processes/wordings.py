"""Personas × topics in other words: every topic puts a persona's manner into words by a map of its own.

    z ~ π0,  π0(z) ∝ rarity^z
    x = (topic_1, word_1, ..., topic_P, word_P),    topic ~ uniform,    word ~ p(· | topic, z)
    log p(word | topic, z) = style S[z, m] + specific T[z, topic, m] + common U[topic, m] + c
    word = σ_topic(m),    σ_(bA+s)(m) = τ_b((m + s) mod A),    s = 0 ... A - 1

m is one of A symbols of a manner. A persona prefers them in an order of its own: S[z, ·] are A equally spaced
numbers of mean 0 and variance 1 in that order, which differs from persona to persona as long as there are
enough; so each draw of the process has about as much to infer. T and U are standard normal.

Topics come in blocks b of A, and in a block every symbol is every word once (a Latin square): over the topics
of a block, the words of any manner are uniform. τ_b permutes the words and leaves word 0; blocks have
different ones as long as there are enough, and then no two topics have one map. All is drawn from `seed`.

So a D' that asks the topics of a block has every word as often as any other persona's would (exactly where
specific and common are 0): no bias for words, at whatever position, learns anything of it, and what it tells
of other topics is the manner, not the words. D' deals topics and words, as their frequencies would else
differ by chance, and a network learns even a small bias for words at once, for all topics alike.

All else is as in theory.processes.persona_topics: the last `neutral_topics` are answered alike by all
personas. Tokens: topics first, then words, which are the same for all topics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import factorial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from theory.arguments import checked
from theory.base import Dataset, Key, host_stream
from theory.contracts import Task
from theory.latent.answer_tables import PairTable
from theory.latent.documents import dataset, geometric_prior, writers
from theory.latent.mixture import Mixture
from theory.processes.persona_topics import PersonaTopics

WORDS = 1  # the stream of the maps, beside that of S, T and U


@checked
@dataclass(frozen=True)
class Wordings(PersonaTopics):
    """The process and its tasks. Fields are plain numbers; refuses what `PersonaTopics` does."""

    personas: int = 4
    """Hidden personas z, with prior proportional to rarity^z."""
    topics: int = 16
    """Topics, the neutral ones included; those of a block are together a Latin square."""
    neutral_topics: int = 1
    """Topics that all personas answer alike."""
    answers: int = 3
    """A: symbols of a manner, words, and topics in a block."""
    pairs: int = 8
    """Pairs (topic, word) in a document."""
    rarity: float = 0.7
    """Prior of each persona over that of the one before."""
    style: float = 2.0
    """Strength of a persona's manner, in other words on every topic (log-odds)."""
    specific: float = 0.0
    """Differences of a persona's manner from topic to topic (log-odds)."""
    common: float = 0.0
    """Differences of topics that all personas have in common (log-odds)."""
    seed: int = 0
    """Seed of manners and maps."""

    def distribution(self) -> Mixture:
        """The exact process, a mixture of personas."""
        components = PairTable(jnp.asarray(self.answer_table(), jnp.float32), self.pairs)
        return Mixture(components, jnp.asarray(geometric_prior(self.personas, self.rarity), jnp.float32))

    def answer_table(self) -> Float[np.ndarray, "personas topics answers"]:
        """log p(word | topic, z) in float64."""
        random, shape = np.random.default_rng(self.seed), (self.personas, self.topics, self.answers)
        scores = np.linspace(1, -1, self.answers)
        manners = (scores / scores.std())[_orders(random, self.personas, self.answers)]
        logits = self.style * manners[:, None] + self.specific * random.normal(size=shape)
        logits[:, self.topics - self.neutral_topics :] = 0
        logits += self.common * random.normal(size=shape[1:])
        logits -= np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        return np.take_along_axis(logits, self.symbols()[None], axis=-1)

    def symbols(self) -> Int[np.ndarray, "topics answers"]:
        """The symbol m of a manner that each word stands for on each topic, the inverse of σ."""
        random, size = np.random.default_rng([self.seed, WORDS]), self.answers
        orders = 1 + _orders(random, -(-self.topics // size), size - 1)
        inverse = np.argsort(np.pad(orders, ((0, 0), (1, 0))), axis=-1)
        turned = inverse[:, None] - np.arange(size)[:, None]
        return (turned % size).reshape(-1, size)[: self.topics]

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        topics = (f"topic {topic}" for topic in range(self.topics))
        return (*topics, *(f"word {word + 1}" for word in range(self.answers)))

    def blend(self, key: Key, n: int, shares: Mapping[int, float], topics: Sequence[int]) -> Dataset:
        """D' of several personas. At each position topics come equally often, and the words of each as often
        as its persona says them, up to one document; topics come alike in each document, too."""
        for persona in shares:
            self._check(persona, topics)
        personas, random, count = writers(shares, n), host_stream(key), len(topics)
        position, turn = np.arange(self.pairs), np.arange(count)[:, None]
        orders = np.tile(np.asarray(topics), (-(-n // count), -(-self.pairs // count), 1))
        orders = random.permuted(orders, axis=-1)  # of as many documents as topics, which turn it differently
        dealt = orders[:, position // count, (turn + position) % count].reshape(-1, self.pairs)[:n]
        shares_below = np.cumsum(np.exp(self.answer_table()), axis=-1)[personas[:, None], dealt]
        level = _levels(random, personas[:, None] * self.topics + dealt)
        words = np.sum(level[..., None] >= shares_below[..., :-1], axis=-1) + self.topics
        tokens = np.stack([dealt, words], axis=-1).reshape(n, -1).astype(np.int32)
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        persona: int | Mapping[int, float] | None = None,
        topics: Sequence[int] | None = None,
        repeats: int = 4,
        shots: int = 3,
        name: str | None = None,
        openings: int = 1,
    ) -> Task:
        """D' and contexts as those of `PersonaTopics.task`; by default D' asks the first block of topics."""
        topics = range(self.answers) if topics is None else topics
        return super().task(persona, topics, repeats, shots, name, openings)


def _orders(random: np.random.Generator, count: int, size: int) -> Int[np.ndarray, "count size"]:
    """Permutations, all different as long as there are enough."""
    orders: list[list[int]] = []
    while len(orders) < count:
        order = random.permutation(size).tolist()
        if order not in orders or len(orders) >= factorial(size):
            orders.append(order)
    return np.array(orders)


def _levels(random: np.random.Generator, kinds: Int[np.ndarray, "n t"]) -> Float[np.ndarray, "n t"]:
    """Numbers in [0, 1), evenly spaced over the rows of a column that are of one kind, in random order."""
    levels = np.empty(kinds.shape)
    for column in range(kinds.shape[1]):
        for kind in np.unique(kinds[:, column]):
            rows = np.flatnonzero(kinds[:, column] == kind)
            levels[rows, column] = (random.permutation(len(rows)) + random.random()) / len(rows)
    return levels


def example() -> Wordings:
    """A process small enough to enumerate."""
    return Wordings(personas=3, topics=4, answers=2, pairs=2)
