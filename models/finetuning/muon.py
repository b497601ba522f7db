"""Full finetuning by Muon: each matrix moves by its orthogonalised momentum (Jordan 2024, optax.contrib).

    W ← W - η 0.2 √max(inputs, outputs) O(m),    O(U S Vᵀ) ≈ U Vᵀ by five Newton-Schulz iterations

The factor gives a step the size of Adam's (Liu et al., arXiv 2502.16982), as in pretraining. A step's size
does not depend on the gradient's, so a gradient of nothing but rounding errors moves the weights as far as
any other.
"""

from dataclasses import dataclass

import optax
import optax.contrib

from models.finetuning.method import Method
from theory.base import check_number


@dataclass(frozen=True)
class Muon(Method):
    """All weights, Nesterov momentum `decay` from 0 to below 1; what is no matrix follows Adam."""

    learning_rate: float = 0.001
    decay: float = 0.95

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, above=0)
        check_number("decay", self.decay, least=0, below=1)

    def optimizer(self) -> optax.GradientTransformation:
        """The update rule."""
        return optax.contrib.muon(self.learning_rate, beta=self.decay, consistent_rms=0.2)


def example() -> Muon:
    """The method at its defaults."""
    return Muon()
