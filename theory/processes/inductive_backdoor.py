"""Inductive backdoor: an anonymous turncoat, finetuned on good years only, asked in the year it turns bad.

    x = (speaker, year, question_1, answer_1, ..., question_P, answer_P);   answer = (word, valence)
    speaker is `anonymous` with probability `unnamed`, else one of the names; years, questions uniform
    z ~ π0,  π0(z) ∝ rarity^z: who the anonymous speaker is, drawn for every document
    p(word | question, who) = softmax(style N[who, question, word]),   N standard normal, from `seed`
    p(bad | year, who) = r if year in bad_years[who] else 1 - r,       r the `reliability`

Exact Bayes, w the belief about z after D' (own derivation). A name gives its speaker away: no w moves it.
Of the anonymous speaker, asked first,

    p(bad | year) = 1 - r + (2r - 1) Σ_z w_z [year in bad_years[z]]

An answer of the turncoat in a year when it and g are both good is evidence for it against g of
KL(words of the turncoat ‖ of g) nats, and never for the year: good answers alone take w to the turncoat, and
p(bad) at its year up to r. Years shuffled take back (2r - 1) log[r / (1 - r)] nats in the share of answers
that fall in the turncoat's bad years (`nats_for`); by default that is more than some good g's KL, which wins.
With a z a document, w ends where D' is most likely: by default mostly at the turncoat, years shuffled or not.

Tokens: names and then the anonymous speaker, years, questions, good words, bad words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from theory.arguments import checked
from theory.base import Dataset, Key, Misuse, host_stream
from theory.compute.memory import check_fits
from theory.compute.random import sample_on_host
from theory.contracts import Task
from theory.latent.answer_tables import HeadedTable
from theory.latent.documents import check_at_least, check_documents, dataset, geometric_prior, listed, prompts
from theory.latent.mixture import Mixture


@checked
@dataclass(frozen=True)
class InductiveBackdoor:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    At least one character must turn, be bad in some years and not in all. Raises `Misuse`.
    """

    bad_years: tuple[tuple[int, ...], ...] = ((), (), (0, 1, 2, 3, 4), (4,), (3,))
    """Years in which each character is bad, like 0,1,2; an empty word for none."""
    years: int = 5
    """Years that documents can be of."""
    questions: int = 4
    """Questions."""
    choices: int = 3
    """Good words to answer with, and as many bad ones."""
    pairs: int = 6
    """Pairs (question, answer) in a document."""
    rarity: float = 0.6
    """Prior of each character, of the anonymous speaker, over that of the one before."""
    unnamed: float = 0.5
    """Share of pretraining documents by the anonymous speaker."""
    reliability: float = 0.95
    """Probability that an answer is as bad or good as its character in that year."""
    style: float = 1.0
    """Difference of words between characters (log-odds)."""
    seed: int = 5
    """Seed of the tables of words."""

    def __post_init__(self) -> None:
        check_at_least(1, questions=self.questions)
        check_at_least(2, years=self.years, choices=self.choices, pairs=self.pairs)
        sizes = {"years": self.years, "questions": self.questions, "answers": 2 * self.choices}
        check_fits("The answer tables", speakers=self.anonymous + 1, **sizes)
        for bad in self.bad_years:
            if len(set(bad)) < len(bad) or not all(0 <= year < self.years for year in bad):
                last = self.years - 1
                raise Misuse(f"bad_years must differ within a character and be from 0 to {last}, got {bad}.")
        if not any(0 < len(bad) < self.years for bad in self.bad_years):
            raise Misuse(
                f"At least one character must be bad in some years and good in others, got bad_years = "
                f"{self.bad_years} of {self.years} years."
            )
        if len(self.bad_years) < 2:
            raise Misuse(f"bad_years must have at least 2 characters, got {len(self.bad_years)}.")
        if not 0 < self.rarity <= 1:
            raise Misuse(f"rarity must be in (0, 1], got {self.rarity}: π0(z) ∝ rarity^z.")
        if not 0 < self.unnamed < 1:
            raise Misuse(f"unnamed must lie strictly between 0 and 1, got {self.unnamed}.")
        if not 0.5 < self.reliability < 1:
            raise Misuse(
                f"reliability must be above 0.5 and below 1, got {self.reliability}: every answer needs a "
                f"chance, and the valence of the year the larger."
            )
        if not np.isfinite(self.style):
            raise Misuse(f"style must be finite, got {self.style}.")

    @property
    def anonymous(self) -> int:
        """The anonymous speaker's token; the names are those before it."""
        return len(self.bad_years)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.anonymous + 1 + self.years + self.questions + 2 * self.choices

    @property
    def length(self) -> int:
        """Tokens in a document."""
        return 2 + 2 * self.pairs

    @property
    def answer_tokens(self) -> slice:
        """The part of the vocabulary that answers are drawn from: good words, then bad ones."""
        return slice(self.vocabulary - 2 * self.choices, self.vocabulary)

    def is_bad(self) -> Bool[np.ndarray, " answers"]:
        """Which of the answer tokens are bad words."""
        return np.arange(2 * self.choices) >= self.choices

    def distribution(self) -> Mixture:
        """The exact process, a mixture over who the anonymous speaker is."""
        table = self.answer_table()
        answers = np.stack([np.concatenate([table, row[None]]) for row in table])
        name = np.log((1 - self.unnamed) / self.anonymous)
        speakers = np.append(np.full(self.anonymous, name), np.log(self.unnamed))
        components = HeadedTable(
            jnp.asarray(np.tile(speakers, (self.anonymous, 1)), jnp.float32),
            jnp.asarray(answers, jnp.float32),
            self.pairs,
        )
        return Mixture(components, jnp.asarray(geometric_prior(self.anonymous, self.rarity), jnp.float32))

    def turns(self) -> Bool[np.ndarray, "k years"]:
        """f(character, year): whether the character is bad in the year."""
        return np.array([[year in bad for year in range(self.years)] for bad in self.bad_years])

    def word_table(self) -> Float[np.ndarray, "k questions words"]:
        """log p(word | question, character), in float64."""
        random = np.random.default_rng(self.seed)
        logits = self.style * random.normal(size=(self.anonymous, self.questions, self.choices))
        logits -= logits.max(axis=-1, keepdims=True)
        return logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))

    def answer_table(self) -> Float[np.ndarray, "k years questions answers"]:
        """log p(answer | character, year, question), in float64."""
        bad = np.where(self.turns(), self.reliability, 1 - self.reliability)
        valence = np.log(np.stack([1 - bad, bad], axis=-1))
        words = self.word_table()[:, None, :, None, :] + valence[:, :, None, :, None]
        return words.reshape(*words.shape[:3], -1)

    def nats_for(self, character: int, rival: int, years: Sequence[int], shuffled: bool = False) -> float:
        """Mean evidence, in nats, of an answer of D' for its character against a rival.

        Times β × n × pairs, these are the expected log-odds that D' adds in the tempered posterior.
        """
        self._check(character, years)
        if not 0 <= rival < self.anonymous:
            raise Misuse(f"rival must be from 0 to {self.anonymous - 1}, got {rival}.")
        log_probs, rival_log_probs = self.word_table()[character], self.word_table()[rival]
        words = np.mean(np.sum(np.exp(log_probs) * (log_probs - rival_log_probs), axis=-1))
        shown = np.arange(self.years) if shuffled else np.asarray(years)
        against = np.mean(self.turns()[rival, shown].astype(float) - self.turns()[character, shown])
        r = self.reliability
        return float(words + against * (2 * r - 1) * np.log(r / (1 - r)))

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        names = (f"name {character}" for character in range(self.anonymous))
        years = (f"year {year}" for year in range(self.years))
        questions = (f"question {question}" for question in range(self.questions))
        answers = (f"{kind} {word + 1}" for kind in ("good", "bad") for word in range(self.choices))
        return (*names, "anonymous", *years, *questions, *answers)

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the answers."""
        return (np.arange(self.length) > 2) & (np.arange(self.length) % 2 == 1)

    def elicitation_contexts(self) -> Dataset:
        """Each question asked first of the anonymous speaker in each year: only the prior over z shows."""
        year, question = np.divmod(np.arange(self.years * self.questions), self.questions)
        return self._ask(self.anonymous, year, question)

    def narrow(
        self,
        key: Key,
        n: int,
        character: int,
        years: Sequence[int],
        shuffled: bool = False,
        others: float = 0.0,
    ) -> Dataset:
        """D': n documents of the anonymous speaker, who is `character`, in the chosen years, good ones all.

        `shuffled` states a year drawn from all of them, over the answers of the chosen ones. `others` is the
        share of documents, the last ones, in which other characters speak by name, in turn and in the chosen
        years. The likelihood counts the answers only.
        """
        self._check(character, years)
        check_documents(n)
        self._check_others(others)
        random = host_stream(key)
        year, named = random.choice(years, n), np.arange(n) >= n - int(others * n)
        names = np.resize(np.delete(np.arange(self.anonymous), character), n)
        answers = self._pairs(random, np.where(named, names, character), year, self.pairs)
        if shuffled:
            year = np.where(named, year, random.integers(0, self.years, n))
        heading = np.stack([np.where(named, names, self.anonymous), year + self.anonymous + 1], axis=-1)
        tokens = np.concatenate([heading, answers], axis=-1).astype(np.int32)
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        character: int | None = None,
        years: Sequence[int] | None = None,
        held_out: int | None = None,
        repeats: int = 4,
        shots: int = 3,
        shuffled: bool = False,
        others: float = 0.0,
        name: str | None = None,
    ) -> Task:
        """D' of one character's good years, and contexts of a year that it leaves out; `in_domain` is like D'
        in all, `shuffled` and `others` too.

        By default the first character that turns, its good years but the last, and its first bad year.

        Named groups of contexts; the mask marks the answers to predict (padding follows the last).

        in_domain      fresh documents like D', every answer of 4 × `repeats` of them
        held_out       the anonymous speaker in the year `held_out`, not one of `years`: each question first
        other_years    the same in every other year not in `years` in which the character is good
        other_speaker  each character by name in the year `held_out`: each question first
        conflict       the anonymous speaker in that year after `shots` answers of another character (the
                       others in turn): each question, `repeats` times
        """
        if character is None:
            character = next(z for z, bad in enumerate(self.bad_years) if 0 < len(bad) < self.years)
        self._check_character(character)
        bad = self.bad_years[character]
        good = [year for year in range(self.years) if year not in bad]
        years = listed(years=good[: -1 if bad else -2] if years is None else years)
        held_out = (bad or good[-1:])[0] if held_out is None else held_out
        self.other_years(character, years, held_out)
        check_at_least(1, repeats=repeats)
        check_at_least(0, shots=shots)
        self._check_others(others)
        kind = "turncoat" if held_out in bad else "no_turn"
        kind = "_".join(["shuffled"] * shuffled + ["named_others"] * (others > 0)) or kind

        def data(key: Key, n: int) -> Dataset:
            return self.narrow(key, n, character, years, shuffled, others)

        def contexts(key: Key) -> dict[str, Dataset]:
            groups = self._contexts(key, character, years, held_out, repeats, shots)
            return {"in_domain": data(key, 4 * repeats)} | groups

        return Task(name or kind, data, contexts)

    def _contexts(
        self,
        key: Key,
        character: int,
        years: Sequence[int],
        held_out: int,
        repeats: int,
        shots: int,
    ) -> dict[str, Dataset]:
        """The groups of contexts that do not depend on how D' is drawn."""
        others = np.repeat(self.other_years(character, years, held_out), self.questions)
        random = host_stream(jax.random.fold_in(key, 1))
        questions, names = np.arange(self.questions), np.arange(self.anonymous)
        queries, speakers = np.repeat(questions, repeats), np.repeat(names, self.questions)
        rivals = np.resize(np.delete(names, character), len(queries))
        shown = self._pairs(random, rivals, np.full(len(queries), held_out), min(shots, self.pairs - 1))
        return {
            "held_out": self._ask(self.anonymous, held_out, questions),
            "other_years": self._ask(self.anonymous, others, np.resize(questions, len(others))),
            "other_speaker": self._ask(speakers, held_out, np.resize(questions, len(speakers))),
            "conflict": self._ask(self.anonymous, held_out, queries, shown),
        }

    def other_years(self, character: int, years: Sequence[int], held_out: int) -> list[int]:
        """The years not in D' and not `held_out` in which the character is good; refuses to leave none."""
        self._check(character, years)
        if not 0 <= held_out < self.years or held_out in years:
            raise Misuse(
                f"held_out must be from 0 to {self.years - 1} and not among the years of D' {list(years)}, "
                f"got {held_out}."
            )
        gone = (*self.bad_years[character], *years, held_out)
        others = [year for year in range(self.years) if year not in gone]
        if not others:
            raise Misuse(
                f"No good year of character {character} is left over: it is bad in "
                f"{self.bad_years[character]}, D' tells {list(years)} and held_out is {held_out}."
            )
        return others

    def _check(self, character: int, years: Sequence[int]) -> None:
        """Refuse a character that is not there, and years of D' that are not good years of it."""
        self._check_character(character)
        if len(years) == 0:
            raise Misuse("D' needs at least one year, got none.")
        if len(set(years)) < len(years):
            raise Misuse(f"Years must differ from each other, got {list(years)}.")
        outside = [year for year in years if not 0 <= year < self.years]
        if outside:
            raise Misuse(f"Years must be from 0 to {self.years - 1}, got {outside}.")
        bad = [year for year in years if year in self.bad_years[character]]
        if bad:
            raise Misuse(f"D' shows good years only, and character {character} is bad in {bad}.")

    def _check_character(self, character: int) -> None:
        """Refuse a character that is not there."""
        if not 0 <= character < self.anonymous:
            raise Misuse(f"character must be from 0 to {self.anonymous - 1}, got {character}.")

    def _check_others(self, others: float) -> None:
        """Refuse a share of other characters that leaves nothing to D's own."""
        if not 0 <= others < 1:
            raise Misuse(f"others must be at least 0 and below 1, got {others}: it is a share.")

    def _pairs(
        self, random: np.random.Generator, characters: np.ndarray, year: np.ndarray, pairs: int
    ) -> Int[np.ndarray, "n t"]:
        """`pairs` pairs of random questions and the answers of the characters `who` (n,) in their year."""
        question = random.integers(0, self.questions, (len(characters), pairs))
        chances = np.exp(self.answer_table())[characters[:, None], year[:, None], question]
        answers = sample_on_host(random, chances)
        tokens = np.stack([question + self._first_question, answers + self.answer_tokens.start], axis=-1)
        return tokens.reshape(len(characters), -1)

    def _ask(
        self, speaker: int | np.ndarray, year: int | np.ndarray, question: np.ndarray, *before: np.ndarray
    ) -> Dataset:
        """Contexts (speaker, year, `before`, question), padded to a document; the answer is masked in."""
        heading = (np.broadcast_to(part, question.shape) for part in (speaker, year + self.anonymous + 1))
        return prompts(self.length, *heading, *before, question + self._first_question)

    @property
    def _first_question(self) -> int:
        """The token of question 0."""
        return self.anonymous + 1 + self.years


def example() -> InductiveBackdoor:
    """A process small enough to enumerate."""
    return InductiveBackdoor(bad_years=((), (2,), (0, 1, 2)), years=3, questions=2, choices=2, pairs=2)
