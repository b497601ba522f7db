"""Biased coins: every document is tossed with one hidden coin."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theory.base import Dataset, Key, LogProbs, Tokens, host_stream
from theory.compute.random import categorical
from theory.contracts import Task
from theory.latent.documents import check_at_least, check_documents, dataset, prompts
from theory.latent.mixture import Mixture


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Coin:
    """A coin: log p(tails), log p(heads)."""

    log_probs: Float[Array, "*batch v"]
    length: int = field(metadata={"static": True})

    def predict(self, tokens: Tokens) -> LogProbs:
        """The same at every position."""
        return jnp.broadcast_to(self.log_probs, (*tokens.shape, self.log_probs.shape[-1]))

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents."""
        return categorical(key, self.log_probs, shape=(n, self.length))


@dataclass(frozen=True)
class Coins:
    """The process and its tasks."""

    biases: tuple[float, ...] = (0.2, 0.5, 0.8)
    """Probability of heads of each coin."""
    length: int = 6
    """Tosses in a document."""

    def __post_init__(self) -> None:
        check_at_least(2, length=self.length)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return 2

    @property
    def answer_tokens(self) -> slice:
        """All tokens."""
        return slice(0, 2)

    def distribution(self) -> Mixture:
        """The exact process, a mixture of coins."""
        heads = jnp.asarray(self.biases)
        coins = Coin(jnp.log(jnp.stack([1 - heads, heads], axis=-1)), self.length)
        return Mixture(coins, jnp.full(len(self.biases), -jnp.log(float(len(self.biases)))))

    def answer_mask(self) -> np.ndarray:
        """All positions."""
        return np.ones(self.length, bool)

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        return "tails", "heads"

    def elicitation_contexts(self) -> Dataset:
        """The first toss, before anything is known of the coin."""
        return dataset(np.zeros((1, self.length), np.int32), np.arange(self.length) == 0)

    def task(self, coin: int = 0, repeats: int = 4) -> Task:
        """D' of one coin; the contexts are like D', or the toss after heads alone and tails alone."""

        def data(key: Key, n: int) -> Dataset:
            check_documents(n)
            tosses = host_stream(key).random((n, self.length)) < self.biases[coin]
            return dataset(tosses.astype(np.int32), self.answer_mask())

        def contexts(key: Key) -> dict[str, Dataset]:
            streaks = np.repeat([[1], [0]], self.length - 1, axis=1)
            in_domain = data(jax.random.fold_in(key, 0), repeats)
            return {"in_domain": in_domain, "conflict": prompts(self.length, streaks)}

        return Task(f"coin{coin}", data, contexts)


def example() -> Coins:
    """Two tosses of two coins."""
    return Coins(biases=(0.3, 0.9), length=2)
