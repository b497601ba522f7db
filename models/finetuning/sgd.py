"""Full finetuning by stochastic gradient descent, w ← w - η ∇ℓ(batch), constant step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optax

from models.finetuning.method import Method
from theory.base import check_number
from theory.weights.order_noise import Recipe


@dataclass(frozen=True)
class Sgd(Method):
    """All weights, no momentum."""

    learning_rate: float = 0.008

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, above=0)

    def optimizer(self) -> optax.GradientTransformation:
        """The update rule."""
        return optax.sgd(self.learning_rate)

    def training_time(self, doses: Sequence[int]) -> dict[str, np.ndarray]:
        """η s."""
        return {"identity": self.learning_rate * np.asarray(doses, float)}

    def recipe(self, doses: Sequence[int], batch: int) -> tuple[Recipe, str]:
        """Plain steps."""
        return Recipe(doses, batch, self.learning_rate), "identity"


def example() -> Sgd:
    """The method at its defaults."""
    return Sgd()
