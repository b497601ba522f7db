"""Early stopping: w = argmin ℓ(held-out share of D') over w0 and the weights of every step so far.

The last documents of D' are held out and never trained on; the order of the others is kept, and starts again
where it ends. So on the held-out documents a dose's weights are never worse than w0 or an earlier dose's.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from models.finetuning.method import Method, Wrapper
from models.finetuning.sgd import Sgd
from theory.base import Dataset, Misuse, check_number


@dataclass(frozen=True)
class EarlyStopping(Wrapper):
    """`share` of D' is held out, between 0 and 1, at least one document."""

    share: float = 0.25
    rule: Method = field(default_factory=Sgd)

    def __post_init__(self) -> None:
        check_number("share", self.share, above=0, below=1)

    def split(
        self, data: Dataset, batches: Int[Array, "steps batch"]
    ) -> tuple[Int[Array, "steps batch"], Dataset | None]:
        """The given order without the held-out documents, in batches of the same size; and those."""
        count = data.tokens.shape[0]
        kept = count - max(1, round(self.share * count))
        if not 0 < kept < count or batches.size <= count - kept:
            raise Misuse(
                f"Holding out {count - kept} of {count} documents leaves none of {batches.size} samples to "
                "train on; give it more documents or steps, or a smaller share."
            )
        rows = batches.reshape(-1)
        trained = rows < kept
        # a stable sort puts the rows that are trained on first, in their order; the count of them is traced,
        # so the shape stays and the order wraps around instead
        order = jnp.argsort(~trained, stable=True)[jnp.arange(rows.size) % jnp.sum(trained)]
        return rows[order].reshape(batches.shape), jax.tree.map(lambda leaf: leaf[kept:], data)

    @property
    def by_document(self) -> bool:
        """The last weights do not count."""
        return False


def example() -> EarlyStopping:
    """The method at its defaults."""
    return EarlyStopping()
