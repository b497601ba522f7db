"""Sign descent: every weight moves by the step size, against the sign of its gradient."""

from dataclasses import dataclass

import optax

from models.finetuning.method import Method


@dataclass(frozen=True)
class SignDescent(Method):
    """All weights."""

    learning_rate: float = 0.001

    def optimizer(self) -> optax.GradientTransformation:
        """The update rule."""
        return optax.sign_sgd(self.learning_rate)


def example() -> SignDescent:
    """The method at its defaults."""
    return SignDescent()
