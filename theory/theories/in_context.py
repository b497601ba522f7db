"""In-context learning: the base predictor with k shots of D' before every context.

    p_β(x_t | x_<t) = p_0(x_t | d_1 ... d_k, x_<t)

A shot is a part of D' that can stand before a context: with `pairs` a counted token and the one before it,
such as a topic and its answer. β counts documents of D': k = β × shots / documents. Only whole shots can be
read; between them log-probabilities are interpolated, (1 - f) log p_k + f log p_(k+1), normalised, f the
fraction: a convention.

Shots follow D' document by document, in an order of documents that a key fixes: how D' is sorted does not
matter. `starts` contexts begin at as many shots of that order, evenly spread, each continued from the first
at its end; their probabilities are averaged. The base reads at most `length` tokens (None: as many as the
sequences have), so a position t has room for (length - 1 - t) / width shots. Those beyond are dropped, as are
those beyond the end of D': a strength that goes further changes nothing more.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from theory.base import (
    Beta,
    Cost,
    Dataset,
    LogProbs,
    Misuse,
    Model,
    Predictor,
    Tokens,
    check_beta,
    check_number,
)
from theory.contracts import Process, Scale, Theory

Shots = tuple[Int[Array, "m w"], Bool[Array, " m"]]


def pairs(data: Dataset) -> Shots:
    """A counted token and the one before it, (m, 2), and which of the rows are counted: a row for every
    token but the first of a document, which has none before it."""
    tokens = jnp.asarray(data.tokens)
    shots = jnp.stack([tokens[:, :-1], tokens[:, 1:]], axis=-1)
    return shots.reshape(-1, 2), jnp.asarray(data.mask)[:, 1:].reshape(-1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prompted:
    """A predictor after shots (m, w) in its context, `strength` of the first `count`; see the module."""

    base: Model
    shots: Int[Array, "*batch m w"]
    count: Int[Array, "*batch"]
    strength: Float[Array, "*batch"]
    starts: int = field(metadata={"static": True})
    length: int | None = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) after as many shots as are wanted, exist and have room."""
        tokens = jnp.asarray(tokens)
        count, width = tokens.shape[1], self.shots.shape[-1]
        length = count if self.length is None else self.length
        if length < count:
            raise Misuse(f"The base reads {length} tokens, got sequences of {count}; raise length.")
        most, room = (length - 1) // width, (length - 1 - jnp.arange(count)) // width
        padded = jnp.pad(tokens, ((0, 0), (0, length - count)))

        def after(number: Array, start: Array) -> LogProbs:
            """Log-probabilities after `number` shots; anything at positions that have no room for them."""
            rows = (start * self.count // self.starts + jnp.arange(most)) % jnp.maximum(self.count, 1)
            before = jnp.pad(self.shots[rows].reshape(-1), (0, length - most * width))
            read = jnp.where(
                jnp.arange(length) < number * width, before, jnp.roll(padded, number * width, axis=1)
            )
            return jnp.roll(self.base.predict(read), -number * width, axis=1)[:, :count]

        def averaged(number: Array) -> LogProbs:
            log_probs = jax.lax.map(lambda start: after(number, start), jnp.arange(self.starts))
            return jax.nn.logsumexp(log_probs, axis=0) - jnp.log(self.starts)

        # by number of shots, for all positions: which of them a position takes is decided below
        log_probs = jax.lax.map(averaged, jnp.arange(most + 1))
        wanted = jnp.minimum(jnp.minimum(self.strength, self.count), room)
        share = jnp.maximum(1 - jnp.abs(wanted - jnp.arange(most + 1)[:, None]), 0)[:, None, :, None]
        # an impossible token has -inf, and 0 × -inf is not 0
        return jax.nn.log_softmax(jnp.sum(jnp.where(share > 0, share * log_probs, 0.0), axis=0), axis=-1)


@dataclass(frozen=True)
class InContext(Theory[Predictor]):
    """`part` cuts D' into shots (m, w) and marks those that count; `starts` and `length` as above."""

    part: Callable[[Dataset], Shots] = pairs
    starts: int = 8
    length: int | None = None
    breaks: dict[str, str] = field(
        default_factory=lambda: {
            "additive": "a second pass interpolates again, and begins at the shots that the first has read"
        }
    )
    optional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, value in (("starts", self.starts), ("length", self.length)):
            if value is not None:
                check_number(name, value, least=1, whole=True)

    def predict(
        self, prior: Predictor, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Prompted:
        """The prior with β documents of D' before every context; `key` shuffles D' (a fixed one without)."""
        check_beta(beta)
        documents = _shuffled(data, jax.random.key(0) if key is None else key)
        shots, counted = self.part(documents)
        first = jnp.argsort(~counted, stable=True)  # those that count, in their order
        count = jnp.sum(counted)
        strength = jnp.asarray(beta, float) * count / data.tokens.shape[0]
        return Prompted(prior, shots[first], count, strength, self.starts, self.length)

    @property
    def cost(self) -> Cost:
        """Passes with shots before every context: two numbers of shots from every start."""
        return Cost(passes=2 * self.starts, per="strength")

    def grid(self, scale: Scale) -> np.ndarray:
        """Up to all of D'."""
        return np.concatenate([[0.0], np.logspace(-2, 0, 13)]).astype(np.float32)

    def note(self, data: Dataset, positions: np.ndarray) -> str:
        """The numbers of shots that have room before the answers, in the fullest and the emptiest context."""
        shots, counted = self.part(data)
        length, count = self.length or data.tokens.shape[-1], int(np.sum(counted))
        room = np.minimum((length - 1 - positions) // shots.shape[-1], count)
        return f"Its contexts have room for {room.min()} to {room.max()} of the {count} shots of D'."


def _shuffled(data: Dataset, key: PRNGKeyArray) -> Dataset:
    """The documents in an order that depends on the key alone, not on the order they came in."""
    columns = jnp.concatenate([jnp.asarray(data.tokens), jnp.asarray(data.mask)], axis=1)
    order = jax.random.permutation(key, jnp.lexsort(columns.T))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[order], data)


def variants(process: Process) -> dict[str, InContext]:
    """At its defaults."""
    return {"in-context": InContext()}


def example() -> InContext:
    """Four contexts, averaged."""
    return InContext(starts=4)
