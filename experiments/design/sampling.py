"""How posteriors over weights are sampled: temperatures, strengths, chains and their thresholds."""

from dataclasses import dataclass
from typing import NamedTuple

from experiments.scoring.thresholds import LIMITS
from theory.errors import Misuse
from theory.mcmc.chains import Plan
from theory.mcmc.diagnostics import Thresholds

PLAN = Plan(30, 50, 2)
THRESHOLDS = Thresholds(**LIMITS)


@dataclass(frozen=True)
class Sampling:
    """How posteriors are sampled: `times` are strengths τ in the identity metric, `adam_times` in Adam's;
    with `fisher` also in the Fisher metric of pretraining documents, scaled to the same curvature. `moments`
    are the steps of Adam after which its metric is taken, for the limits T → 0 in that metric."""

    temperatures: tuple[float, ...] = (1e-4, 1e-3)
    times: tuple[float, ...] = (0.0, 0.008, 0.027, 0.09, 0.3, 1.1)
    adam_times: tuple[float, ...] = (0.0, 0.0003, 0.0006, 0.0012, 0.0024, 0.0036)
    adam_temperatures: tuple[float, ...] = ()
    moments: tuple[int, ...] = ()
    fisher: bool = False
    plan: Plan = PLAN
    chains: int = 2
    rounds: int = 2
    bases: int = 3
    seeds: int = 1
    thresholds: Thresholds = THRESHOLDS

    def __post_init__(self) -> None:
        if self.chains < 2 or self.chains % 2:
            raise Misuse(f"chains must be 2 or more and even (half take half the step), got {self.chains}.")
        if self.bases < 1 or self.seeds < 1:
            raise Misuse(f"Sampled bases and seeds must be at least 1, got {self.bases} and {self.seeds}.")
        if self.rounds < 1:
            raise Misuse(f"rounds must be at least 1, got {self.rounds}.")
        if any(steps < 0 for steps in self.moments):
            raise Misuse(f"moments must be steps of Adam, at least 0, got {self.moments}.")
        for temperature in (*self.temperatures, *self.adam_temperatures):
            if not 0 < temperature < float("inf"):
                raise Misuse(f"temperatures must be above 0 and finite (nats), got {temperature}.")

    def sets(self) -> list["Set"]:
        """The ladders of posteriors."""
        cold = min(self.temperatures)
        told = [
            Set("langevin-posterior", f"T={temperature:g}", 0, temperature, self.times)
            for temperature in self.temperatures
        ]
        warm = self.adam_temperatures or (cold,)
        told += [
            Set("adam-gibbs", f"T={temperature:g}", 1, temperature, self.adam_times) for temperature in warm
        ]
        if self.fisher:
            told.append(Set("langevin-posterior", f"Fisher, T={cold:g}", 2, cold, self.times))
        return told


class Set(NamedTuple):
    """A ladder of posteriors: whose, told as what, in which metric (0 identity, 1 Adam's, 2 Fisher's)."""

    theory: str
    prior: str
    metric: int
    temperature: float
    times: tuple[float, ...]
