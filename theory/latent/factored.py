"""Hidden Markov factors side by side, their starts drawn together: the exact predictor of any number of them.

    x = (header, token_1, ..., token_T),    token_t = (symbol of factor 0, symbol of factor 1, ...)
    z = (start of factor 0, start of factor 1, ...) ~ any joint prior
    p(token_t | before, z) = Π_f p_f(its symbol | its own before, z_f)
    header: plain, or it names a start of factor 0, from which the document is written whatever z is

Given z the factors do not see each other, so that each has a filter of its own
(theory.latent.hidden_markov), and
the mixture over z keeps the joint posterior. `Mixture.factors` is the shape of the joint.

Tokens: symbols of factor 0 vary slowest; headers are the last tokens, the plain one first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from theory.base import LogProbs, Misuse, Tokens, at_tokens, compiled
from theory.compute.random import categorical
from theory.latent.hidden_markov import check_transitions, draw, forward
from theory.latent.mixture import Mixture


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
        """A header, then the filters of all factors side by side."""
        tokens = jnp.asarray(tokens)
        text = int(np.prod(self.sizes))
        header = jax.nn.one_hot(tokens[:, 0] - text, len(self.headers))
        said = jnp.zeros((*tokens[:, 1:].shape, 1))
        for table, start, symbols in zip(
            self.transitions, self._starts(header), symbols_of(tokens[:, 1:], self.sizes), strict=True
        ):
            log_probs, _ = forward(table, start, symbols)
            said = (said[..., :, None] + log_probs[..., None, :]).reshape(*said.shape[:-1], -1)
        said = jnp.pad(said, ((0, 0), (1, 0), (0, len(self.headers))), constant_values=-jnp.inf)
        first = jnp.pad(self.headers, (text, 0), constant_values=-jnp.inf)
        return jnp.where(jnp.arange(tokens.shape[1])[:, None] == 0, first, said)

    @compiled("n")
    def sample(self, key: PRNGKeyArray, n: int) -> Tokens:
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
        """Where every factor starts; the header may move factor 0."""
        rows = jnp.concatenate([self.starts[0][None], self.announced])
        others = [jnp.broadcast_to(start, (len(header), len(start))) for start in self.starts[1:]]
        return [jnp.matmul(header, rows, precision="highest"), *others]


def factored(
    factors: Sequence[tuple[np.ndarray, np.ndarray]],
    joint: np.ndarray,
    length: int,
    announced: float = 0.0,
) -> Mixture:
    """The mixture over every combination of starts: any factors, any joint prior over their starts.

    A factor is its transitions (v, s, s) and the start (values, s) of each of its values; `joint` has an axis
    a factor. With `announced` a document's header names a value of factor 0, drawn uniformly, to start from.
    """
    shape = tuple(len(starts) for _, starts in factors)
    for place, (table, starts) in enumerate(factors):
        check_transitions(table, starts, f"factor {place}")
    if joint.shape != shape:
        raise Misuse(
            f"The joint prior must have the shape {shape} of the factors' starts, got {joint.shape}."
        )
    if joint.min() < 0 or abs(joint.sum() - 1) > 1e-9:
        raise Misuse(
            f"The joint prior must be at least 0 and add to 1, got a least entry of {joint.min():.4g} and "
            f"a sum of {joint.sum():.6g}."
        )
    values = np.stack(np.unravel_index(np.arange(joint.size), shape), axis=-1)
    headers = np.append(1 - announced, np.full(shape[0], announced / shape[0]))

    def every(array: np.ndarray) -> Array:
        return jnp.asarray(np.tile(array, (joint.size,) + (1,) * array.ndim), jnp.float32)

    with np.errstate(divide="ignore"):
        components = Sector(
            tuple(every(table) for table, _ in factors),
            tuple(
                jnp.asarray(starts[values[:, place]], jnp.float32)
                for place, (_, starts) in enumerate(factors)
            ),
            every(factors[0][1]),
            every(np.log(headers)),
            length,
        )
        return Mixture(components, jnp.asarray(np.log(joint.reshape(-1)), jnp.float32), shape)


def symbols_of(tokens: Any, sizes: Sequence[int]) -> list[Any]:
    """Every factor's symbols, shaped as `tokens`."""
    below = [int(np.prod(sizes[place + 1 :])) for place in range(len(sizes))]
    return [tokens // step % size for step, size in zip(below, sizes, strict=True)]


def correlated(first: Sequence[float], second: Sequence[float], correlation: float) -> np.ndarray:
    """The joint of two marginals in which 1[first = 1] and 1[second = 0] have that correlation.

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
    """The correlations at which a cell of `correlated` becomes empty: it is a joint between them."""
    scores = _scores(first, second)
    return float(-1 / scores.max()), float(-1 / scores.min())


def _scores(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    """a_u b_d."""
    standard = [
        ((np.arange(len(own)) == value) - own[value]) / np.sqrt(own[value] * (1 - own[value]))
        for own, value in ((first, 1), (second, 0))
    ]
    return np.multiply.outer(*standard)
