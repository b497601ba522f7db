"""The plan of an experiment that compares context, finetuning and steering, in AddK. No jax."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.design.inside_plan import Plan, check_steering
from theory.errors import Misuse


@dataclass(frozen=True, eq=False)
class CurrenciesPlan(Plan):
    """D' has the k `shift` on some `questions`. Networks are asked after `shots` pairs of a rival, steered by
    `nats`; and after up to `most` pairs, of which the rival has one more than D's k. Probes are fitted on
    `documents` of pretraining."""

    seconds = 2.0
    shift: int
    questions: tuple[int, ...]
    shots: tuple[int, ...] = (0, 1, 2)
    nats: tuple[float, ...] = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
    documents: int = 300
    copies: int = 2

    def __post_init__(self) -> None:
        check_currencies(self.shots, self.nats, self.documents)


def check_currencies(shots: Sequence[int], nats: Sequence[float], documents: int) -> None:
    """Refuse numbers of shots without 0 or without more, and what no steering and no probe can have."""
    if list(shots) != sorted(set(shots)) or shots[:1] != (0,) or len(shots) < 2:
        raise Misuse(
            f"shots must be ascending, 0 and more than 0 among them, got {', '.join(map(str, shots))}."
        )
    check_steering(documents, nats)
