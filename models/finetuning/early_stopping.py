"""Finetuning stopped early: w = argmin ℓ(held-out share of D') over w0 and the weights of every step so far.

The last documents of D' are held out and never trained on; the order of the others is kept, and starts again
where it ends. So the weights of a dose are never worse on what is held out than w0 or an earlier dose's.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from models.finetuning.method import Method, Wrapper
from models.finetuning.sgd import Sgd
from theory.base import Dataset, Misuse


@dataclass(frozen=True)
class EarlyStopping(Wrapper):
    """`share` of D' is held out, between 0 and 1, at least one document."""

    share: float = 0.25
    rule: Method = field(default_factory=Sgd)

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise Misuse(f"share must be between 0 and 1, got {self.share}.")

    def split(
        self, data: Dataset, batches: Int[Array, "steps batch"]
    ) -> tuple[Int[Array, "steps batch"], Dataset | None]:
        """The given order without the held-out documents, in batches of the same size; and those."""
        count = data.tokens.shape[0]
        left = count - max(1, round(self.share * count))
        if not 0 < left < count or batches.size <= count - left:
            held, samples = count - left, batches.size
            raise Misuse(
                f"Holding out {held} of {count} documents leaves none of {samples} draws to train on."
            )
        rows = batches.reshape(-1)
        trained = rows < left
        order = jnp.argsort(~trained, stable=True)[jnp.arange(rows.size) % jnp.sum(trained)]
        return rows[order].reshape(batches.shape), jax.tree.map(lambda leaf: leaf[left:], data)


def example() -> EarlyStopping:
    """The method at its defaults."""
    return EarlyStopping()
