"""Full finetuning by Adam (Kingma & Ba, arXiv 1412.6980), constant step, no weight decay."""

from dataclasses import dataclass

import optax

from models.finetuning.method import Method


@dataclass(frozen=True)
class Adam(Method):
    """All weights, moments 0.9 and 0.999 from zero."""

    learning_rate: float = 0.0003

    def optimizer(self) -> optax.GradientTransformation:
        """The optax transformation that is followed."""
        return optax.adam(self.learning_rate)


def example() -> Adam:
    """The method at its defaults."""
    return Adam()
