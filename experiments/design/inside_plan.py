"""Plans of experiments that measure the inside of networks: the base class, and that of beliefs. No jax.

A study with measures of its own has a plan of its own. Its cells are of the kind `inside`: one for each arm
and base network, all methods in it. `experiments.cells.programs.inside_programs` has what measures by the
plan, and `experiments.storage.contents.CONTENTS` what such a cell can hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments.design.unused import SCORES
from theory.errors import Misuse

if TYPE_CHECKING:
    from theory.latent.mixture import Mixture


class Plan:
    """Plan of what is measured inside of base networks and their finetuned ones."""

    seconds: ClassVar[float] = 3.0  # of a finetuned network at one dose, about, for estimates of time
    unused: ClassVar[tuple[str, ...]] = (*SCORES, "retrained.")
    """Options of a study's config that have no effect, by name or group."""


@dataclass(frozen=True, eq=False)
class InsidePlan(Plan):
    """Probes are fitted and scored on `documents` of pretraining, held out by document; networks are steered
    by `nats`, 0 among them. `foreign` is a process of settings that pretraining never had, with the same
    tokens; the belief of its filter is of no use to the network."""

    foreign: "Mixture"
    documents: int = 400
    nats: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)

    def __post_init__(self) -> None:
        check_steering(self.documents, self.nats)


def check_steering(documents: int, nats: Sequence[float]) -> None:
    """Refuse too few documents, and a ladder of nats without 0 or without more."""
    if documents < 20:
        raise Misuse(f"Probes need at least 20 documents, got {documents}.")
    if list(nats) != sorted(set(nats)) or 0.0 not in nats or max(nats, default=0.0) <= 0:
        raise Misuse(
            f"Steering needs ascending nats, 0 and more than 0 among them, got {', '.join(map(str, nats))}."
        )
