"""Finetuning with weight decay towards the base: ℓ(D') + (λ/2) ‖w - w0‖² (Li et al., arXiv 1802.01483).

What it settles at is the proximal theory's w at τ = 1/λ; a mode of curvature h that prefers c ends at
w0 + h/(h + λ) (c - w0). The distance is that of what moves: in LoRA's coordinates, of the factors from
their start. The penalty is part of the loss: under Adam it is rescaled with the gradient, not decoupled.
"""

from dataclasses import dataclass, field

import optax
from jaxtyping import Array, Float

from models.finetuning.method import ExtraData, Method, Wrapper
from models.finetuning.sgd import Sgd
from theory.base import Dataset, Misuse, Parametric


@dataclass(frozen=True)
class WeightDecay(Wrapper):
    """λ is `weight`, at least 0, in nats per squared weight."""

    weight: float = 0.1
    rule: Method = field(default_factory=Sgd)

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise Misuse(f"weight must be at least 0, got {self.weight}.")

    def loss(self, told: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """The rule's loss and the penalty (nats)."""
        moved = optax.tree.norm(optax.tree.sub(told.params, base.params), squared=True)
        return self.rule.loss(told, base, batch, extra) + 0.5 * self.weight * moved


def example() -> WeightDecay:
    """The method at its defaults."""
    return WeightDecay()
