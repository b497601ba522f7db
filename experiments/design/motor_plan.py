"""The plan of an experiment that probes events of the next tokens, from words and from labels. No jax."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments.design.inside_plan import Plan
from theory.errors import Misuse

if TYPE_CHECKING:
    from theory.latent.mixture import Mixture


@dataclass(frozen=True, eq=False)
class MotorPlan(Plan):
    """Probes of `events`, descriptions in words of the process, are fitted with each number of `labels`,
    ascending, with at most `soft` exact ones, and in finetuned networks with at most `refitted`; they are
    judged in `judged` documents that the network writes, some contexts in each. Hypothesis `writer` is the
    other writer; networks are steered in `steered` contexts. `foreign` is a process of settings that
    pretraining never had, with the same tokens, whose chances of events are of no use to the network."""

    events: tuple[str, ...]
    writer: int
    labels: tuple[int, ...] = (64, 256, 1024, 4096, 16384)
    soft: int = 4096
    refitted: int = 4096
    judged: int = 64
    steered: int = 48
    foreign: "Mixture | None" = None
    seconds: ClassVar[float] = 6.0
    unused: ClassVar[tuple[str, ...]] = (*Plan.unused, "repeats")

    def __post_init__(self) -> None:
        check_labels(self.labels, self.soft, self.refitted, self.judged, self.steered)
        if not self.events:
            raise Misuse("A probe of an event needs its description, got no events.")


def check_labels(labels: tuple[int, ...], soft: int, refitted: int, judged: int, steered: int) -> None:
    """Refuse numbers of labels, of documents to judge on and of contexts to steer in that are too small or do
    not ascend."""
    if not labels or list(labels) != sorted(set(labels)) or labels[0] < 8 or labels[-1] > 1 << 16:
        raise Misuse(f"labels must ascend from 8 at least to {1 << 16} at most, got {labels}.")
    for name, count in (("soft", soft), ("refitted", refitted)):
        if not labels[0] <= count:
            raise Misuse(f"{name} must be at least the fewest labels, {labels[0]}, got {count}.")
    for name, count in (("judged", judged), ("steered", steered)):
        if count < 8:
            raise Misuse(f"{name} must be at least 8, got {count}.")
