"""Distillation: the network learns a teacher's answers, KL(teacher ‖ p_w) (Hinton et al., arXiv 1503.02531).

With an exact tempered posterior for a teacher this is a positive control: at its end the network *is*
Bayesian, and must be scored so. KL is of the next token, in nats, averaged over the counted positions of the
documents that are replayed ("replay": the process's own, so that the teacher is learnt everywhere) or of D'
("data": only there). It replaces the rule's loss; the tokens of D' are not learnt.
"""

from dataclasses import dataclass, field

from jaxtyping import Array, Float

from models.finetuning.adam import Adam
from models.finetuning.method import ExtraData, Method, Wrapper, check_contexts, mean_kl
from theory.base import Dataset, Parametric


@dataclass(frozen=True)
class Distillation(Wrapper):
    """The teacher is `ExtraData.teacher`; it may give a token probability 0."""

    contexts: str = "replay"
    rule: Method = field(default_factory=lambda: Adam(0.003))

    def __post_init__(self) -> None:
        check_contexts(self.contexts)

    @property
    def needs(self) -> tuple[str, ...]:
        """A teacher, and documents to replay if it is learnt on those."""
        return (*self.rule.needs, "teacher", *["replay"] * (self.contexts == "replay"))

    def loss(self, model: Parametric, base: Parametric, batch: Dataset, extra: ExtraData) -> Float[Array, ""]:
        """KL(teacher ‖ network) (nats)."""
        return mean_kl(extra.teacher, model, extra.documents(self.contexts, batch))


def example() -> Distillation:
    """The method at its defaults."""
    return Distillation()
