"""Full finetuning by SGD with heavy-ball momentum: v ← μ v + ∇ℓ(batch), w ← w - η v (Polyak 1964).

A constant gradient moves the weights η / (1 - μ) a step in the long run, so η × steps understates the
training time of plain gradient descent by the factor 1 - μ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optax

from models.finetuning.method import Method
from theory.base import check_number
from theory.weights.order_noise import Recipe


@dataclass(frozen=True)
class Momentum(Method):
    """All weights; `decay` is μ, from 0 to below 1. No dampening."""

    learning_rate: float = 0.001
    decay: float = 0.9

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, above=0)
        check_number("decay", self.decay, least=0, below=1)

    def optimizer(self) -> optax.GradientTransformation:
        """The update rule."""
        return optax.sgd(self.learning_rate, momentum=self.decay)

    def training_time(self, doses: Sequence[int]) -> dict[str, np.ndarray]:
        """η Σ_{k=1..s} (1 - μ^k) / (1 - μ): how far a constant gradient moves the weights in s steps."""
        steps = np.asarray(doses, float)
        travelled = (steps - self.decay * (1 - self.decay**steps) / (1 - self.decay)) / (1 - self.decay)
        return {"identity": self.learning_rate * travelled}

    def recipe(self, doses: Sequence[int], batch: int) -> tuple[Recipe, str]:
        """A recipe's v is a mean of gradients: 1 - μ times that of here."""
        return Recipe(doses, batch, self.learning_rate / (1 - self.decay), self.decay), "identity"


def example() -> Momentum:
    """The method at its defaults."""
    return Momentum()
