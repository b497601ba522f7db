"""Sampling of posteriors over weights: temperatures, strengths, chains and their thresholds."""

import itertools
from dataclasses import dataclass

from experiments.scoring.thresholds import LIMITS
from theory.contracts import name_of
from theory.errors import Misuse
from theory.mcmc.chains import Plan
from theory.mcmc.diagnostics import Thresholds
from theory.theories.adam_gibbs import AdamGibbs
from theory.theories.langevin_posterior import LangevinPosterior

IDENTITY, ADAM, FISHER = 0, 1, 2  # metrics, in the order in which they are prepared
PLAN = Plan(30, 50, 2)
MOST_MOMENTS = 10_000  # steps of Adam whose metric is taken: each one is run for every base network
THRESHOLDS = Thresholds(**LIMITS)


@dataclass(frozen=True)
class Sampling:
    """The plan of sampled posteriors: `times` are strengths τ in the identity metric, `adam_times` in Adam's;
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
        for steps in self.moments:
            if not 0 <= steps <= MOST_MOMENTS:
                raise Misuse(f"moments must be steps of Adam, from 0 to {MOST_MOMENTS}, got {steps}.")
        if len({*self.moments}) < len(self.moments):
            raise Misuse(f"moments must differ from each other, got {', '.join(map(str, self.moments))}.")
        for times in (self.times, self.adam_times):
            for time in times:
                if not 0 <= time < float("inf"):
                    raise Misuse(f"times must be finite and at least 0, got {time}.")
            if len(times) < 2 or times[0] != 0 or any(b <= a for a, b in itertools.pairwise(times)):
                given = ", ".join(f"{time:g}" for time in times)
                raise Misuse(f"times must be at least two, ascending from 0, got {given or 'none'}.")
        for temperature in (*self.temperatures, *self.adam_temperatures):
            if not 0 < temperature < float("inf"):
                raise Misuse(f"temperatures must be above 0 and finite (nats), got {temperature}.")
        for temperatures in (self.temperatures, self.adam_temperatures):
            labels = [f"{temperature:g}" for temperature in temperatures]  # they name the ladders
            if len(set(labels)) < len(labels):
                raise Misuse(f"temperatures must differ in six digits, got {', '.join(labels)}.")

    def sets(self) -> list["PosteriorSet"]:
        """The ladders of posteriors: isotropic at every temperature, in Adam's metric at the coldest (or at
        all
        of `adam_temperatures`), and in the Fisher metric at the coldest, if asked for."""
        isotropic, adam = name_of(LangevinPosterior), name_of(AdamGibbs)
        coldest = min(self.temperatures)
        sets = [PosteriorSet(isotropic, f"T={t:g}", IDENTITY, t, self.times) for t in self.temperatures]
        for temperature in self.adam_temperatures or (coldest,):
            sets.append(PosteriorSet(adam, f"T={temperature:g}", ADAM, temperature, self.adam_times))
        if self.fisher:
            sets.append(PosteriorSet(isotropic, f"Fisher, T={coldest:g}", FISHER, coldest, self.times))
        return sets


@dataclass(frozen=True)
class PosteriorSet:
    """A ladder of posteriors over learning-rate times τ: its theory, the label of its prior, and its
    metric."""

    theory: str
    prior: str
    metric: int
    temperature: float
    times: tuple[float, ...]

    @property
    def metric_name(self) -> str:
        """The metric whose learning-rate time forecasts its strength; "" where none does."""
        return ("identity", "adam", "")[self.metric]
