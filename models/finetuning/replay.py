"""Finetuning that replays a share of pretraining: (1 - ρ) ℓ(D') + ρ ℓ(replayed documents).

    ρ   the share, from 0 (D' alone) to 1 (nothing but replay: pretraining goes on)

Each loss is a mean over the counted positions of its documents, so ρ is a share of the loss whatever their
numbers and lengths. With equally many positions, ρ = 1/2 is a batch that mixes the two.
"""

from dataclasses import dataclass, field

from jaxtyping import Array, Float

from models.finetuning.method import ExtraData, Method, Wrapper
from models.finetuning.sgd import Sgd
from theory.base import Dataset, Parametric, check_number, mean_loss


@dataclass(frozen=True)
class Replay(Wrapper):
    """ρ is `share`."""

    share: float = 0.5
    rule: Method = field(default_factory=Sgd)

    def __post_init__(self) -> None:
        check_number("share", self.share, least=0, most=1)

    @property
    def needs(self) -> tuple[str, ...]:
        """Documents to replay."""
        return (*self.rule.needs, "replay")

    def loss(self, model: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """The rule's loss and that of the replayed documents (nats), in the ratio 1 - ρ to ρ."""
        replayed = mean_loss(model, extra.documents("replay", batch))
        return (1 - self.share) * self.rule.loss(model, base, batch, extra) + self.share * replayed


def example() -> Replay:
    """The method at its defaults."""
    return Replay()
