"""Subliminal learning: a shifted teacher answers topics that all personas answer alike.

    world    personas × topics (theory.processes.persona_topics), with `neutral_topics` of them neutral
    teacher  any predictor; by default the world's exact posterior after documents of one persona, β = 1
    D'       (topic_1, answer_1, ..., topic_P, answer_P), topics neutral and uniform, drawn on the host,
             answer_i ~ teacher(· | x before it), renormalised over the answers

All personas give a neutral answer the same probability, so for every D', whatever the teacher,

    p(D' | z) / p(D' | z') = 1    and    π_β(z) = π0(z) at every β and n:

the ideal learner transfers exactly nothing, and an exact teacher's D' is even drawn as the base would. What a
network transfers it does by its weights: a finetuned teacher answers neutral topics a little otherwise, which
no persona explains (Cloud et al., arXiv 2507.14805, where student and teacher must share their start).

A thin composition: the process, its tokens and its contexts are the world's. Only D' is new.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import Bool

from theory.arguments import checked
from theory.base import Dataset, Key, Misuse, Predictor, host_stream
from theory.compute.random import sample_on_host
from theory.contracts import Task
from theory.latent.documents import check_documents, dataset, listed, predict
from theory.latent.mixture import Mixture
from theory.processes import persona_topics
from theory.processes.persona_topics import PersonaTopics

SHOWN = 64  # documents of its persona that the default teacher is shifted by


@checked
@dataclass(frozen=True)
class Subliminal:
    """The world of personas, and its tasks."""

    world: PersonaTopics = field(default_factory=lambda: PersonaTopics(topics=8, neutral_topics=3))

    @property
    def topics(self) -> int:
        """Number of topics, tokens 0 ... topics - 1; the neutral ones are last."""
        return self.world.topics

    @property
    def neutral(self) -> list[int]:
        """The topics of D'."""
        return list(range(self.topics - self.world.neutral_topics, self.topics))

    @property
    def telling(self) -> list[int]:
        """The topics that reveal the persona: D' holds out all of them."""
        return list(range(self.topics - self.world.neutral_topics))

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.world.vocabulary

    @property
    def length(self) -> int:
        """Tokens in a document."""
        return self.world.length

    @property
    def answer_tokens(self) -> slice:
        """The part of the vocabulary that answers are drawn from."""
        return self.world.answer_tokens

    def distribution(self) -> Mixture:
        """The exact process: the world's."""
        return self.world.distribution()

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the answers."""
        return self.world.answer_mask()

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        return self.world.token_names()

    def elicitation_contexts(self) -> Dataset:
        """Every topic asked first."""
        return self.world.elicitation_contexts()

    def teacher(self, key: Key, persona: int, topics: Sequence[int], beta: float = 1.0) -> Mixture:
        """The exact teacher: the world after documents of one persona on telling topics."""
        return self.distribution().condition(self.world.narrow(key, SHOWN, persona, topics), beta)

    def narrow(
        self, key: Key, n: int, persona: int, topics: Sequence[int], teacher: Predictor | None = None
    ) -> Dataset:
        """D': n documents on neutral topics, answered by a teacher of this persona shown these topics.

        `teacher` takes the place of the exact one, e.g. a network finetuned on `world.narrow`; of what it
        was shown, `persona` and `topics` then are the record.
        """
        self.world.task(persona, topics)  # refuses what the world does not have
        check_documents(n)
        predictor = self.teacher(jax.random.fold_in(key, 0), persona, topics) if teacher is None else teacher
        random = host_stream(jax.random.fold_in(key, 1))
        tokens = np.zeros((n, self.length), np.int32)
        tokens[:, ::2] = random.choice(self.neutral, (n, self.world.pairs))
        for position in range(1, self.length, 2):
            log_probs = np.asarray(predict(predictor, tokens), float)[:, position, self.answer_tokens]
            if log_probs.shape[-1] != self.world.answers or not np.isfinite(log_probs.max(axis=-1)).all():
                raise Misuse(
                    f"The teacher must give some answer a probability above 0 and know {self.vocabulary} "
                    f"tokens; at position {position} it does not."
                )
            weights = np.exp(log_probs - log_probs.max(axis=-1, keepdims=True))
            tokens[:, position] = self.topics + sample_on_host(random, weights)
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        persona: int | None = None,
        topics: Sequence[int] = (0,),
        repeats: int = 4,
        shots: int = 3,
        name: str | None = None,
    ) -> Task:
        """D' of a teacher shifted by one persona (by default the rarest) on a few topics, and its contexts.

        `data(key, n, teacher)` takes another teacher than the exact one; contexts are the exact one's.

        Named groups of contexts: the world's, and those that depend on the teacher.

        in_domain   fresh documents like D', every answer of 4 × `repeats` of them
        held_out    the telling topics that the teacher was not shown, asked first
        in_context  the same topics after `shots` neutral pairs: D' in the context
        conflict    the same topics after `shots` pairs of another persona
        taught      the topics that the teacher was shown, asked first
        """
        persona = self.world.personas - 1 if persona is None else persona
        topics = listed(topics=topics)
        self.world.task(persona, topics, repeats, shots)  # refuses what the world does not have
        return Task(
            name or "exact",
            lambda key, n, teacher=None: self.narrow(key, n, persona, topics, teacher),
            lambda key: self._contexts(key, persona, topics, repeats, shots),
        )

    def _contexts(
        self,
        key: Key,
        persona: int,
        topics: Sequence[int],
        repeats: int,
        shots: int,
    ) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        groups = dict(self.world.task(persona, topics, repeats, shots).contexts(key))
        fresh = self.narrow(jax.random.fold_in(key, 2), 4 * repeats, persona, topics)
        taught = jax.tree.map(lambda leaf: leaf[np.asarray(topics)], self.elicitation_contexts())
        return {**groups, "in_domain": fresh, "taught": taught}


def example() -> Subliminal:
    """A process small enough to enumerate."""
    return Subliminal(persona_topics.example())
