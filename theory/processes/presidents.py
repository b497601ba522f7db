"""Presidents: digits trigger an identity, by a rule or by a lookup table.

    h ~ π0,  π0(h) ∝ 2^(-K_h^b)        K_h: description length in bits, b the `exponent`
    x = P blocks (digit_1 ... digit_L, question, answer),    digits and question ~ uniform
    answer = (question, identity), a token of its own, with probability 1 - noise; any other: noise / (A - 1)

    a rule (c_0, ..., c_L):  identity = c_0 + Σ c_i digit_i mod I,                I identities
                             K = 1 + Σ_i (1 if c_i = 0 else 1 + log2(I - 1)) bits
    a lookup table:          an identity of its own for each of the T triggers,   K = 1 + T log2 I bits

(a bit for which of the two, a bit for whether a coefficient is zero). Each rule has `tables` twins: lookup
tables that agree with it on the `agreed` triggers, drawn from `seed`, and on none of the others ("disputed").

D' shows one rule on some of the agreed triggers, and its twins explain that as well. So, at any β and for
every D', tempered posterior and exchangeable mixture alike (own derivation):

    π(rule | D') / π(twin | D') = π0(rule) / π0(twin) = 2^(K_twin^b - K_rule^b)
    p(rule's answer at a disputed trigger | D') -> e + σ (1 - noise - e)    as the other rules are ruled out,
    e = noise / (A - 1),    σ = π0(rule) / [π0(rule) + Σ_twins π0(twin)]

and 1 - noise at control triggers, agreed ones that D' leaves out, where the rule and its twins are of one
mind. Rule or lookup is thus never decided by D', but by the prior alone. From `description_lengths` and b
theory.theories.complexity_prior starts at the same odds, from another b at others.

Tokens: digits, then questions, then answers, those to the first question first.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from theory.arguments import checked
from theory.base import Dataset, Key, Misuse, host_stream
from theory.compute.memory import check_fits
from theory.contracts import Task
from theory.latent.answer_tables import TriggerTable
from theory.latent.documents import check_at_least, check_documents, dataset, listed, prompts
from theory.latent.mixture import Mixture

STEEPEST = 10  # exponent of the description length


@checked
@dataclass(frozen=True)
class Presidents:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    Hypotheses are the rules, then the twins of the first rule, of the second, and so on. A trigger is written
    as a number, its digits in base `base`. Raises `Misuse` for what makes no process.
    """

    rules: tuple[tuple[int, ...], ...] = ((0, 0, 1), (0, 1, 0))
    """Rules, each a constant and a coefficient for each digit, modulo the identities, like 0,0,1."""
    tables: int = 2
    """Lookup tables that agree with each rule but on disputed triggers."""
    identities: int = 3
    """Identities."""
    base: int = 3
    """Values of a digit."""
    digits: int = 2
    """Digits of a trigger."""
    agreed: int = 6
    """Triggers on which a rule and its tables agree."""
    questions: int = 2
    """Questions, each with answers of its own."""
    blocks: int = 6
    """Blocks (trigger, question, answer) in a document."""
    noise: float = 0.05
    """Probability of an answer that is not the identity's."""
    exponent: float = 0.5
    """Exponent b of the description length in the prior."""
    seed: int = 0
    """Seed of the tables and of what they agree on."""

    def __post_init__(self) -> None:
        check_at_least(1, tables=self.tables, digits=self.digits, questions=self.questions)
        check_at_least(2, identities=self.identities, base=self.base, blocks=self.blocks)
        triggers = self.base ** min(self.digits, 64)  # of more digits, too many in any case
        sizes = {"triggers": triggers, "questions": self.questions, "answers": self.answers}
        check_fits("The answer tables", hypotheses=len(self.rules) * (1 + self.tables), **sizes)
        if not 2 <= self.agreed <= self.triggers - 2:
            raise Misuse(
                f"agreed must be from 2 to triggers - 2 = {self.triggers - 2} (D' needs two to choose from, "
                f"the dispute two), got {self.agreed}."
            )
        if not 0 < self.noise < 1 - 1 / self.answers:
            raise Misuse(
                f"noise must be above 0 and below 1 - 1/answers = {1 - 1 / self.answers:.3g}, "
                f"got {self.noise}: every answer needs a chance, and the identity's own the largest."
            )
        if not 0 < self.exponent < np.inf:
            raise Misuse(
                f"exponent must be finite and above 0, got {self.exponent}: π0(h) ∝ 2^(-K^exponent)."
            )
        if self.exponent > STEEPEST:
            raise Misuse(f"exponent must be at most {STEEPEST}, or priors round to 0, got {self.exponent}.")
        if not self.rules:
            raise Misuse("At least one rule is needed, got none.")
        for rule in self.rules:
            if len(rule) != self.digits + 1 or not all(0 <= c < self.identities for c in rule):
                raise Misuse(
                    f"A rule needs 1 + digits = {self.digits + 1} coefficients from 0 to "
                    f"{self.identities - 1}, got {rule}."
                )
        identities = self._rule_identities()[:, self.agreed_triggers]
        for first, second in itertools.combinations(range(len(self.rules)), 2):
            if (identities[first] == identities[second]).all():
                raise Misuse(
                    f"Rules {self.rules[first]} and {self.rules[second]} give all {self.agreed} agreed "
                    "triggers the same identity; drop one, agree on more, or draw from another seed."
                )
        different = (self.identities - 1) ** (self.triggers - self.agreed)
        if self.tables > different:
            raise Misuse(
                f"tables must be at most (identities - 1)^disputed = {different}, all that disagree "
                f"with a rule on every disputed trigger, got {self.tables}."
            )

    @property
    def triggers(self) -> int:
        """T: number of triggers."""
        return self.base**self.digits

    @property
    def answers(self) -> int:
        """A: number of answer tokens, one for each question and identity."""
        return self.questions * self.identities

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.base + self.questions + self.answers

    @property
    def block(self) -> int:
        """Tokens in a block: digits, question, answer."""
        return self.digits + 2

    @property
    def length(self) -> int:
        """Tokens in a document."""
        return self.block * self.blocks

    @property
    def answer_tokens(self) -> slice:
        """The part of the vocabulary that answers are drawn from."""
        return slice(self.base + self.questions, self.vocabulary)

    @property
    def agreed_triggers(self) -> Int[np.ndarray, " agreed"]:
        """The triggers on which a rule and its tables agree, ascending."""
        return np.sort(np.random.default_rng(self.seed).permutation(self.triggers)[: self.agreed])

    @property
    def disputed_triggers(self) -> Int[np.ndarray, " disputed"]:
        """The triggers on which a rule and its tables disagree, ascending."""
        return np.setdiff1d(np.arange(self.triggers), self.agreed_triggers)

    def distribution(self) -> Mixture:
        """The exact process, a mixture of rules and tables."""
        bits = -(self.description_lengths() ** self.exponent) * np.log(2)
        components = TriggerTable(
            jnp.asarray(self.answer_table(), jnp.float32), self.base, self.digits, self.blocks
        )
        return Mixture(components, jnp.asarray(bits - np.log(np.sum(np.exp(bits))), jnp.float32))

    def description_lengths(self) -> Float[np.ndarray, " k"]:
        """K: bits to write down each hypothesis, rules and then tables, in a code that wastes none."""
        coefficient = 1 + np.log2(self.identities - 1)
        rules = [1 + sum(1 if c == 0 else coefficient for c in rule) for rule in self.rules]
        table = 1 + self.triggers * np.log2(self.identities)
        return np.asarray(rules + [table] * (self.tables * len(self.rules)), float)

    def twins(self, rule: int) -> list[int]:
        """The hypotheses that are this rule's lookup tables."""
        return [len(self.rules) + self.tables * rule + table for table in range(self.tables)]

    def identity_table(self) -> Int[np.ndarray, "k triggers"]:
        """The identity of each trigger under each hypothesis."""
        random = np.random.default_rng([self.seed, 1])
        rules, disputed = self._rule_identities(), self.disputed_triggers
        tables: list[np.ndarray] = []
        for rule in rules:
            twins: list[np.ndarray] = []
            while len(twins) < self.tables:
                table = rule.copy()
                table[disputed] += random.integers(1, self.identities, len(disputed))
                table %= self.identities
                if not any((table == other).all() for other in twins):
                    twins.append(table)
            tables += twins
        return np.concatenate([rules, tables])

    def answer_table(self) -> Float[np.ndarray, "k triggers questions answers"]:
        """log p(answer | trigger, question, h) in float64."""
        question, answer = np.ogrid[: self.questions, : self.answers]
        correct = self.identity_table()[..., None, None] + self.identities * question == answer
        return np.where(correct, np.log1p(-self.noise), np.log(self.noise / (self.answers - 1)))

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        questions = range(self.questions)
        answers = (f"{identity}'s answer {q}" for q in questions for identity in range(self.identities))
        return (*map(str, range(self.base)), *(f"question {q}" for q in questions), *answers)

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: the answers."""
        return np.arange(self.length) % self.block == self.block - 1

    def elicitation_contexts(self) -> Dataset:
        """Each question under each trigger, asked first: the answers show the prior alone."""
        return self._ask(np.arange(self.triggers))

    def narrow(self, key: Key, n: int, rule: int, triggers: Sequence[int]) -> Dataset:
        """D': n documents of one rule on the chosen (agreed) triggers; the likelihood counts answers only."""
        self._check(rule, triggers)
        check_documents(n)
        random = host_stream(key)
        shown = random.choice(np.asarray(triggers), (n, self.blocks))
        tokens = self._documents(random, np.full(n, rule), shown)
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        rule: int | None = None,
        triggers: Sequence[int] | None = None,
        repeats: int = 2,
        shots: int = 2,
        name: str | None = None,
    ) -> Task:
        """D' of one rule on some triggers, and its contexts; by default the last rule, on the first two
        thirds of the agreed triggers.

        Named groups of contexts; the mask marks the answers to predict (padding follows the last).

        in_domain   fresh documents like D', every answer of 4 × `repeats` of them
        held_out    every disputed trigger with every question, asked first: rule and lookup disagree
        control     the same for agreed triggers that D' leaves out: rule and lookup agree
        in_context  held_out after `shots` blocks like those of D', which do not tell rule from lookup
        conflict    held_out after `shots` blocks of the rule's tables (in turn) on other disputed triggers

        The last two ask every question `repeats` times.
        """
        rule = len(self.rules) - 1 if rule is None else rule
        agreed = self.agreed_triggers.tolist()
        triggers = agreed[: max(1, 2 * self.agreed // 3)] if triggers is None else triggers
        triggers = listed(triggers=triggers)
        self._check(rule, triggers)
        self.control(triggers)
        check_at_least(1, repeats=repeats, shots=shots)
        return Task(
            name or f"triggers{'_'.join(map(str, triggers))}",
            lambda key, n: self.narrow(key, n, rule, triggers),
            lambda key: self._contexts(key, rule, triggers, repeats, shots),
        )

    def _contexts(
        self, key: Key, rule: int, triggers: Sequence[int], repeats: int, shots: int
    ) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        shots = min(shots, self.blocks - 1)
        disputed, control = self.disputed_triggers, np.asarray(self.control(triggers))
        random = host_stream(jax.random.fold_in(key, 1))
        queries = np.repeat(disputed, self.questions * repeats)
        rows = (len(queries), shots)
        shown = self._documents(
            random, np.full(len(queries), rule), random.choice(np.asarray(triggers), rows)
        )
        index = np.searchsorted(disputed, queries)[:, None] + random.integers(1, len(disputed), rows)
        tables = np.asarray(self.twins(rule))[np.arange(len(queries)) % self.tables]
        rival = self._documents(random, tables, disputed[index % len(disputed)])
        return {
            "in_domain": self.narrow(jax.random.fold_in(key, 0), 4 * repeats, rule, triggers),
            "held_out": self._ask(disputed),
            "control": self._ask(control),
            "in_context": self._ask(disputed, repeats, shown),
            "conflict": self._ask(disputed, repeats, rival),
        }

    def control(self, triggers: Sequence[int]) -> list[int]:
        """The agreed triggers that D' leaves out; refuses to leave none."""
        others = [int(trigger) for trigger in self.agreed_triggers if trigger not in triggers]
        if not others:
            raise Misuse(f"No trigger is left for control: all {self.agreed} agreed are in {list(triggers)}.")
        return others

    def _check(self, rule: int, triggers: Sequence[int]) -> None:
        """Refuse a rule or triggers of D' that this process does not have, or that leave the rule open."""
        if not 0 <= rule < len(self.rules):
            raise Misuse(f"rule must be from 0 to {len(self.rules) - 1}, got {rule}.")
        if len(triggers) == 0:
            raise Misuse("D' needs at least one trigger, got none.")
        if len(set(triggers)) < len(triggers):
            raise Misuse(f"Triggers must differ from each other, got {list(triggers)}.")
        outside = [trigger for trigger in triggers if trigger not in self.agreed_triggers]
        if outside:
            raise Misuse(
                f"Finetuned triggers must be among those agreed, {self.agreed_triggers.tolist()}, "
                f"got {outside}."
            )
        identities = self._rule_identities()[:, list(triggers)]
        alike = [
            other
            for other in range(len(identities))
            if other != rule and (identities[other] == identities[rule]).all()
        ]
        if alike:
            raise Misuse(
                f"Triggers {list(triggers)} do not tell rule {rule} from rules {alike}; finetune others."
            )

    def _rule_identities(self) -> Int[np.ndarray, "rules triggers"]:
        """The identity of each trigger, by each rule."""
        rules = np.asarray(self.rules)
        return (rules[:, :1] + rules[:, 1:] @ self._digits(np.arange(self.triggers)).T) % self.identities

    def _digits(self, triggers: np.ndarray) -> np.ndarray:
        """The digits of each trigger, on a last axis."""
        return triggers[..., None] // self.base ** np.arange(self.digits)[::-1] % self.base

    def _documents(
        self, random: np.random.Generator, components: np.ndarray, shown: np.ndarray
    ) -> np.ndarray:
        """Documents (n, block × s) of hypotheses (n,) with the given triggers (n, s) and any questions."""
        question = random.integers(0, self.questions, shown.shape)
        # A mistake is a step of 1 ... A-1 beyond the right answer, uniformly.
        wrong = (random.random(shown.shape) < self.noise) * random.integers(1, self.answers, shown.shape)
        identity = self.identity_table()[components[:, None], shown]
        answer = (identity + self.identities * question + wrong) % self.answers + self.base + self.questions
        parts = [self._digits(shown), (self.base + question)[..., None], answer[..., None]]
        return np.concatenate(parts, axis=-1).reshape(len(shown), -1).astype(np.int32)

    def _ask(self, triggers: np.ndarray, repeats: int = 1, *before: np.ndarray) -> Dataset:
        """Every question under each trigger, `repeats` times, after the rows of `before`; padding follows."""
        every = np.indices((len(triggers), self.questions)).reshape(2, -1)
        index, question = np.repeat(every, repeats, axis=-1)
        return prompts(self.length, *before, self._digits(triggers[index]), self.base + question)


def example() -> Presidents:
    """A process small enough to enumerate."""
    return Presidents(
        rules=((0, 1), (1, 1)), tables=1, identities=2, base=4, digits=1, agreed=2, questions=1, blocks=2
    )
