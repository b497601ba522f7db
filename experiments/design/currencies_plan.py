"""The plan of an experiment that compares context, finetuning and steering, in AddK. No jax."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.design.inside_plan import Plan, check_steering
from theory.errors import Misuse


@dataclass(frozen=True, eq=False)
class CurrenciesPlan(Plan):
    """D' has the k `shift` on some `questions`. Networks are asked after `shots` pairs of a rival, steered by
    `nats`; and after many pairs, of which the rival has one more than D's k. They are also finetuned while
    they are steered by `training_nats`. Probes are fitted on `documents` of pretraining."""

    seconds = 2.0
    unused = (*Plan.unused, "repeats")
    shift: int
    questions: tuple[int, ...]
    shots: tuple[int, ...] = (0, 1, 2)
    nats: tuple[float, ...] = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
    documents: int = 300
    training_nats: tuple[float, ...] = (-2.0, 2.0)
    copies: int = 2

    def __post_init__(self) -> None:
        check_currencies(self.shots, self.nats, self.documents, self.training_nats)


def check_currencies(
    shots: Sequence[int], nats: Sequence[float], documents: int, training_nats: Sequence[float]
) -> None:
    """Refuse numbers of shots without 0 or without more, and what no steering and no probe can have."""
    if list(training_nats) != sorted(set(training_nats)) or 0.0 in training_nats or not training_nats:
        raise Misuse(
            "training_nats must be ascending and none of them 0, as that is no steering, got "
            f"{', '.join(map(str, training_nats)) or 'none'}."
        )
    if list(shots) != sorted(set(shots)) or shots[:1] != (0,) or len(shots) < 2:
        raise Misuse(
            f"shots must be ascending, 0 and more than 0 among them, got {', '.join(map(str, shots))}."
        )
    check_steering(documents, nats)
