"""The plan of an experiment that asks whether two factors of a belief are held apart or together. No jax."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.design.inside_plan import Plan
from theory.errors import Misuse

if TYPE_CHECKING:
    from theory.latent.mixture import Mixture


@dataclass(frozen=True, eq=False)
class FactorsPlan(Plan):
    """Probes are fitted and scored on `documents` of pretraining, and on as many of every domain; `persona`
    and `domain` are those of D'. `foreign` is a process of settings that pretraining never had, with the same
    tokens, whose filter is of no use to the network."""

    seconds = 0.2
    foreign: "Mixture"
    persona: int = 1
    domain: int = 0
    documents: int = 300

    def __post_init__(self) -> None:
        if self.documents < 20:
            raise Misuse(f"Probes need at least 20 documents, got {self.documents}.")
