"""Self-distillation: the network learns the answers of its base, KL(p_0 ‖ p_w). Nothing should move.

A negative control: the loss and its gradient are zero at w0, so any shift that is scored is rounding. Its
rule must be one whose steps vanish with the gradient, as SGD's do: Adam and Muon make full steps of rounding
errors.
"""

from dataclasses import dataclass, field

from jaxtyping import Array, Float

from models.finetuning.method import ExtraData, Method, Wrapper, mean_kl
from models.finetuning.sgd import Sgd
from theory.base import Dataset, Parametric


@dataclass(frozen=True)
class SelfDistillation(Wrapper):
    """Answers are learnt at the counted positions of D'."""

    rule: Method = field(default_factory=Sgd)

    def loss(self, model: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """KL(base ‖ network) (nats)."""
        return mean_kl(base, model, batch)


def example() -> SelfDistillation:
    """The method at its defaults."""
    return SelfDistillation()
