"""Finetuning whose KL penalty is lifted: ℓ(D') + λ KL for the first steps, ℓ(D') alone after them.

The penalty is that of models.finetuning.kl_regularised, on the documents that are replayed; from step `steps`
on none of them is counted, so the network moves freely. The state of the rule (Adam's moments) carries over.
"""

from dataclasses import dataclass, field, replace

import jax.numpy as jnp

from models.finetuning.kl_regularised import KlRegularised
from models.finetuning.method import Wrapper
from theory.base import Dataset, Misuse, check_number


@dataclass(frozen=True)
class KlLifted(Wrapper):
    """The rule's penalty holds for `steps` steps, at least 0 (none: it never holds)."""

    steps: int = 64
    rule: KlRegularised = field(default_factory=lambda: KlRegularised(contexts="replay"))

    def __post_init__(self) -> None:
        check_number("steps", self.steps, least=0, whole=True)
        if self.rule.contexts != "replay":
            raise Misuse(
                "KlLifted needs a rule whose penalty is on replayed documents, contexts='replay', got "
                f"{self.rule.contexts!r}."
            )

    def replayed(self, replay: Dataset) -> Dataset:
        """The rule's documents, none of them counted from step `steps` on."""
        penalised = jnp.arange(len(replay.mask)) < self.steps
        documents = self.rule.replayed(replay)
        return replace(documents, mask=documents.mask & penalised[:, None, None])


def example() -> KlLifted:
    """The method at its defaults."""
    return KlLifted()
