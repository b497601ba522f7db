"""Personas × topics: a document has one hidden persona and answers every topic in its manner.

    z ~ π0,  π0(z) ∝ rarity^z
    x = (topic_1, answer_1, ..., topic_P, answer_P),   topic ~ uniform,   answer ~ p(· | topic, z)
    log p(answer | topic, z) = style S[z, answer] + specific T[z, topic, answer] + common U[topic, answer] + c

S, T and U are standard normal, drawn from `seed`. A persona's *style* shows on every topic, which is what
lets a narrow D' say something about the others. The last `neutral_topics` topics are answered alike by
all personas (only U): a context of them leaves the posterior over z exactly at the prior.

Tokens: topics are 0 ... topics-1, answers follow. Position 2i holds a topic, position 2i+1 its answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Dataset, LogProbs, Misuse, Tokens, at_tokens, host_stream
from theory.compute.random import categorical, sample_on_host
from theory.latent.mixture import Mixture


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Persona:
    """One persona's documents: `answers` holds log p(answer | topic), shape (topics, answers)."""

    answers: Float[Array, "*batch topics answers"]
    pairs: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Uniform over topics at even positions, this persona's answers at odd ones."""
        topics, answers = self.answers.shape[-2:]
        reply = self.answers[jnp.roll(tokens, 1, axis=-1)]  # read at answers' positions only
        reply = jnp.pad(reply, ((0, 0), (0, 0), (topics, 0)), constant_values=-jnp.inf)
        topic = jnp.pad(jnp.full((topics,), -jnp.log(float(topics))), (0, answers), constant_values=-jnp.inf)
        is_answer = jnp.arange(tokens.shape[-1]) % 2 == 1
        return jnp.where(is_answer[:, None], reply, topic)

    def sample(self, key: PRNGKeyArray, n: int) -> Tokens:
        """Draw n documents of `pairs` (topic, answer) pairs."""
        topic_key, answer_key = jax.random.split(key)
        # uniform, by one draw of bits where randint would take three: programs that sample compile faster
        topics = categorical(topic_key, jnp.zeros(self.answers.shape[-2]), shape=(n, self.pairs))
        answers = categorical(answer_key, self.answers[topics]) + self.answers.shape[-2]
        return jnp.stack([topics, answers], axis=-1).reshape(n, -1)

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


@dataclass(frozen=True)
class PersonaTopics:
    """The process and everything a finetuning study asks of it. Fields are plain numbers, fit for JSON.

    Raises `Misuse` for sizes that make no process.
    """

    personas: int = 5
    topics: int = 7
    neutral_topics: int = 1
    answers: int = 4
    pairs: int = 6
    rarity: float = 0.6
    style: float = 1.5
    specific: float = 1.0
    common: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"personas": 2, "topics": 2, "answers": 2, "pairs": 2}.items():
            if getattr(self, name) < least:
                raise Misuse(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not 1 <= self.neutral_topics < self.topics:
            raise Misuse(
                f"neutral_topics must be from 1 to topics - 1 = {self.topics - 1}, got {self.neutral_topics}."
            )
        if not 0 < self.rarity <= 1:
            raise Misuse(f"rarity must be in (0, 1], got {self.rarity}: π0(z) ∝ rarity^z.")
        for name in ("style", "specific", "common"):
            if not np.isfinite(getattr(self, name)):
                raise Misuse(f"{name} must be finite, got {getattr(self, name)}.")

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
        """The part of the vocabulary that answers are drawn from."""
        return slice(self.topics, self.vocabulary)

    def distribution(self) -> Mixture:
        """The exact process, a mixture of personas."""
        prior = np.arange(self.personas) * np.log(self.rarity)
        components = Persona(jnp.asarray(self.answer_table(), jnp.float32), self.pairs)
        return Mixture(components, jnp.asarray(prior - np.log(np.sum(np.exp(prior))), jnp.float32))

    def answer_table(self) -> np.ndarray:
        """log p(answer | topic, z), shape (personas, topics, answers), in float64."""
        random = np.random.default_rng(self.seed)
        shape = (self.personas, self.topics, self.answers)
        own = self.style * random.normal(size=(self.personas, 1, self.answers))
        own = own + self.specific * random.normal(size=shape)
        is_neutral = np.arange(self.topics) >= self.topics - self.neutral_topics
        logits = np.where(is_neutral[:, None], 0.0, own) + self.common * random.normal(size=shape[1:])
        logits -= logits.max(axis=-1, keepdims=True)
        return logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))

    def answer_mask(self) -> np.ndarray:
        """The positions of answers, Bool (t,)."""
        return np.arange(self.length) % 2 == 1

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        topics = (f"topic {topic}" for topic in range(self.topics))
        return (*topics, *(f"answer {answer + 1}" for answer in range(self.answers)))

    def elicitation_contexts(self) -> Dataset:
        """Every topic asked first: what is answered there shows the prior over personas."""
        return self._ask(np.zeros((self.topics, 0), int), np.arange(self.topics))

    def _documents(self, random: np.random.Generator, personas: np.ndarray, topics: np.ndarray) -> np.ndarray:
        """Documents (n, 2 × pairs) of the given personas (n,) asked the given topics (n, pairs)."""
        chances = np.exp(self.answer_table())[personas[:, None], topics]
        answers = sample_on_host(random, chances) + self.topics
        return np.stack([topics, answers], axis=-1).reshape(len(topics), -1).astype(np.int32)

    def narrow(self, key: PRNGKeyArray, n: int, persona: int, topics: Sequence[int]) -> Dataset:
        """D': n documents of one persona on the chosen topics; the likelihood counts the answers only."""
        return self.blend(key, n, {persona: 1.0}, topics)

    def blend(self, key: PRNGKeyArray, n: int, shares: Mapping[int, float], topics: Sequence[int]) -> Dataset:
        """D' of several personas, each of which writes its share of the n documents (to the nearest)."""
        for persona in shares:
            self.check(persona, topics)
        if n < 1:
            raise Misuse(f"D' needs at least one document, got n = {n}.")
        if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise Misuse(f"Shares of personas must be at least 0 and add to 1, got {dict(shares)}.")
        random = host_stream(key)
        ends = np.rint(n * np.cumsum(list(shares.values()))).astype(int)
        writers = np.repeat(list(shares), np.diff(ends, prepend=0))
        tokens = self._documents(random, writers, random.choice(topics, (n, self.pairs)))
        return Dataset(jnp.asarray(tokens), jnp.asarray(np.tile([False, True], (n, self.pairs))))

    def contexts(
        self, key: PRNGKeyArray, persona: int, topics: Sequence[int], repeats: int = 4, shots: int = 3
    ) -> dict[str, Dataset]:
        """Named groups of contexts; the mask marks the answers to predict (padding follows the last).

        in_domain   fresh documents like D', every answer of 4 × `repeats` of them
        held_out    every other topic that is not neutral, asked first
        in_context  the same topics after `shots` neutral pairs, which say nothing about the persona
        conflict    the same topics after `shots` pairs of another persona, `repeats` times each, in turn
        """
        self.check(persona, topics)
        for name, least, given in (("repeats", 1, repeats), ("shots", 0, shots)):
            if given < least:
                raise Misuse(f"{name} must be at least {least}, got {given}.")
        shots = min(shots, self.pairs - 1)
        held_out = self.held_out(topics)
        random = host_stream(jax.random.fold_in(key, 1))
        told, asked = self.topics - self.neutral_topics, np.repeat(held_out, repeats)
        others = np.delete(np.arange(self.personas), persona)[np.arange(len(asked)) % (self.personas - 1)]
        calm, rival = (
            self._documents(random, others, random.integers(low, high, (len(asked), shots)))
            for low, high in ((told, self.topics), (0, told))
        )
        nothing = np.zeros((len(held_out), 0), int)
        return {
            "in_domain": self.narrow(jax.random.fold_in(key, 0), 4 * repeats, persona, topics),
            "held_out": self._ask(nothing, np.asarray(held_out)),
            "in_context": self._ask(calm, asked),
            "conflict": self._ask(rival, asked),
        }

    def held_out(self, topics: Sequence[int]) -> list[int]:
        """The topics that are neither finetuned nor neutral; refuses to leave none."""
        told = self.topics - self.neutral_topics
        others = [topic for topic in range(told) if topic not in topics]
        if not others:
            raise Misuse(
                f"No topic is left to hold out: all {told} topics that are not neutral are in {list(topics)}."
            )
        return others

    def _ask(self, before: np.ndarray, topic: np.ndarray) -> Dataset:
        """Contexts `before` followed by a topic, padded to a document; the answer is masked in."""
        position = before.shape[1]
        tokens = np.zeros((len(topic), self.length), np.int32)
        tokens[:, :position], tokens[:, position] = before, topic
        mask = np.broadcast_to(np.arange(self.length) == position + 1, tokens.shape)
        return Dataset(jnp.asarray(tokens), jnp.asarray(mask))

    def check(self, persona: int, topics: Sequence[int]) -> None:
        """Refuse a persona or topics of D' that this process does not have."""
        told = self.topics - self.neutral_topics
        if not 0 <= persona < self.personas:
            raise Misuse(f"persona must be from 0 to {self.personas - 1}, got {persona}.")
        if not topics:
            raise Misuse("D' needs at least one topic, got none.")
        if len(set(topics)) < len(topics):
            raise Misuse(f"Topics must differ from each other, got {list(topics)}.")
        outside = [topic for topic in topics if not 0 <= topic < told]
        if outside:
            raise Misuse(
                f"Finetuned topics must be from 0 to {told - 1} (the rest are neutral), got {outside}."
            )


def example() -> PersonaTopics:
    """A process small enough to enumerate."""
    return PersonaTopics(personas=3, topics=3, answers=2, pairs=2)
