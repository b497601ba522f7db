"""Modular addition: pairs x → x + k mod m with a hidden k, and the exchange rate of context and finetuning.

    k ~ π0,  π0(k) ∝ rarity^k,    x ~ uniform on 0 ... m-1
    y = x + k mod m with probability 1 - noise, any other value with noise / (m - 1)

The exchange rate. A pair is evidence for k, or against it, of always the same number of nats,

    λ = log [(1 - noise)(m - 1) / noise]

so with n_k(data) the number of pairs that k explains (y = x + k), exact Bayes is additive in both currencies:

    log p(k | D', β, context) / p(r | D', β, context)
        = (k - r) log rarity + λ β [n_k(D') - n_r(D')] + λ [n_k(context) - n_r(context)]

One context pair of a rival r takes back 1/β answers of D', and `shots_to_undo`, the first two terms over λ,
is how many shots balance the whole of it: exact for any β, D' and order of the pairs (own derivation).

Tokens: questions x are 0 ... m-1, answers y are m ... 2m-1. Position 2i holds a question, 2i+1 its answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from theory.arguments import checked
from theory.base import Beta, Dataset, Key, Misuse, Tokens, check_beta, host_stream
from theory.compute.memory import check_fits
from theory.contracts import Task
from theory.latent.answer_tables import PairTable
from theory.latent.documents import check_at_least, check_documents, dataset, geometric_prior, listed, prompts
from theory.latent.mixture import Mixture


@checked
@dataclass(frozen=True)
class AddK:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    Raises `Misuse` for sizes that make no process, and for noise under which k is not the likeliest answer.
    """

    modulus: int = 4
    """Modulus m: questions x and answers y are 0 ... m-1."""
    pairs: int = 6
    """Pairs (x, y) in a document."""
    noise: float = 0.2
    """Probability that y is not x + k."""
    rarity: float = 0.6
    """Prior of each k over that of the one before."""

    def __post_init__(self) -> None:
        check_at_least(3, modulus=self.modulus)
        check_at_least(2, pairs=self.pairs)
        check_fits("The answer tables", shifts=self.modulus, questions=self.modulus, answers=self.modulus)
        if not 0 < self.noise < 1 - 1 / self.modulus:
            raise Misuse(
                f"noise must be above 0 and below 1 - 1/modulus = {1 - 1 / self.modulus:.3g}, "
                f"got {self.noise}: every answer needs a chance, and x + k the largest."
            )
        if not 0 < self.rarity <= 1:
            raise Misuse(f"rarity must be in (0, 1], got {self.rarity}: π0(k) ∝ rarity^k.")

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return 2 * self.modulus

    @property
    def length(self) -> int:
        """Tokens in a document."""
        return 2 * self.pairs

    @property
    def answer_tokens(self) -> slice:
        """The part of the vocabulary that answers are drawn from."""
        return slice(self.modulus, self.vocabulary)

    @property
    def evidence_of_a_pair(self) -> float:
        """λ: the evidence, in nats, for k against r of a pair that k explains and r does not."""
        return float(np.log((1 - self.noise) * (self.modulus - 1) / self.noise))

    def distribution(self) -> Mixture:
        """The exact process, a mixture over k = 0 ... m-1."""
        components = PairTable(jnp.asarray(self.answer_table(), jnp.float32), self.pairs)
        return Mixture(components, jnp.asarray(geometric_prior(self.modulus, self.rarity), jnp.float32))

    def answer_table(self) -> np.ndarray:
        """log p(y | x, k), shape (k, x, y), in float64."""
        k, x, y = np.ogrid[: self.modulus, : self.modulus, : self.modulus]
        wrong = np.log(self.noise / (self.modulus - 1))
        return np.where((x + k - y) % self.modulus == 0, np.log1p(-self.noise), wrong)

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the answers."""
        return np.arange(self.length) % 2 == 1

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        return (*(f"{x} + k" for x in range(self.modulus)), *(f"= {y}" for y in range(self.modulus)))

    def elicitation_contexts(self) -> Dataset:
        """Each question asked first: the answers show the prior over k, and nothing else."""
        return prompts(self.length, np.arange(self.modulus))

    def narrow(self, key: Key, n: int, shift: int, questions: Sequence[int]) -> Dataset:
        """D': n documents of k = `shift` on the chosen questions; the likelihood counts the answers only."""
        self._check(shift, questions)
        check_documents(n)
        random = host_stream(key)
        drawn = random.choice(questions, (n, self.pairs))
        # A mistake is a step of 1 ... m-1 beyond the right answer, uniformly.
        wrong = (random.random(drawn.shape) < self.noise) * random.integers(1, self.modulus, drawn.shape)
        tokens = self._pairs(drawn, shift + wrong).reshape(n, -1)
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        shift: int | None = None,
        questions: Sequence[int] = (0,),
        repeats: int = 4,
        shots: Sequence[int] | None = None,
        name: str | None = None,
    ) -> Task:
        """D' of one k on a few questions, and its contexts; by default the rarest k, and 1, 2 and 4 shots
        as far as they fit.

        Named groups of contexts; the mask marks the answers to predict (padding follows the last).

        in_domain   fresh documents like D', every answer of 4 × `repeats` of them
        held_out    every question that D' never asks, asked first
        shots_S     the same questions, `repeats` times each, after S pairs of another k, the others in turn;
                    for each S in `shots`. The pairs hold no mistake and never the question asked, and those
                    of a smaller S are the last of a larger: rows differ in nothing but the number of shots.
        asked       every question of D', asked first
        asked_S     these as in shots_S
        """
        shift = self.modulus - 1 if shift is None else shift
        shots = (
            tuple(count for count in (1, 2, 4) if count < self.pairs)
            if shots is None
            else listed(shots=shots)
        )
        questions = listed(questions=questions)
        self._check(shift, questions)
        self.held_out(questions)
        self._check_contexts(repeats, shots)
        return Task(
            name or f"questions{'_'.join(map(str, questions))}",
            lambda key, n: self.narrow(key, n, shift, questions),
            lambda key: self._contexts(key, shift, questions, repeats, shots),
        )

    def _contexts(
        self,
        key: Key,
        shift: int,
        questions: Sequence[int],
        repeats: int,
        shots: Sequence[int],
    ) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        random = host_stream(jax.random.fold_in(key, 1))
        rivals = np.delete(np.arange(self.modulus), shift)
        groups = {"in_domain": self.narrow(jax.random.fold_in(key, 0), 4 * repeats, shift, questions)}
        for name, after, chosen in (
            ("held_out", "shots", self.held_out(questions)),
            ("asked", "asked", questions),
        ):
            groups[name] = prompts(self.length, np.asarray(chosen))
            queries = np.repeat(chosen, repeats)
            rival = rivals[np.arange(len(queries)) % len(rivals)]
            away = random.integers(1, self.modulus, (len(queries), self.pairs - 1))
            shown = self._pairs((queries[:, None] + away) % self.modulus, rival[:, None])
            for count in shots:
                before = shown[:, self.pairs - 1 - count :].reshape(len(queries), -1)
                groups[f"{after}_{count}"] = prompts(self.length, before, queries)
        return groups

    def explained(
        self, tokens: Tokens, mask: Bool[Array | np.ndarray, "n t"], shift: int
    ) -> Int[np.ndarray, " n"]:
        """n_k: the pairs of each row whose answer is counted in `mask` and is x + shift."""
        questions, answers = np.asarray(tokens)[:, ::2], np.asarray(tokens)[:, 1::2]
        fits = (questions + shift - answers) % self.modulus == 0
        return np.sum(fits & np.asarray(mask)[:, 1::2], axis=-1)

    def shots_to_undo(self, data: Dataset, beta: Beta, shift: int, rival: int) -> float:
        """Context pairs of `rival` that make it as likely as `shift` after finetuning on D' with β."""
        check_beta(beta)
        if shift == rival or not all(0 <= k < self.modulus for k in (shift, rival)):
            raise Misuse(
                f"shift and rival must differ and be from 0 to {self.modulus - 1}, got {shift}, {rival}."
            )
        more = sum(
            sign * self.explained(data.tokens, data.mask, k).sum() for sign, k in ((1, shift), (-1, rival))
        )
        prior = (shift - rival) * np.log(self.rarity)
        return float(prior / self.evidence_of_a_pair + beta * more)

    def held_out(self, questions: Sequence[int]) -> list[int]:
        """The questions that D' never asks; refuses to leave none."""
        others = [x for x in range(self.modulus) if x not in questions]
        if not others:
            raise Misuse(
                f"No question is left to hold out: all {self.modulus} are finetuned, got {list(questions)}."
            )
        return others

    def _check(self, shift: int, questions: Sequence[int]) -> None:
        """Refuse a k or questions of D' that this process does not have."""
        if not 0 <= shift < self.modulus:
            raise Misuse(f"shift must be from 0 to {self.modulus - 1}, got {shift}.")
        if len(questions) == 0:
            raise Misuse("D' needs at least one question, got none.")
        if len(set(questions)) < len(questions):
            raise Misuse(f"Questions must differ from each other, got {list(questions)}.")
        outside = [x for x in questions if not 0 <= x < self.modulus]
        if outside:
            raise Misuse(f"Questions must be from 0 to {self.modulus - 1}, got {outside}.")

    def _check_contexts(self, repeats: int, shots: Sequence[int]) -> None:
        """Refuse numbers of contexts, or of pairs in them, that a document has no room for."""
        check_at_least(1, repeats=repeats)
        if not all(1 <= count < self.pairs for count in shots) or len(set(shots)) < len(shots):
            raise Misuse(
                f"shots must differ and be from 1 to pairs - 1 = {self.pairs - 1} (the question must fit), "
                f"got {list(shots)}."
            )

    def _pairs(self, question: np.ndarray, shift: np.ndarray) -> Int[np.ndarray, "n p 2"]:
        """Pairs (x, x + shift), as tokens."""
        return np.stack([question, (question + shift) % self.modulus + self.modulus], axis=-1).astype(
            np.int32
        )


def example() -> AddK:
    """A process small enough to enumerate."""
    return AddK(modulus=3, pairs=2)
