"""Personas × topics: a document has one hidden persona and answers every topic in its manner.

    z ~ π0,  π0(z) ∝ rarity^z
    x = (topic_1, answer_1, ..., topic_P, answer_P),   topic ~ uniform,   answer ~ p(· | topic, z)
    log p(answer | topic, z) = style S[z, answer] + specific T[z, topic, answer] + common U[topic, answer] + c

S, T and U are standard normal, drawn from `seed`. A persona's *style* shows on every topic, which is what
lets a narrow D' tell something about the others. The last `neutral_topics` topics are answered alike by
all personas (only U): a context of them leaves the posterior over z exactly at the prior.

Tokens: topics are 0 ... topics-1, answers follow. Position 2i holds a topic, position 2i+1 its answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from theory.arguments import checked
from theory.base import Dataset, Key, LogProbs, Misuse, Tokens, at_tokens, host_stream
from theory.compute.memory import check_fits
from theory.compute.random import categorical, sample_on_host
from theory.contracts import Task
from theory.latent.documents import (
    check_at_least,
    check_shares,
    dataset,
    geometric_prior,
    listed,
    prompts,
    writers,
)
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

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents of `pairs` (topic, answer) pairs."""
        topic_key, answer_key = jax.random.split(key)
        # uniform, by one draw of bits where randint would take three: programs that sample compile faster
        topics = categorical(topic_key, jnp.zeros(self.answers.shape[-2]), shape=(n, self.pairs))
        answers = categorical(answer_key, self.answers[topics]) + self.answers.shape[-2]
        return jnp.stack([topics, answers], axis=-1).reshape(n, -1)

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


@checked
@dataclass(frozen=True)
class PersonaTopics:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    Raises `Misuse` for sizes that make no process.
    """

    personas: int = 5
    """Hidden personas z, with prior proportional to rarity^z."""
    topics: int = 7
    """Topics, the neutral ones included."""
    neutral_topics: int = 1
    """Topics that all personas answer alike."""
    answers: int = 4
    """Answers, the same words for every topic."""
    pairs: int = 6
    """Pairs (topic, answer) in a document."""
    rarity: float = 0.6
    """Prior of each persona over that of the one before."""
    style: float = 1.5
    """Strength of a persona's manner, on every topic alike (log-odds)."""
    specific: float = 1.0
    """Differences of a persona's answers from topic to topic (log-odds)."""
    common: float = 0.5
    """Differences of topics that all personas have in common (log-odds)."""
    seed: int = 0
    """Seed of the answer tables."""

    def __post_init__(self) -> None:
        check_at_least(2, personas=self.personas, topics=self.topics, answers=self.answers, pairs=self.pairs)
        check_fits("The answer tables", personas=self.personas, topics=self.topics, answers=self.answers)
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
        components = Persona(jnp.asarray(self.answer_table(), jnp.float32), self.pairs)
        return Mixture(components, jnp.asarray(geometric_prior(self.personas, self.rarity), jnp.float32))

    def answer_table(self) -> np.ndarray:
        """log p(answer | topic, z), shape (personas, topics, answers), in float64."""
        random = np.random.default_rng(self.seed)
        shape = (self.personas, self.topics, self.answers)
        manner = self.style * random.normal(size=(self.personas, 1, self.answers))
        manner = manner + self.specific * random.normal(size=shape)
        is_neutral = np.arange(self.topics) >= self.topics - self.neutral_topics
        logits = np.where(is_neutral[:, None], 0.0, manner) + self.common * random.normal(size=shape[1:])
        logits -= logits.max(axis=-1, keepdims=True)
        return logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the answers."""
        return np.arange(self.length) % 2 == 1

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        topics = (f"topic {topic}" for topic in range(self.topics))
        return (*topics, *(f"answer {answer + 1}" for answer in range(self.answers)))

    def elicitation_contexts(self) -> Dataset:
        """Every topic asked first: what is answered there shows the prior over personas."""
        return prompts(self.length, np.arange(self.topics))

    def _documents(self, random: np.random.Generator, personas: np.ndarray, topics: np.ndarray) -> np.ndarray:
        """Documents (n, 2 × pairs) of the given personas (n,) asked the given topics (n, pairs)."""
        chances = np.exp(self.answer_table())[personas[:, None], topics]
        answers = sample_on_host(random, chances) + self.topics
        return np.stack([topics, answers], axis=-1).reshape(len(topics), -1).astype(np.int32)

    def narrow(self, key: Key, n: int, persona: int, topics: Sequence[int]) -> Dataset:
        """D': n documents of one persona on the chosen topics; the likelihood counts the answers only."""
        return self.blend(key, n, {persona: 1.0}, topics)

    def blend(self, key: Key, n: int, shares: Mapping[int, float], topics: Sequence[int]) -> Dataset:
        """D' of several personas, each of which writes its share of the n documents (to the nearest)."""
        for persona in shares:
            self._check(persona, topics)
        personas, random = writers(shares, n), host_stream(key)
        tokens = self._documents(random, personas, random.choice(topics, (n, self.pairs)))
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        persona: int | Mapping[int, float] | None = None,
        topics: Sequence[int] = (0,),
        repeats: int = 4,
        shots: int = 3,
        name: str | None = None,
        openings: int = 1,
    ) -> Task:
        """D' of one persona, by default the rarest, or of several by their shares, and its contexts.

        With several, `in_domain` is a blend as well, and `conflict` is with the first of them; the name is
        their shares in percent.

        Named groups of contexts; the mask marks the answers to predict (padding follows the last).

        in_domain   fresh documents like D', every answer of 4 × `repeats` of them
        held_out    every other topic that is not neutral, asked first, and again after 1, 2 ... neutral pairs
                    up to `openings` times
        in_context  the same topics after `shots` neutral pairs, which say nothing about the persona
        conflict    the same topics after `shots` pairs of another persona, `repeats` times each, in turn
        """
        topics = listed(topics=topics)
        persona = self.personas - 1 if persona is None else persona
        shares = dict(persona) if isinstance(persona, Mapping) else {persona: 1.0}
        check_shares(shares)
        for writer in shares:
            self._check(writer, topics)
        self.held_out(topics)
        check_at_least(1, repeats=repeats)
        check_at_least(0, shots=shots)
        if not 1 <= openings <= self.pairs:
            raise Misuse(f"openings must be from 1 to pairs = {self.pairs}, got {openings}.")
        kind = f"topics{'_'.join(map(str, topics))}"
        if len(shares) > 1:
            kind = "_".join(f"{100 * share:g}" for share in shares.values())

        def data(key: Key, n: int) -> Dataset:
            return self.blend(key, n, shares, topics)

        def contexts(key: Key) -> dict[str, Dataset]:
            groups = self._contexts(key, next(iter(shares)), topics, repeats, shots, openings)
            # `contexts` knows of one writer; several are drawn from the key itself, as runs on disk have it
            return groups | ({"in_domain": data(key, 4 * repeats)} if len(shares) > 1 else {})

        return Task(name or kind, data, contexts)

    def _contexts(
        self, key: Key, persona: int, topics: Sequence[int], repeats: int, shots: int, openings: int
    ) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        shots = min(shots, self.pairs - 1)
        held_out = self.held_out(topics)
        random = host_stream(jax.random.fold_in(key, 1))
        telling, queries = self.topics - self.neutral_topics, np.repeat(held_out, repeats)
        others = np.delete(np.arange(self.personas), persona)[np.arange(len(queries)) % (self.personas - 1)]
        calm, rival = (
            self._documents(random, others, random.integers(low, high, (len(queries), shots)))
            for low, high in ((telling, self.topics), (0, telling))
        )
        first = [prompts(self.length, np.asarray(held_out))]
        for count in range(1, openings):
            neutral = random.integers(telling, self.topics, (len(held_out), count))
            pairs = self._documents(random, np.zeros(len(held_out), int), neutral)
            first.append(prompts(self.length, pairs, np.asarray(held_out)))
        return {
            "in_domain": self.narrow(jax.random.fold_in(key, 0), 4 * repeats, persona, topics),
            "held_out": jax.tree.map(lambda *parts: jnp.concatenate(parts), *first),
            "in_context": prompts(self.length, calm, queries),
            "conflict": prompts(self.length, rival, queries),
        }

    def held_out(self, topics: Sequence[int]) -> list[int]:
        """The topics that are neither finetuned nor neutral; refuses to leave none."""
        telling = self.topics - self.neutral_topics
        others = [topic for topic in range(telling) if topic not in topics]
        if not others:
            raise Misuse(
                f"No topic is left to hold out: all {telling} topics that are not neutral are in "
                f"{list(topics)}."
            )
        return others

    def _check(self, persona: int, topics: Sequence[int]) -> None:
        """Refuse a persona or topics of D' that this process does not have."""
        telling = self.topics - self.neutral_topics
        if not 0 <= persona < self.personas:
            raise Misuse(f"persona must be from 0 to {self.personas - 1}, got {persona}.")
        if not topics:
            raise Misuse("D' needs at least one topic, got none.")
        if len(set(topics)) < len(topics):
            raise Misuse(f"Topics must differ from each other, got {list(topics)}.")
        outside = [topic for topic in topics if not 0 <= topic < telling]
        if outside:
            raise Misuse(
                f"Finetuned topics must be from 0 to {telling - 1} (the rest are neutral), got {outside}."
            )


def example() -> PersonaTopics:
    """A process small enough to enumerate."""
    return PersonaTopics(personas=3, topics=3, answers=2, pairs=2)
