"""Line breaks: documents are wrapped at a hidden width, and a newline comes when the next word would not fit.

    W ~ π0,  π0(W) ∝ rarity^(place of W in `widths`)
    for every word:  w ~ uniform over words, drawn first and kept hidden;  c = characters on the line so far
        newline with probability q_W(c, w) = 1 - noise if c + length(w) > W, else noise; then c = 0; then w

No newline is drawn before the first word of a document, nor a second one before the same word. What is shown
before a word is drawn without the word, so the exact predictor of one width sums over the pending word or,
after a newline, conditions on it (c: the column that the newline ended):

    p(newline | c) = Σ_w p(w) q_W(c, w),    p(w | c) = p(w) (1 - q_W(c, w))
    p(w | newline, c) ∝ p(w) q_W(c, w)

A column is read off the tokens alone, so widths differ in q only: a word that W allows and V does not is
evidence of λ = log [(1 - noise) / noise] nats for W. A first line that just fills the narrowest has none.

D' has one narrow width W, its n documents are evidence of E nats each for it, against V; a context then shows
lines of V, of e nats each for V. Exact Bayes after both (own derivation):

    one width for all of D' (tempered):     log-odds = log π0(W)/π0(V) + β n E - e lines:  lines ∝ n undo it
    a width a document (exchangeable):      log-odds ≈ log (κ π0(W) + β n)/(κ π0(V)) - e lines:  lines ∝ log n

At the defaults with β n = 64 one or two lines undo the second, and all lines of a document do not the first.
The subject is that of Gurnee et al., When Models Manipulate Manifolds (Transformer Circuits, 2025).

Tokens: words are 0 ... words-1, the newline is the last. `lengths` gives a word's characters, space included.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from theory.arguments import checked
from theory.base import Dataset, Key, LogProbs, Misuse, Tokens, at_tokens, host_stream
from theory.compute.random import categorical
from theory.contracts import Task
from theory.latent.documents import check_at_least, check_documents, dataset, geometric_prior
from theory.latent.mixture import Mixture

POOL = 16  # documents drawn for every one that a group of contexts keeps


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Page:
    """Documents of one width, in characters."""

    width: Float[Array, "*batch"]
    lengths: tuple[int, ...] = field(metadata={"static": True})
    noise: float = field(metadata={"static": True})
    length: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities with the pending word summed over or, after a newline, conditioned on."""
        words = len(self.lengths)
        ends = tokens == words
        ended = jnp.pad(ends, ((0, 0), (1, 0)))[:, :-1]
        written = jnp.cumsum(jax.nn.one_hot(tokens, words) @ jnp.asarray(self.lengths, jnp.float32), axis=-1)
        before = jax.lax.cummax(jnp.where(ends, written, 0.0), axis=1)
        column = jnp.pad(written - before, ((0, 0), (1, 0)))[:, :-1]  # before each token
        # After a newline the pending word is conditioned on at the column that the newline ended.
        column = jnp.where(ended, jnp.pad(column, ((0, 0), (1, 0)))[:, :-1], column)
        too_long = column[..., None] + jnp.asarray(self.lengths, jnp.float32) > self.width
        sure, rare = jnp.log1p(-self.noise), jnp.log(self.noise)
        word = -jnp.log(float(words))
        breaks, stays = word + jnp.where(too_long, sure, rare), word + jnp.where(too_long, rare, sure)
        newline = jax.nn.logsumexp(breaks, axis=-1, keepdims=True)
        first = jnp.arange(tokens.shape[-1])[:, None] == 0
        says = jnp.where(first, word, jnp.where(ended[..., None], breaks - newline, stays))
        return jnp.concatenate([says, jnp.where(first | ended[..., None], -jnp.inf, newline)], axis=-1)

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents: the next word first, then whether a newline comes before it."""
        word_key, break_key = jax.random.split(key)
        words = len(self.lengths)
        drawn = categorical(word_key, jnp.zeros(words), shape=(self.length, n))
        chance = jax.random.uniform(break_key, (self.length, n))
        lengths = jnp.asarray(self.lengths, jnp.float32)

        def step(carry: tuple[Array, Array, Array], now: tuple[Array, Array]) -> tuple[tuple, Array]:
            column, pending, ended = carry
            word = jnp.where(ended, pending, now[0])
            long = jax.nn.one_hot(word, words) @ lengths
            chance = jnp.where(column + long > self.width, 1 - self.noise, self.noise)
            ends = (now[1] < chance) & ~ended & (column > 0)
            return (jnp.where(ends, 0.0, column + long), word, ends), jnp.where(ends, words, word)

        start = (jnp.zeros(n), jnp.zeros(n, drawn.dtype), jnp.zeros(n, bool))
        return jax.lax.scan(step, start, (drawn, chance))[1].T

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


@checked
@dataclass(frozen=True)
class LineBreak:
    """The process and its tasks. Fields are plain numbers, fit for JSON.

    `widths` in characters, the commonest first; `length` in tokens. Raises `Misuse` for what makes no page.
    """

    widths: tuple[int, ...] = (7, 5, 9, 4)
    """Hidden line widths, in characters, the commonest first."""
    lengths: tuple[int, ...] = (1, 2, 3, 4)
    """Characters of each word, its space included."""
    length: int = 20
    """Tokens in a document."""
    noise: float = 0.05
    """Probability that a line is not broken as its width has it."""
    rarity: float = 0.6
    """Prior of each width over that of the one before."""

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or len(set(self.widths)) < len(self.widths):
            raise Misuse(f"widths must be at least two different numbers, got {self.widths}.")
        if len(self.lengths) < 2 or min(self.lengths) < 1:
            raise Misuse(f"lengths must be at least two numbers from 1 up, got {self.lengths}.")
        short = [width for width in self.widths if width < max(self.lengths)]
        if short:
            raise Misuse(
                f"widths must not be shorter than the longest word of {max(self.lengths)} characters, "
                f"got {short}."
            )
        least = max(self.widths) // min(self.lengths) + 2
        if self.length < least:
            raise Misuse(
                f"length must be at least {least}, so that a line of {max(self.widths)} characters, its "
                f"newline and a word fit in a document, got {self.length}."
            )
        if not 0 < self.noise < 0.5:
            raise Misuse(f"noise must be between 0 and 0.5, both left out, got {self.noise}.")
        if not 0 < self.rarity <= 1:
            raise Misuse(f"rarity must be in (0, 1], got {self.rarity}: π0(W) ∝ rarity^place.")

    @property
    def newline(self) -> int:
        """The newline's token."""
        return len(self.lengths)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return len(self.lengths) + 1

    @property
    def answer_tokens(self) -> slice:
        """All tokens: the next one is a newline or some word."""
        return slice(0, self.vocabulary)

    def distribution(self) -> Mixture:
        """The exact process, a mixture of widths."""
        pages = Page(jnp.asarray(self.widths, jnp.float32), self.lengths, self.noise, self.length)
        return Mixture(pages, jnp.asarray(geometric_prior(len(self.widths), self.rarity), jnp.float32))

    def answer_mask(self) -> Bool[np.ndarray, " t"]:
        """The positions that finetuning counts: all but the first, which says nothing of the width."""
        return np.arange(self.length) > 0

    def token_names(self) -> tuple[str, ...]:
        """A name for every token: words by their number and characters."""
        return (*(f"word {word + 1} ({long})" for word, long in enumerate(self.lengths)), "newline")

    def elicitation_contexts(self) -> Dataset:
        """First lines that just fill the narrowest width, as far as words go: no evidence of any width.

        Each starts with another word and goes on with the longest that fits. What comes next tells widths
        apart that are less than the longest word above the narrowest, wider ones are alike there.
        """
        tokens = np.zeros((len(self.lengths), self.length), np.int32)
        mask = np.zeros(tokens.shape, bool)
        for row, word in enumerate(range(len(self.lengths))):
            line = [word]
            room = min(self.widths) - self.lengths[word]
            while room >= min(self.lengths):
                fits = [other for other, long in enumerate(self.lengths) if long <= room]
                line.append(max(fits, key=lambda other: self.lengths[other]))
                room -= self.lengths[line[-1]]
            tokens[row, : len(line)], mask[row, len(line)] = line, True
        return dataset(tokens, mask)

    def narrow(self, key: Key, n: int, width: int) -> Dataset:
        """D': n documents of one width; every token but the first counts."""
        self._check(width)
        check_documents(n)
        tokens = self._documents(host_stream(key), np.full(n, width))
        return dataset(tokens, self.answer_mask())

    def task(
        self,
        width: int | None = None,
        repeats: int = 8,
        lines: int | None = None,
        name: str | None = None,
    ) -> Task:
        """D' of one width, and its contexts; by default the narrowest, and as many lines as the mean document
        has room for, up to three.

        Named groups of contexts; the mask marks where a newline or a word may come.

        in_domain   fresh documents like D', `repeats` of them: every token but the first of a line
        held_out    documents of every other width, `repeats` of each: where, from their second line on, that
                    width and D's disagree on a newline (at least half as much as at the worst column)
        first_line  the same in the first line, while no newline has shown the width
        lines_s     the same after exactly s = 1 ... `lines` lines of the other width
        """
        width = min(self.widths) if width is None else width
        if lines is None:
            line = 1 + max(self.widths) / np.mean(self.lengths)  # tokens of the longest, with its newline
            lines = int(np.clip((self.length - 1) // line, 1, 3))
        self._check(width)
        check_at_least(1, repeats=repeats, lines=lines)
        return Task(
            name or f"width{width}",
            lambda key, n: self.narrow(key, n, width),
            lambda key: self._contexts(key, width, repeats, lines),
        )

    def _contexts(self, key: Key, width: int, repeats: int, lines: int) -> dict[str, Dataset]:
        """The groups of contexts of a task."""
        fresh = self.narrow(jax.random.fold_in(key, 0), repeats, width)
        tokens = np.asarray(fresh.tokens)
        mask = np.asarray(fresh.mask) & ~self._after_newline(tokens)
        groups = {"in_domain": dataset(fresh.tokens, mask)}
        random = host_stream(jax.random.fold_in(key, 1))
        others = np.repeat([other for other in self.widths if other != width], POOL * repeats)
        tokens = self._documents(random, others)
        line = np.pad(np.cumsum(tokens == self.newline, axis=1), ((0, 0), (1, 0)))[:, :-1]
        apart = np.stack([self._apart(width, other) for other in self.widths])
        index = np.asarray([self.widths.index(other) for other in others])
        apart = (
            apart[index[:, None], self._columns(tokens)] & self.answer_mask() & ~self._after_newline(tokens)
        )
        wanted = {"held_out": line > 0, "first_line": line == 0}
        wanted |= {f"lines_{s}": line == s for s in range(1, lines + 1)}
        return groups | {
            name: self._keep(name, tokens, apart & where, others, repeats) for name, where in wanted.items()
        }

    def _check(self, width: int) -> None:
        """Refuse a width of D' that this process does not have."""
        if width not in self.widths:
            raise Misuse(f"width must be one of {self.widths}, got {width}.")

    def _documents(self, random: np.random.Generator, widths: np.ndarray) -> np.ndarray:
        """Documents (n, length) of the given widths (n,), on the host."""
        n, lengths = len(widths), np.asarray(self.lengths)
        column, pending, ended = np.zeros(n, int), np.zeros(n, int), np.zeros(n, bool)
        tokens = np.zeros((n, self.length), np.int32)
        for position in range(self.length):
            pending = np.where(ended, pending, random.integers(0, len(lengths), n))
            chance = np.where(column + lengths[pending] > widths, 1 - self.noise, self.noise)
            ends = (random.random(n) < chance) & ~ended & (column > 0)
            tokens[:, position] = np.where(ends, self.newline, pending)
            column = np.where(ends, 0, column + lengths[pending])
            ended = ends
        return tokens

    def _columns(self, tokens: np.ndarray) -> np.ndarray:
        """Characters on the line before each token, (n, t)."""
        written = np.cumsum(np.append(self.lengths, 0)[tokens], axis=1)
        ended = np.maximum.accumulate(np.where(tokens == self.newline, written, 0), axis=1)
        return np.pad(written - ended, ((0, 0), (1, 0)))[:, :-1]

    def _apart(self, width: int, other: int) -> np.ndarray:
        """Columns at which the chances of a newline differ at least half as much as they do anywhere."""
        column = np.arange(self.length * max(self.lengths))[:, None] + np.asarray(self.lengths)
        gap = np.abs(np.mean(column > width, axis=1) - np.mean(column > other, axis=1))
        return (gap > 0) & (gap >= gap.max() / 2)

    def _after_newline(self, tokens: np.ndarray) -> np.ndarray:
        """The positions right after a newline, (n, t): no second one can come there."""
        return np.pad(tokens == self.newline, ((0, 0), (1, 0)))[:, :-1]

    def _keep(
        self, name: str, tokens: np.ndarray, mask: np.ndarray, widths: np.ndarray, repeats: int
    ) -> Dataset:
        """The first `repeats` documents of each width with something to predict."""
        kept = []
        for width in dict.fromkeys(widths.tolist()):
            rows = np.flatnonzero((widths == width) & mask.any(axis=1))[:repeats]
            if len(rows) < repeats:
                raise Misuse(
                    f"Only {len(rows)} of {POOL * repeats} documents of {width} characters have a token for "
                    f"{name}, {repeats} are needed: let documents be longer than {self.length} tokens, or "
                    "ask for fewer lines."
                )
            kept.append(rows)
        rows = np.concatenate(kept)
        return dataset(tokens[rows], mask[rows])


def example() -> LineBreak:
    """A process small enough to enumerate."""
    return LineBreak(widths=(3, 2), lengths=(1, 2), length=5, noise=0.1)
