"""KL-regularised finetuning, a penalty on leaving the base network's answers: ℓ(D') + λ KL, either direction.

    reverse   λ KL(p_w ‖ p_0), as in RL with KL penalties (Korbak et al., arXiv 2205.11275)
    forward   λ KL(p_0 ‖ p_w), as in Learning without Forgetting (Li & Hoiem, arXiv 1606.09282)

KL is of the next token, in nats, averaged over the counted positions of the step's documents of D' ("data")
or of those it replays ("replay"). A predictor that is free in each context of D' ends, in the forward
direction, at (f + λ p_0) / (1 + λ), f the frequencies of D' there: the linear mixture at τ = 1 / (1 + λ).
"""

from dataclasses import dataclass, field

from jaxtyping import Array, Float

from models.finetuning.method import ExtraData, Method, Wrapper, check_contexts, mean_kl
from models.finetuning.sgd import Sgd
from theory.base import Dataset, Misuse, Parametric, check_number


@dataclass(frozen=True)
class KlRegularised(Wrapper):
    """λ is `weight`, at least 0; steps overshoot where η λ times the curvature of the KL exceeds 2."""

    weight: float = 1.0
    direction: str = "reverse"
    contexts: str = "data"
    rule: Method = field(default_factory=Sgd)

    def __post_init__(self) -> None:
        check_number("weight", self.weight, least=0)
        if self.direction not in ("reverse", "forward"):
            raise Misuse(f"direction must be 'reverse' or 'forward', got {self.direction!r}.")
        check_contexts(self.contexts)

    @property
    def needs(self) -> tuple[str, ...]:
        """Documents to replay, if answers are compared on those."""
        return (*self.rule.needs, *["replay"] * (self.contexts == "replay"))

    def loss(self, model: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """The rule's loss and λ KL (nats)."""
        left, right = (model, base) if self.direction == "reverse" else (base, model)
        penalty = mean_kl(left, right, extra.documents(self.contexts, batch))
        return self.rule.loss(model, base, batch, extra) + self.weight * penalty


def example() -> KlRegularised:
    """The method at its defaults."""
    return KlRegularised()
