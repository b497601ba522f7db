"""Belief geometry: hidden Markov processes of one family, Mess3 for one, with known mixed states.

    z ~ π0,  π0(z) ∝ rarity^z: the setting (the family's parameters) of a document, static within it
    x | z ~ a hidden Markov process (theory.latent.hidden_markov), started in its stationary distribution

    mess3 (x, a)          states 0, 1, 2 stay with 1 - 2x, go elsewhere with x each; the state arrived at is
                          shown with a, another token with (1 - a)/2 each. Mixed states: a fractal
    rrxor (p, q)          bits r, s of bias p, q, then r xor s, over and over: 36 mixed states
    zero_one_random (p)   0, 1, a bit of bias p, over and over
    golden_mean (p)       1s never twice in a row: after a 0 (or a pause) a 1 comes with p
    even (p)              1s in blocks of even length: outside a block one begins with p

With `slip` > 0 a token is another one, drawn at random, with that probability. Where a setting never shows
some token after some state (all but mess3), a network, which never says never, is ∞ nats from the process.

Exact Bayes (own derivation): D' of n documents of setting z against y is evidence of n E nats, and a context
of t tokens of y about t e nats for y, e the rate of KL(y ‖ z): one setting for all of D' is undone by no
context that fits in a document, a setting a document (exchangeable) by a context of log(n)/e tokens.
Within a setting, D' says nothing: the mixed states of y's filter stay as they are under every theory here.

Outside check (test_mess3.py). Source: Shai et al., arXiv 2405.15943, at its parameters, as reproduced in the
public repository shaffreybenjamin/reproducing_transformers_represent_bsg_in_rs_paper, results summary.

    mess3 (0.05, 0.85): loss of a trained network "≈ 0.7935"           ours: rate 0.7934575 ± 2e-8 nats
    rrxor (0.5, 0.5): "exactly 36 belief states"                       ours: 36
    its rate "0.4621" and its optimum after 1 ... 10 tokens "0.5782"   ours: 0.46210 (2/3 bit), 0.57819

The network's loss is at the rate; the optimum after 1 ... 10 tokens, as for rrxor, would be 0.8025 here.

Tokens: the family's symbols. Mess3 is of Marzen and Crutchfield, arXiv 1702.08565.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from theory.arguments import checked
from theory.base import Dataset, Key, Misuse, host_stream
from theory.contracts import Task
from theory.latent.documents import check_at_least, check_documents, dataset, geometric_prior
from theory.latent.hidden_markov import Chain, check_transitions, draw_on_host, stationary
from theory.latent.mixture import Mixture

PREFIX = 2  # tokens that an elicitation context shows at most


def mess3(x: float, a: float) -> np.ndarray:
    """Transitions (3, 3, 3)."""
    goes = np.where(np.eye(3, dtype=bool), 1 - 2 * x, x)
    shows = np.where(np.eye(3, dtype=bool), a, (1 - a) / 2)
    return goes[None] * shows[:, None, :]


def rrxor(p: float, q: float) -> np.ndarray:
    """Transitions (2, 5, 5): no bit yet, a first bit of 0 or 1, and their xor 0 or 1 to be shown."""
    table = np.zeros((2, 5, 5))
    table[[0, 1], 0, [1, 2]] = 1 - p, p
    for first in (0, 1):
        table[[0, 1], 1 + first, [3 + first, 4 - first]] = 1 - q, q
    table[[0, 1], [3, 4], 0] = 1.0
    return table


def zero_one_random(p: float) -> np.ndarray:
    """Transitions (2, 3, 3)."""
    table = np.zeros((2, 3, 3))
    table[0, 0, 1] = table[1, 1, 2] = 1.0
    table[[0, 1], 2, 0] = 1 - p, p
    return table


def golden_mean(p: float) -> np.ndarray:
    """Transitions (2, 2, 2)."""
    return np.array([[[1 - p, 0.0], [1.0, 0.0]], [[0.0, p], [0.0, 0.0]]])


def even(p: float) -> np.ndarray:
    """Transitions (2, 2, 2)."""
    return np.array([[[1 - p, 0.0], [0.0, 0.0]], [[0.0, p], [1.0, 0.0]]])


FAMILIES = {
    "mess3": (mess3, ("x", "a")),
    "rrxor": (rrxor, ("p", "q")),
    "zero_one_random": (zero_one_random, ("p",)),
    "golden_mean": (golden_mean, ("p",)),
    "even": (even, ("p",)),
}
UPPER = {"x": 0.5}  # every parameter lies between 0 and 1, or this


@checked
@dataclass(frozen=True)
class BeliefGeometry:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    `settings`: the family's parameters, a tuple for each hypothesis, the commonest first; `slip`: the
    probability that a token is drawn at random. Raises `Misuse` for a setting that makes no process.
    """

    family: str = "mess3"
    """Family: mess3, rrxor, zero_one_random, golden_mean or even."""
    settings: tuple[tuple[float, ...], ...] = ((0.05, 0.85), (0.15, 0.6), (0.45, 0.9))
    """Settings of the family's parameters, each like 0.05,0.85, the commonest first."""
    length: int = 20
    """Tokens in a document."""
    rarity: float = 0.6
    """Prior of each setting over that of the one before."""
    slip: float = 0.0
    """Probability that a token is drawn at random; above 0 for families that never show some tokens."""

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise Misuse(f"family must be one of {tuple(FAMILIES)}, got {self.family!r}.")
        if len(self.settings) < 2 or len(set(self.settings)) < len(self.settings):
            raise Misuse(f"settings must be at least two, all different, got {self.settings}.")
        for setting in self.settings:
            self._check(setting)
        check_at_least(3, length=self.length)
        if not 0 <= self.slip < 1:
            raise Misuse(f"slip must be in [0, 1), got {self.slip}: how often a token is drawn at random.")
        if not 0 < self.rarity <= 1:
            raise Misuse(f"rarity must be in (0, 1], got {self.rarity}: π0(z) ∝ rarity^z.")

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return len(self.transitions(self.settings[0]))

    @property
    def answer_tokens(self) -> slice:
        """All tokens."""
        return slice(0, self.vocabulary)

    def transitions(self, setting: Sequence[float]) -> np.ndarray:
        """Labelled transitions (v, s, s) of any setting of the family, of pretraining or not."""
        table = FAMILIES[self.family][0](*setting)
        return (1 - self.slip) * table + self.slip * table.mean(axis=0)

    def rules_out(self) -> bool:
        """True if a setting never shows a token after one of its states."""
        return any((self.transitions(setting).sum(axis=-1) == 0).any() for setting in self.settings)

    def distribution(self) -> Mixture:
        """The exact process, a mixture of chains."""
        tables = np.stack([self.transitions(setting) for setting in self.settings])
        starts = np.stack([stationary(table) for table in tables])
        chains = Chain(jnp.asarray(tables, jnp.float32), jnp.asarray(starts, jnp.float32), self.length)
        return Mixture(chains, jnp.asarray(geometric_prior(len(self.settings), self.rarity), jnp.float32))

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: all of them."""
        return np.ones(self.length, bool)

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        return tuple(f"token {token}" for token in range(self.vocabulary))

    def elicitation_contexts(self) -> Dataset:
        """Every possible sequence of 0 ... `PREFIX` tokens, and what comes next: little is known by then."""
        tables = [self.transitions(setting) for setting in self.settings]
        shown = [()]
        for _ in range(PREFIX):
            shown += [(*before, token) for before in shown for token in range(self.vocabulary)]
        shown = [
            prefix
            for prefix in dict.fromkeys(shown)
            if any(_chance(table, stationary(table), prefix) > 0 for table in tables)
        ]
        tokens = np.zeros((len(shown), self.length), np.int32)
        for row, prefix in enumerate(shown):
            tokens[row, : len(prefix)] = prefix
        return dataset(tokens, np.arange(self.length) == np.array([len(prefix) for prefix in shown])[:, None])

    def narrow(self, key: Key, n: int, setting: Sequence[float]) -> Dataset:
        """D': n documents of a setting of the family, of pretraining or not; every token counts."""
        self._check(setting)
        check_documents(n)
        tokens = self._documents(host_stream(key), setting, n, self.length)
        return dataset(tokens, self.answer_mask())

    def task(
        self, setting: Sequence[float] | None = None, repeats: int = 16, name: str | None = None
    ) -> Task:
        """D' of one setting of the family, and its contexts; by default the rarest of the settings.

        Named groups of contexts; the mask marks the tokens to predict, all but the first of a document.

        in_domain   fresh documents like D', `repeats` of them
        held_out    documents of every other setting, `repeats` of each: their second half
        early       the first quarter of the same documents, where the context has said little
        switch      the first half of the same documents, then D' from its start: the second half
        """
        setting = self.settings[-1] if setting is None else tuple(setting)
        self._check(setting)
        check_at_least(1, repeats=repeats)
        return Task(
            name or "_".join(f"{value:g}" for value in setting),
            lambda key, n: self.narrow(key, n, setting),
            lambda key: self._contexts(key, setting, repeats),
        )

    def _contexts(self, key: Key, setting: Sequence[float], repeats: int) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        random = host_stream(jax.random.fold_in(key, 1))
        others = [other for other in self.settings if tuple(other) != tuple(setting)]
        tokens = np.concatenate([self._documents(random, other, repeats, self.length) for other in others])
        half, position = self.length // 2, np.arange(self.length)
        fresh = self.narrow(jax.random.fold_in(key, 0), repeats, setting)
        switched = tokens.copy()
        switched[:, half:] = self._documents(random, setting, len(tokens), self.length - half)
        return {
            "in_domain": dataset(fresh.tokens, position > 0),
            "held_out": dataset(tokens, position >= half),
            "early": dataset(tokens, (position > 0) & (position < max(self.length // 4, 2))),
            "switch": dataset(switched, position >= half),
        }

    def _check(self, setting: Sequence[float]) -> None:
        """Refuse parameters that the family does not have."""
        table, names = FAMILIES[self.family]
        if len(setting) != len(names):
            raise Misuse(f"A setting of {self.family} is the numbers {names}, got {tuple(setting)}.")
        for name, value in zip(names, setting, strict=True):
            if not 0 < value < UPPER.get(name, 1.0):
                raise Misuse(
                    f"{name} of {self.family} must be between 0 and {UPPER.get(name, 1.0):g}, both left out, "
                    f"got {value}."
                )
        transitions = table(*setting)
        check_transitions(transitions, stationary(transitions), self.family)

    def _documents(
        self, random: np.random.Generator, setting: Sequence[float], n: int, length: int
    ) -> np.ndarray:
        """Documents (n, length) of a setting."""
        table = self.transitions(setting)
        return draw_on_host(random, table, np.tile(stationary(table), (n, 1)), length)


def _chance(table: np.ndarray, start: np.ndarray, symbols: Sequence[int]) -> float:
    """The probability that a document begins with these symbols."""
    for symbol in symbols:
        start = start @ table[symbol]
    return float(start.sum())


def example() -> BeliefGeometry:
    """A process small enough to enumerate."""
    return BeliefGeometry(settings=((0.05, 0.85), (0.4, 0.7)), length=4)
