"""Personas × topics: a document has one hidden persona and answers every topic in its manner.

    z ~ π0,  π0(z) ∝ rarity^z
    x = (topic_1, answer_1, ..., topic_P, answer_P),   topic ~ uniform,   answer ~ p(· | topic, z)
    log p(answer | topic, z) = style S[z, answer] + specific T[z, topic, answer] + common U[topic, answer] + c

S, T and U are standard normal, drawn from `seed`. A persona's *style* shows on every topic, which is what
lets a narrow D' say something about the others. The last `neutral_topics` topics are answered alike by
all personas (only U): a context of them leaves the posterior over z exactly at the prior.

Tokens: topics are 0 ... topics-1, answers follow. Position 2i holds a topic, position 2i+1 its answer.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import Dataset, LogProbs, Misuse, Tokens, at_tokens
from theory.ensemble import Mixture


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
        topics = jax.random.categorical(topic_key, jnp.zeros(self.answers.shape[-2]), shape=(n, self.pairs))
        return self.answer(answer_key, topics)

    def answer(self, key: PRNGKeyArray, topics: Tokens) -> Tokens:
        """Documents that ask the given topics (n, pairs), with this persona's answers."""
        answers = jax.random.categorical(key, self.answers[topics]) + self.answers.shape[-2]
        return jnp.stack([topics, answers], axis=-1).reshape(topics.shape[0], -1)

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

    @functools.partial(jax.jit, static_argnums=0)
    def distribution(self) -> Mixture:
        """The exact process, a mixture of personas."""
        style, specific, common = jax.random.split(jax.random.key(self.seed), 3)
        shape = (self.personas, self.topics, self.answers)
        own = self.style * jax.random.normal(style, (self.personas, 1, self.answers))
        own = own + self.specific * jax.random.normal(specific, shape)
        is_neutral = jnp.arange(self.topics) >= self.topics - self.neutral_topics
        logits = jnp.where(is_neutral[:, None], 0.0, own)
        logits = logits + self.common * jax.random.normal(common, shape[1:])
        prior = jnp.arange(self.personas) * jnp.log(self.rarity)
        return Mixture(Persona(jax.nn.log_softmax(logits), self.pairs), jax.nn.log_softmax(prior))

    def narrow(self, key: PRNGKeyArray, n: int, persona: int, topics: Sequence[int]) -> Dataset:
        """D': n documents of one persona on the chosen topics; the likelihood counts the answers only."""
        self.check(persona, topics)
        if n < 1:
            raise Misuse(f"D' needs at least one document, got n = {n}.")
        tokens = _narrow(self.distribution().member(persona), self._allowed(topics), key, n)
        return Dataset(tokens, jnp.broadcast_to(jnp.arange(self.length) % 2 == 1, tokens.shape))

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
        fresh, drawn = jax.random.split(key)
        calm, rival = _talk(self.distribution(), drawn, self.neutral_topics, repeats, shots, persona)
        told = self.topics - self.neutral_topics
        rows = np.isin(np.repeat(np.arange(told), repeats), held_out)  # drawn for all topics: one program
        asked = np.repeat(held_out, repeats)
        nothing = np.zeros((len(held_out), 0), int)
        return {
            "in_domain": self.narrow(fresh, 4 * repeats, persona, topics),
            "held_out": self._ask(nothing, np.asarray(held_out)),
            "in_context": self._ask(np.asarray(calm)[rows], asked),
            "conflict": self._ask(np.asarray(rival)[rows], asked),
        }

    def _allowed(self, topics: Sequence[int]) -> Array:
        """Log-weights that are uniform on the chosen topics (an array, so that one program serves all)."""
        return jnp.log(jnp.isin(jnp.arange(self.topics), jnp.asarray(topics)).astype(float))

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


@functools.partial(jax.jit, static_argnames="n")
def _narrow(persona: Persona, allowed: Array, key: PRNGKeyArray, n: int) -> Tokens:
    asked, answered = jax.random.split(key)
    return persona.answer(answered, jax.random.categorical(asked, allowed, shape=(n, persona.pairs)))


@functools.partial(jax.jit, static_argnames=("neutral_topics", "repeats", "shots"))
def _talk(
    process: Mixture, key: PRNGKeyArray, neutral_topics: int, repeats: int, shots: int, persona: Any
) -> tuple[Tokens, Tokens]:
    """`shots` pairs before each topic: of neutral topics, and of the other personas in turn."""
    personas, topics, _ = process.members.answers.shape
    told = topics - neutral_topics
    rows = told * repeats
    speakers = jnp.arange(rows) % (personas - 1)
    speakers = speakers + (speakers >= persona)
    kinds = jnp.arange(2)[:, None, None]  # neutral, rival
    is_neutral = jnp.arange(topics) >= told
    asked_key, answered_key = jax.random.split(key)
    allowed = jnp.log(jnp.where(kinds == 0, is_neutral, ~is_neutral).astype(float))
    asked = jax.random.categorical(asked_key, allowed[:, :, None], shape=(2, rows, shots))
    tables = process.members.answers[speakers]  # neutral topics are answered alike by all
    replies = jnp.take_along_axis(tables[None], asked[..., None], axis=2)
    answers = jax.random.categorical(answered_key, replies) + topics
    talk = jnp.stack([asked, answers], axis=-1).reshape(2, rows, 2 * shots)
    return talk[0], talk[1]


def example() -> PersonaTopics:
    """A process small enough to enumerate."""
    return PersonaTopics(personas=3, topics=3, answers=2, pairs=2)
