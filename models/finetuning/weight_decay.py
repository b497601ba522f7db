"""Finetuning with weight decay towards the base: ℓ(D') + (λ/2) ‖w - w0‖² (Li et al., arXiv 1802.01483).

Its fixed point is the proximal theory's w at τ = 1/λ; a mode of curvature h whose optimum is c ends at
w0 + h/(h + λ) (c - w0). The distance is that of the numbers that move: of LoRA's factors from their start,
say. The penalty is part of the loss: under Adam it is rescaled with the gradient, not decoupled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import optax
from jaxtyping import Array, Float

from models.finetuning.method import ExtraData, Method, Wrapper
from models.finetuning.sgd import Sgd
from theory.base import Dataset, Parametric, check_number


@dataclass(frozen=True)
class WeightDecay(Wrapper):
    """λ is `weight`, at least 0, in nats per squared weight."""

    weight: float = 0.1
    rule: Method = field(default_factory=Sgd)

    def __post_init__(self) -> None:
        check_number("weight", self.weight, least=0)

    def loss(self, model: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """The rule's loss and the penalty (nats)."""
        moved = optax.tree.norm(optax.tree.sub(model.params, base.params), squared=True)
        return self.rule.loss(model, base, batch, extra) + 0.5 * self.weight * moved

    def training_time(self, doses: Sequence[int]) -> dict[str, np.ndarray]:
        """(1 - e^{-λ η s}) / λ around SGD: gradient flow of a flat mode that is pulled back meanwhile.

        Under another rule the penalty is not a flow of its own, and there is none.
        """
        if not isinstance(self.rule, Sgd):
            return {}
        plain = self.learning_rate * np.asarray(doses, float)
        return {"identity": -np.expm1(-self.weight * plain) / self.weight if self.weight else plain}


def example() -> WeightDecay:
    """The method at its defaults."""
    return WeightDecay()
