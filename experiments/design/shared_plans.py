"""Plans of experiments on one belief that several read-outs share: alphabets, and names of a coin. No jax."""

from dataclasses import dataclass

from experiments.design.inside_plan import Plan, check_steering


@dataclass(frozen=True, eq=False)
class AlphabetsPlan(Plan):
    """Probes of the `concept` are fitted and scored on about so many `documents` of every alphabet; networks
    are steered by `nats`."""

    seconds = 0.3
    concept: int
    modality: str
    documents: int = 200
    nats: tuple[float, ...] = (-1.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        check_steering(self.documents, self.nats)


@dataclass(frozen=True, eq=False)
class InjectionPlan(Plan):
    """Probes are fitted on some of the `documents` of pretraining; in the others `nats` of every coin are
    injected."""

    seconds = 0.1
    unused = (*Plan.unused, "repeats")
    documents: int = 300
    nats: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)

    def __post_init__(self) -> None:
        check_steering(self.documents, self.nats)
