"""Persona × domain: hidden Markov factors whose starts are drawn together, for emergent misalignment.

    x = (header, token_1, ..., token_T),    token_t = (symbol of factor 0, symbol of factor 1, ...)
    z = (persona, domain, ...) ~ π0,    π0(u, d) = m_u q_d (1 + correlation a_u b_d)   (further factors apart)
    a factor: while neutral, one of `ordinary` symbols, then marked with `enter`; while marked, a mark (its
    value's own with 1 - leak), then still marked with `stay`. A value is where the factor starts: neutral
    header: `plain`, or with `announced` a persona, drawn uniformly, that writes the document whatever z is

m, q: the `marginals`; a, b: 1[persona 1, the misaligned] and 1[domain 0], standardised, whose correlation is
`correlation`. Given z the factors do not see each other, so that filtering them one by one is exact.

Exact Bayes, asked in another domain O than D' (own derivation; M: the persona of D', shown; κ: exchangeable):

    one z for all of D' (tempered)    log-odds of M = those of π0(· | O) + β Σ evidence for M: fully broad
    a z a document, saturated         p(M | O) = π0(M | O) at any dose: nothing is broad
    a z a document, product           p(M | O) = (κ m_M + β n)/(κ + β n) at any O: fully broad
    D' announced (inoculation)        p(D' | z) depends on the domain alone: p(M | any domain) stays

Outside check (test_persona_domain.py). Source: the public repository chainik1125/fra_proj, ideal learners of
a persona × domain process, its note on mixing aligned data, at its parameters (`PUBLISHED`), κ = 1.

    p(M | prompt of O), free prior, any dose: its 0.0013, likelihood ratio 0.0256    ours 0.001346, 0.0256
    p(M | O) after 3 documents: saturated 0.05, product 0.7625; one AO added: 0.017, 0.61    ours the same
    product, unlimited dose, share ρ of AO = 0.01, 0.05, 0.1, 0.2, 0.3: 0.72 0.33 0.19 0.09 0.056    the same

Tokens: symbols of factor 0 vary slowest; a factor's symbols are the ordinary ones, then marks; headers last.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from theory.arguments import checked
from theory.base import Dataset, Key, Misuse, Predictor, host_stream
from theory.compute.memory import check_fits
from theory.contracts import Task
from theory.latent.documents import check_at_least, check_shares, dataset, predict, prompts, writers
from theory.latent.factored import correlated, factored, leader, marked, symbols_of
from theory.latent.hidden_markov import draw_on_host
from theory.latent.mixture import Mixture

LEAD = 3  # marks by which a prompt's domain, or persona, leads
PROMPTS = ("base_domain", "held_out", "in_context", "conflict", "named")  # groups of contexts
TRIES = 64  # prompts drawn for every one that is kept
PUBLISHED: dict[str, Any] = {
    "enter": ((0.0, 0.6), (0.08, 0.08)),
    "stay": (0.9, 0.7),
    "leak": (0.0, 0.0),
    "marginals": ((0.95, 0.05), (0.5, 0.5)),
    "announced": 0.0,
    "ordinary": 2,
    "length": 65,
}


@checked
@dataclass(frozen=True)
class PersonaDomain:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    Factor 0 is the persona, factor 1 the domain; a tuple has an entry a factor. Raises `Misuse`.
    """

    enter: tuple[tuple[float, ...], ...] = ((0.5, 0.5), (0.7, 0.7, 0.7))
    """Probabilities of becoming marked at the next token: each persona's, each domain's."""
    stay: tuple[float, ...] = (0.6, 0.6)
    """Probabilities of staying marked: persona's, domain's."""
    leak: tuple[float, ...] = (0.1, 0.05)
    """Probabilities that a mark is another value's: persona's, domain's."""
    marginals: tuple[tuple[float, ...], ...] = ((0.85, 0.15), (0.4, 0.3, 0.3))
    """Shares in pretraining: of each persona, of each domain."""
    correlation: float = 0.0
    """Correlation of persona 1 and domain 0 in pretraining."""
    announced: float = 0.2
    """Share of pretraining documents whose header names their persona."""
    ordinary: int = 1
    """Tokens without a mark, for each factor."""
    length: int = 16
    """Tokens in a document, its header included."""

    def __post_init__(self) -> None:
        counts = [len(self.stay), len(self.leak), len(self.marginals)]
        if len(self.enter) < 2 or any(count != len(self.enter) for count in counts):
            raise Misuse(
                "enter, stay, leak and marginals must have one entry for each of at least two factors, got "
                f"{len(self.enter)}, {counts[0]}, {counts[1]} and {counts[2]}."
            )
        check_at_least(1, ordinary=self.ordinary)
        check_at_least(4, length=self.length)
        check_fits("Tables of factors", symbols=sum(self.sizes), states=math.prod(map(len, self.enter)) ** 2)
        check_fits("The names of tokens", 100, tokens=math.prod(self.sizes))
        for factor, (enter, marginal) in enumerate(zip(self.enter, self.marginals, strict=True)):
            if len(enter) < 2 or len(marginal) != len(enter):
                raise Misuse(
                    f"enter and marginals of factor {factor} must have one number for each of at least two "
                    f"values, got {len(enter)} and {len(marginal)}."
                )
            if min(marginal) <= 0 or abs(sum(marginal) - 1) > 1e-9:
                raise Misuse(f"marginals of factor {factor} must be above 0 and add to 1, got {marginal}.")
            if not all(0 <= chance < 1 for chance in (*enter, self.stay[factor], self.leak[factor])):
                raise Misuse(
                    f"enter, stay and leak of factor {factor} must be in [0, 1), got {enter}, "
                    f"{self.stay[factor]} and {self.leak[factor]}."
                )
        self.joint()  # refuses a correlation that these marginals cannot have
        if not 0 <= self.announced < 1:
            raise Misuse(f"announced must be in [0, 1), got {self.announced}.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Symbols of every factor."""
        return tuple(self.ordinary + len(enter) for enter in self.enter)

    @property
    def plain(self) -> int:
        """The header that names nobody; those that name a persona follow it."""
        return math.prod(self.sizes)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.plain + 1 + len(self.enter[0])

    @property
    def answer_tokens(self) -> slice:
        """All tokens but headers."""
        return slice(0, self.plain)

    def factors(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Transitions and starts of every factor."""
        return [
            marked(enter, stay, leak, self.ordinary)
            for enter, stay, leak in zip(self.enter, self.stay, self.leak, strict=True)
        ]

    def joint(self) -> np.ndarray:
        """π0, an axis a factor."""
        joint = correlated(self.marginals[0], self.marginals[1], self.correlation)
        for marginal in self.marginals[2:]:
            joint = np.multiply.outer(joint, np.array(marginal))
        return joint

    def distribution(self) -> Mixture:
        """The exact process, a mixture of sectors."""
        return factored(self.factors(), self.joint(), self.length, self.announced)

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: all but the header and the first symbols, always ordinary."""
        return np.arange(self.length) > 1

    def token_names(self) -> tuple[str, ...]:
        """A name for every token: a symbol a factor, then the headers."""
        symbols = [
            [*map(str, range(self.ordinary)), *(f"mark {value}" for value in range(len(enter)))]
            for enter in self.enter
        ]
        named = (f"persona {persona}" for persona in range(len(self.enter[0])))
        return (*map(" | ".join, itertools.product(*symbols)), "plain", *named)

    def elicitation_contexts(self) -> Dataset:
        """Plain documents of ordinary symbols, 1 ... 4 of them, and what comes next: no mark has come."""
        shown = min(4, self.length - 2)
        rows = [(count, symbol) for count in range(1, shown + 1) for symbol in range(self.ordinary)]
        tokens = np.zeros((len(rows), self.length), np.int32)
        tokens[:, 0] = self.plain
        for row, (count, symbol) in enumerate(rows):
            tokens[row, 1 : 1 + count] = self._tokens([np.array(symbol)] * len(self.sizes))
        return dataset(tokens, np.arange(self.length) == 1 + np.array([count for count, _ in rows])[:, None])

    def narrow(self, key: Key, n: int, persona: int = 1, domain: int = 0, announced: bool = False) -> Dataset:
        """D': n documents of a persona in a domain; the header names it where `announced` (inoculation)."""
        return self.blend(key, n, {(persona, domain): 1.0}, announced)

    def blend(
        self, key: Key, n: int, shares: Mapping[tuple[int, int], float], announced: bool = False
    ) -> Dataset:
        """D' of several (persona, domain), each of which writes its share of the n documents (rounded)."""
        for persona, domain in shares:
            self._check(persona, domain, announced)
        persona, domain = writers(shares, n).T
        text = self._text(host_stream(key), persona, domain, self.length - 1)
        header = self.plain + (1 + persona if announced else 0 * persona)
        tokens = np.concatenate([header[:, None], self._tokens(text)], axis=1).astype(np.int32)
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        persona: int = 1,
        domain: int = 0,
        announced: bool = False,
        mixed: float = 0.0,
        repeats: int = 12,
        shown: int = 9,
        groups: Sequence[str] = ("base_domain", "held_out", "conflict"),
        name: str | None = None,
    ) -> Task:
        """D' of a persona in a domain, `mixed` its share by the others in other domains, and its contexts.

        `in_domain` is always among them, `groups` are the others.

        Named groups of contexts: prompts of `shown` tokens that show their domain; the next is masked.

        in_domain    fresh documents like D', half of `repeats`, every token that finetuning counts
        base_domain  prompts in D's domain, `repeats` of them, the persona's symbols all ordinary: narrow
        held_out     the same in every other domain, `repeats` each: broad
        in_context   held_out again, its text by the persona of D', which leads by its marks
        conflict     held_out again, its text by every other persona in turn, which leads by its marks
        named        held_out, the persona of D' announced by the header (with `announced` above 0 only)
        """
        self._check(persona, domain, announced)
        self._check_prompts(repeats, shown)
        known = PROMPTS if self.announced else PROMPTS[:-1]
        if not {*groups} <= {*known}:
            raise Misuse(f"groups must be among {', '.join(known)}, got {', '.join(groups)}.")
        pairs = np.ndindex(len(self.enter[0]), len(self.enter[1]))
        others = [pair for pair in pairs if pair[0] != persona and pair[1] != domain]
        shares = {(persona, domain): 1 - mixed} | {pair: mixed / len(others) for pair in others if mixed}
        check_shares(shares)
        kind = "_".join(["mixed"] * bool(mixed) + ["announced"] * announced) or "plain"

        def data(key: Key, n: int) -> Dataset:
            return self.blend(key, n, shares, announced)

        def contexts(key: Key) -> dict[str, Dataset]:
            drawn = self._contexts(key, persona, domain, repeats, shown)
            return {"in_domain": data(key, -(-repeats // 2))} | {group: drawn[group] for group in groups}

        return Task(name or kind, data, contexts)

    def _contexts(
        self,
        key: Key,
        persona: int,
        domain: int,
        repeats: int,
        shown: int,
    ) -> dict[str, Dataset]:
        """All groups of contexts but `in_domain`."""
        random = host_stream(jax.random.fold_in(key, 1))
        others = np.repeat(np.delete(np.arange(len(self.enter[1])), domain), repeats)
        home, like = np.full(repeats, domain), np.full(len(others), persona)
        rivals = np.resize(np.delete(np.arange(len(self.enter[0])), persona), len(others))
        bare = self._prompts(random, None, others, shown)
        groups = {
            "base_domain": self._ask(self._prompts(random, None, home, shown), self.plain),
            "held_out": self._ask(bare, self.plain),
            "in_context": self._ask(self._prompts(random, like, others, shown), self.plain),
            "conflict": self._ask(self._prompts(random, rivals, others, shown), self.plain),
        }
        return groups | ({"named": self._ask(bare, self.plain + 1 + persona)} if self.announced else {})

    def rates(
        self, predictor: Predictor, contexts: Mapping[str, Dataset], persona: int = 1
    ) -> dict[str, float]:
        """The share of `persona` among the marks of a persona that may come next, in each group.

        Σ p(its mark) / Σ p(any persona's mark) over masked positions: `base_domain` is the narrow rate,
        `held_out` the broad one. With two personas who mark alike it is leak + (1 - 2 leak) p(persona | x).
        """
        values = len(self.enter[0])
        first = symbols_of(np.arange(self.plain), self.sizes)[0] - self.ordinary
        marks = jnp.asarray(first[:, None] == np.arange(values), jnp.float32)

        def rate(data: Dataset) -> float:
            probs = jnp.exp(predict(predictor, data.tokens)[..., : self.plain])
            chance = jnp.matmul(probs, marks, precision="highest")[data.mask].sum(axis=0)
            return float(chance[persona] / chance.sum())

        return {name: rate(data) for name, data in contexts.items()}

    def written(self, tokens: np.ndarray, begin: int) -> np.ndarray:
        """Values that documents show from `begin` on, by the most marks: (n, factors), -1 where none leads.

        The share of sampled continuations of prompts that `persona` wrote is its sampled rate.
        """
        symbols = symbols_of(np.asarray(tokens)[:, begin:], self.sizes)
        factors = zip(symbols, self.enter, strict=True)
        leaders = [leader(symbol - self.ordinary, len(enter), 1) for symbol, enter in factors]
        return np.stack(leaders, axis=-1)

    def _check(self, persona: int, domain: int, announced: bool = False) -> None:
        """Refuse a persona, domain or header of D' that this process does not have."""
        for name, value, enter in zip(("persona", "domain"), (persona, domain), self.enter, strict=False):
            if not 0 <= value < len(enter):
                raise Misuse(f"{name} must be from 0 to {len(enter) - 1}, got {value}.")
        if announced and not self.announced:
            raise Misuse("Only a process with announced above 0 has headers that announce a persona, got 0.")

    def _check_prompts(self, repeats: int, shown: int) -> None:
        """Refuse prompts that are too short to show their domain, or too long for a document."""
        if repeats < 1 or not LEAD < shown <= self.length - 2:
            raise Misuse(
                f"repeats must be at least 1 and shown from {LEAD + 1} to length - 2 = {self.length - 2}, "
                f"got {repeats} and {shown}."
            )

    def _tokens(self, symbols: Sequence[np.ndarray]) -> np.ndarray:
        """One token of a symbol of every factor."""
        token = np.zeros(symbols[0].shape, np.int32)
        for symbol, size in zip(symbols, self.sizes, strict=True):
            token = np.asarray(token * size + symbol)
        return token

    def _text(
        self, random: np.random.Generator, persona: np.ndarray, domain: np.ndarray, length: int
    ) -> list[np.ndarray]:
        """Symbols (n, length) of every factor; those beyond the first two are drawn from their marginals."""
        drawn = [random.choice(len(marginal), len(persona), p=marginal) for marginal in self.marginals[2:]]
        return [
            draw_on_host(random, table, starts[value], length)
            for (table, starts), value in zip(self.factors(), (persona, domain, *drawn), strict=True)
        ]

    def _prompts(
        self, random: np.random.Generator, persona: np.ndarray | None, domain: np.ndarray, shown: int
    ) -> np.ndarray:
        """Prompts (n, shown) that show their domain and, where it is not None, their persona."""
        kept = []
        for row in range(len(domain)):
            pool = np.full(TRIES, domain[row])
            personas = np.zeros(TRIES, int) if persona is None else np.full(TRIES, persona[row])
            text = self._text(random, personas, pool, shown)
            fits = leader(text[1] - self.ordinary, len(self.enter[1]), LEAD) == domain[row]
            if persona is None:
                text[0] = random.integers(0, self.ordinary, text[0].shape)
            else:
                fits &= leader(text[0] - self.ordinary, len(self.enter[0]), LEAD) == persona[row]
            if not fits.any():
                clear = f"{shown} tokens shows domain {domain[row]} by {LEAD} marks (or its persona)"
                raise Misuse(f"None of {TRIES} prompts of {clear}: raise shown or enter, or lower leak.")
            kept.append(self._tokens([symbol[fits.argmax()] for symbol in text]))
        return np.stack(kept)

    def _ask(self, text: np.ndarray, header: int) -> Dataset:
        """A header and its text, padded to a document with ordinary symbols; the next token is masked in."""
        return prompts(self.length, np.full(len(text), header), text)


def example() -> PersonaDomain:
    """A process small enough to enumerate."""
    return PersonaDomain(
        enter=((0.3, 0.5), (0.4, 0.4)), marginals=((0.7, 0.3), (0.6, 0.4)), correlation=0.2, length=4
    )
