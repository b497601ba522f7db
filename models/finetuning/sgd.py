"""Full finetuning by stochastic gradient descent, w ← w - η ∇ℓ(batch), constant step."""

from dataclasses import dataclass

import optax

from models.finetuning.method import Method


@dataclass(frozen=True)
class Sgd(Method):
    """All weights, no momentum."""

    learning_rate: float = 0.008

    def optimizer(self) -> optax.GradientTransformation:
        """The optax transformation that is followed."""
        return optax.sgd(self.learning_rate)


def example() -> Sgd:
    """The method at its defaults."""
    return Sgd()
