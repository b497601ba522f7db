"""Full finetuning by stochastic gradient descent, w ← w - η ∇ℓ(batch), constant step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optax

from models.finetuning.method import Method
from theory.base import Misuse


@dataclass(frozen=True)
class Sgd(Method):
    """All weights, no momentum."""

    learning_rate: float = 0.008

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise Misuse(f"learning_rate must be above 0, got {self.learning_rate}.")

    def optimizer(self) -> optax.GradientTransformation:
        """The update rule."""
        return optax.sgd(self.learning_rate)

    def training_time(self, doses: Sequence[int]) -> dict[str, np.ndarray]:
        """η s."""
        return {"identity": self.learning_rate * np.asarray(doses, float)}


def example() -> Sgd:
    """The method at its defaults."""
    return Sgd()
