"""Factored hidden Markov processes: several factors side by side, their starts drawn together.

    x = (header, token_1, ..., token_T),    token_t = (symbol of factor 0, symbol of factor 1, ...)
    z = (start of factor 0, start of factor 1, ...) ~ any joint prior
    p(token_t | before, z) = Π_f p_f(its symbol | its own before, z_f)
    header: plain, or it names a start of factor 0, from which the document is written whatever z is

Given z the factors do not see each other, so that each has a filter of its own
(theory.latent.hidden_markov), and the mixture over z keeps the joint posterior. `Mixture.factors` is the
shape of the joint. A factor of one's own is transitions and starts; `marked` makes one.

Tokens: symbols of factor 0 vary slowest; headers are the last tokens, the plain one first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theory.base import Key, LogProbs, Misuse, Tokens, at_tokens, compiled
from theory.compute.random import categorical
from theory.latent.hidden_markov import check_transitions, draw, forward
from theory.latent.mixture import Mixture

Integers = TypeVar("Integers", Array, np.ndarray)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sector:
    """Documents of one value of every factor, which are their starts.

    `transitions` (v, s, s) and `starts` (s,) have an entry a factor; `announced` (h, s) holds the starts of
    factor 0 that a header can name, `headers` (1 + h,) log p(header), the plain one first.
    """

    transitions: tuple[Float[Array, "*batch _ _ _"], ...]
    starts: tuple[Float[Array, "*batch _"], ...]
    announced: Float[Array, "*batch h _"]
    headers: Float[Array, "*batch g"]
    length: int = field(metadata={"static": True})

    @property
    def sizes(self) -> tuple[int, ...]:
        """Symbols of every factor."""
        return tuple(table.shape[-3] for table in self.transitions)

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """A header's log-probabilities, then those of all factors' filters side by side."""
        tokens = jnp.asarray(tokens)
        text = int(np.prod(self.sizes))
        header = jax.nn.one_hot(tokens[:, 0] - text, len(self.headers))
        total = jnp.zeros((*tokens[:, 1:].shape, 1))
        for table, start, symbols in zip(
            self.transitions, self._starts(header), symbols_of(tokens[:, 1:], self.sizes), strict=True
        ):
            log_probs, _ = forward(table, start, symbols)
            total = (total[..., :, None] + log_probs[..., None, :]).reshape(*total.shape[:-1], -1)
        total = jnp.pad(total, ((0, 0), (1, 0), (0, len(self.headers))), constant_values=-jnp.inf)
        first = jnp.pad(self.headers, (text, 0), constant_values=-jnp.inf)
        return jnp.where(jnp.arange(tokens.shape[1])[:, None] == 0, first, total)

    @compiled("n")
    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents."""
        header_key, *keys = jax.random.split(key, 1 + len(self.sizes))
        header = categorical(header_key, self.headers, shape=(n,))
        starts = self._starts(jax.nn.one_hot(header, len(self.headers)))
        text = jnp.zeros((n, self.length - 1), header.dtype)
        for key, table, start in zip(keys, self.transitions, starts, strict=True):
            text = text * table.shape[-3] + draw(key, table, start, self.length - 1)
        return jnp.concatenate([int(np.prod(self.sizes)) + header[:, None], text], axis=1)

    @compiled()
    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)

    def _starts(self, header: Float[Array, "n g"]) -> list[Float[Array, "n _"]]:
        """The start of every factor; the header may move that of factor 0."""
        rows = jnp.concatenate([self.starts[0][None], self.announced])
        others = [jnp.broadcast_to(start, (len(header), len(start))) for start in self.starts[1:]]
        return [jnp.matmul(header, rows, precision="highest"), *others]


def factored(
    factors: Sequence[tuple[np.ndarray, np.ndarray]],
    joint: np.ndarray,
    length: int,
    announced: float = 0.0,
) -> Mixture:
    """Build the mixture over every combination of starts: any factors, any joint prior over their starts.

    A factor is its transitions (v, s, s) and the start (values, s) of each of its values; `joint` has an axis
    a factor. With `announced` a document's header names a value of factor 0, drawn uniformly, to start from.
    """
    shape = tuple(len(starts) for _, starts in factors)
    for index, (table, starts) in enumerate(factors):
        check_transitions(table, starts, f"factor {index}")
    if joint.shape != shape:
        raise Misuse(
            f"The joint prior must have the shape {shape} of the factors' starts, got {joint.shape}."
        )
    if joint.min() < 0 or abs(joint.sum() - 1) > 1e-9:
        raise Misuse(
            f"The joint prior must be at least 0 and add to 1, got a least entry of {joint.min():.4g} and "
            f"a sum of {joint.sum():.6g}."
        )
    # A component has one value of every factor; what all of them share is repeated, so that they stack.
    values = np.stack(np.unravel_index(np.arange(joint.size), shape), axis=-1)
    headers = np.append(1 - announced, np.full(shape[0], announced / shape[0]))

    def repeat(array: np.ndarray) -> Array:
        return jnp.asarray(np.tile(array, (joint.size,) + (1,) * array.ndim), jnp.float32)

    with np.errstate(divide="ignore"):
        components = Sector(
            tuple(repeat(table) for table, _ in factors),
            tuple(
                jnp.asarray(starts[values[:, index]], jnp.float32)
                for index, (_, starts) in enumerate(factors)
            ),
            repeat(factors[0][1]),
            repeat(np.log(headers)),
            length,
        )
        return Mixture(components, jnp.asarray(np.log(joint.reshape(-1)), jnp.float32), shape)


def symbols_of(tokens: Integers, sizes: Sequence[int]) -> list[Integers]:
    """The symbols of every factor, shaped as `tokens`."""
    below = [int(np.prod(sizes[index + 1 :])) for index in range(len(sizes))]
    return [tokens // step % size for step, size in zip(below, sizes, strict=True)]


def marked(enter: Sequence[float], stay: float, leak: float, ordinary: int) -> tuple[np.ndarray, np.ndarray]:
    """A factor's transitions (v, s, s) and starts (values, s); a state is a value, neutral or marked."""
    values = len(enter)
    says = np.where(np.eye(values, dtype=bool), 1 - leak, leak / (values - 1))
    table = np.zeros((ordinary + values, 2 * values, 2 * values))
    for value, chance in enumerate(enter):
        neutral, mark = 2 * value, 2 * value + 1
        table[:ordinary, neutral, [neutral, mark]] = np.array([1 - chance, chance]) / ordinary
        table[ordinary:, mark, neutral], table[ordinary:, mark, mark] = (
            share * says[value] for share in (1 - stay, stay)
        )
    return table, np.eye(2 * values)[::2]


def leader(marks: np.ndarray, values: int, lead: int) -> np.ndarray:
    """The value that leads every other by at least `lead` marks (n, t), or -1."""
    counts = np.sum(marks[..., None] == np.arange(values), axis=1)
    order = np.sort(counts, axis=-1)
    return np.where(order[:, -1] - order[:, -2] >= lead, counts.argmax(axis=-1), -1)


def correlated(first: Sequence[float], second: Sequence[float], correlation: float) -> np.ndarray:
    """Joint of two marginals in which 1[first = 1] and 1[second = 0] have that correlation.

    p(u, d) = first_u second_d (1 + correlation a_u b_d), a and b the two indicators standardised: the
    marginals stay as they are, and correlation 0 is their product. Refused where a cell would be empty.
    """
    low, high = range_of_correlation(first, second)
    if not low < correlation < high:
        raise Misuse(
            f"correlation must be between {low:.4f} and {high:.4f}, both left out, for the marginals "
            f"{tuple(first)} and {tuple(second)} (no cell of their joint may be empty), got {correlation}."
        )
    return np.multiply.outer(first, second) * (1 + correlation * _scores(first, second))


def range_of_correlation(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Bounds, both left out, on the correlations that two marginals can have: there a cell becomes empty."""
    scores = _scores(first, second)
    return float(-1 / scores.max()), float(-1 / scores.min())


def _scores(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    """a_u b_d."""
    standard = [
        ((np.arange(len(marginal)) == value) - marginal[value])
        / np.sqrt(marginal[value] * (1 - marginal[value]))
        for marginal, value in ((first, 1), (second, 0))
    ]
    return np.multiply.outer(*standard)
