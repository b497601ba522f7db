"""The plan of an experiment that measures the inside of networks. No jax."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments.storage.records import CellKind
from theory.errors import Misuse

if TYPE_CHECKING:
    from theory.latent.mixture import Mixture


@dataclass(frozen=True, eq=False)
class InsidePlan:
    """Probes are fitted and scored on `documents` of pretraining, held out by document; networks are steered
    by `nats`, 0 among them. `foreign` is a process of settings that pretraining never had, with the same
    tokens; the belief of its filter is of no use to the network."""

    kind: ClassVar[CellKind] = "inside"
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
