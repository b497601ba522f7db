"""Full finetuning by Adam (Kingma & Ba, arXiv 1412.6980), constant step, no weight decay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optax

from models.finetuning.method import Method
from theory.base import check_number
from theory.weights.order_noise import Recipe


@dataclass(frozen=True)
class Adam(Method):
    """All weights, moments 0.9 and 0.999 from zero."""

    learning_rate: float = 0.0003

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, above=0)

    def optimizer(self) -> optax.GradientTransformation:
        """The update rule."""
        return optax.adam(self.learning_rate)

    def training_time(self, doses: Sequence[int]) -> dict[str, np.ndarray]:
        """η s in Adam's metric, that of its second moments v: a step divides by √v."""
        return {"adam": self.learning_rate * np.asarray(doses, float)}

    def recipe(self, doses: Sequence[int], batch: int) -> tuple[Recipe, str]:
        """Steps in a metric that is held, with Adam's own momentum."""
        return Recipe(doses, batch, self.learning_rate, 0.9, bias_corrected=True), "adam"


def example() -> Adam:
    """The method at its defaults."""
    return Adam()
