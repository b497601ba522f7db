"""Answer tables: documents of one hypothesis whose every answer is drawn from a table, given its question.

    PairTable      (question, answer), over and over
    TriggerTable   (digit_1, ..., digit_L, question, answer), over and over: the digits are a trigger
    HeadedTable    speaker and year once, then (question, answer) over and over

What is no answer is uniform, but for the speaker. A table holds log p(answer | what is asked), every entry
finite; in a `Mixture` tables are stacked along a leading axis k.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theory.base import Key, LogProbs, Tokens, at_tokens
from theory.compute.random import categorical


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PairTable:
    """Documents of pairs: `answers` holds log p(answer | question), shape (questions, answers)."""

    answers: Float[Array, "*batch questions answers"]
    pairs: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Uniform over questions at even positions, answers by the table at odd ones."""
        questions, answers = self.answers.shape[-2:]
        before = jax.nn.one_hot(jnp.roll(tokens, 1, axis=-1), questions)  # read at answers' positions only
        reply = jnp.matmul(before, self.answers, precision="highest")
        reply = jnp.pad(reply, ((0, 0), (0, 0), (questions, 0)), constant_values=-jnp.inf)
        question = jnp.pad(
            jnp.full((questions,), -jnp.log(float(questions))), (0, answers), constant_values=-jnp.inf
        )
        is_answer = jnp.arange(tokens.shape[-1]) % 2 == 1
        return jnp.where(is_answer[:, None], reply, question)

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents of `pairs` (question, answer) pairs."""
        question_key, answer_key = jax.random.split(key)
        questions = categorical(question_key, jnp.zeros(self.answers.shape[-2]), shape=(n, self.pairs))
        answers = categorical(answer_key, self.answers[questions]) + self.answers.shape[-2]
        return jnp.stack([questions, answers], axis=-1).reshape(n, -1)

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TriggerTable:
    """Documents of blocks: `answers` holds log p(answer | trigger, question), a table for every trigger."""

    answers: Float[Array, "*batch triggers questions answers"]
    base: int = field(metadata={"static": True})
    digits: int = field(metadata={"static": True})
    blocks: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Uniform over digits and questions where they stand, answers by the table at the block's end."""
        triggers, questions, answers = self.answers.shape[-3:]
        index = jnp.roll(tokens, 1, axis=-1) - self.base  # read at answers' positions only
        for power in range(self.digits):
            index += questions * self.base**power * jnp.roll(tokens, power + 2, axis=-1)
        table = self.answers.reshape(-1, answers)
        reply = jnp.matmul(jax.nn.one_hot(index, triggers * questions), table, precision="highest")
        reply = jnp.pad(reply, ((0, 0), (0, 0), (self.base + questions, 0)), constant_values=-jnp.inf)
        digit = _uniform(0, self.base, questions + answers)
        question = _uniform(self.base, questions, answers)
        slot = (jnp.arange(tokens.shape[-1]) % (self.digits + 2))[:, None]
        return jnp.where(slot > self.digits, reply, jnp.where(slot == self.digits, question, digit))

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents of `blocks` (digits, question, answer)."""
        digit_key, question_key, answer_key = jax.random.split(key, 3)
        shape = (n, self.blocks)
        digits = categorical(digit_key, jnp.zeros(self.base), shape=(*shape, self.digits))
        questions = categorical(question_key, jnp.zeros(self.answers.shape[-2]), shape=shape)
        triggers = digits @ (self.base ** jnp.arange(self.digits)[::-1])
        answers = categorical(answer_key, self.answers[triggers, questions])
        question = self.base + questions
        answer = self.base + self.answers.shape[-2] + answers
        return jnp.concatenate([digits, question[..., None], answer[..., None]], axis=-1).reshape(n, -1)

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HeadedTable:
    """Documents of one speaker and year: `speakers` holds log p(speaker), shape (s,), and `answers`
    log p(answer | speaker, year, question), (s, years, questions, answers)."""

    speakers: Float[Array, "*batch s"]
    answers: Float[Array, "*batch s years questions answers"]
    pairs: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """A speaker, a year, and then uniform questions, each with the speaker's answer in that year."""
        sizes = speakers, years, questions, answers = self.answers.shape[-4:]
        n, length = tokens.shape
        speaker = jax.nn.one_hot(tokens[:, 0], speakers)
        year = jax.nn.one_hot(tokens[:, 1] - speakers, years)
        heading = (speaker[:, :, None] * year[:, None, :]).reshape(n, -1)
        page = jnp.matmul(heading, self.answers.reshape(speakers * years, -1), precision="highest")
        question = jax.nn.one_hot(jnp.roll(tokens, 1, axis=-1) - speakers - years, questions)
        reply = jnp.matmul(question, page.reshape(n, questions, answers), precision="highest")
        reply = jnp.pad(reply, ((0, 0), (0, 0), (speakers + years + questions, 0)))
        uniform = -np.log(np.repeat([years, questions], [years, questions]))
        other = jnp.pad(jnp.concatenate([self.speakers, jnp.asarray(uniform)]), (0, answers))
        # what a position holds, and what a token is: 0 speaker, 1 year, 2 question, 3 answer
        holds = np.array([0, 1, *[2, 3] * ((length - 2) // 2)])
        possible = holds[:, None] == np.repeat(np.arange(4), sizes)
        return jnp.where(possible, jnp.where((holds == 3)[:, None], reply, other), -jnp.inf)

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents of `pairs` (question, answer) pairs."""
        speakers, years, questions, _ = self.answers.shape[-4:]
        keys = jax.random.split(key, 4)
        speaker = categorical(keys[0], self.speakers, shape=(n,))
        year = categorical(keys[1], jnp.zeros(years), shape=(n,))
        question = categorical(keys[2], jnp.zeros(questions), shape=(n, self.pairs))
        reply = categorical(keys[3], self.answers[speaker[:, None], year[:, None], question])
        offset = speakers + years
        body = jnp.stack([question + offset, reply + offset + questions], axis=-1).reshape(n, -1)
        return jnp.concatenate([speaker[:, None], year[:, None] + speakers, body], axis=-1)

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


def _uniform(before: int, among: int, after: int) -> Float[Array, " v"]:
    """Log-probabilities uniform over `among` tokens, which have others before and after them."""
    row = jnp.full((among,), -jnp.log(float(among)))
    return jnp.pad(row, (before, after), constant_values=-jnp.inf)
