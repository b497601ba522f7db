"""The config that all studies share: how networks are pretrained, finetuned, sampled and judged. No jax.

A study's config is a `StudyConfig` with its process and the fields of its own arms, and
`config.experiment(process, arms)` makes the experiment of it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.design.options import ProcessOptions, process_options
from experiments.discovery import Catalogue, choose
from theory.errors import Misuse

if TYPE_CHECKING:
    from experiments.design.experiment import Arm, Experiment
    from models.finetuning.method import Method


@dataclass(frozen=True)
class NetworkConfig:
    """The transformer."""

    width: int = 32
    """Width of the residual stream."""
    layers: int = 2
    """Layers."""
    heads: int = 2
    """Attention heads."""
    activation: str = "relu"
    """Nonlinearity of the perceptrons, relu or gelu (smooth)."""


@dataclass(frozen=True)
class PretrainingConfig:
    """The base networks."""

    seeds: int = 4
    """Base networks, each pretrained from a seed of its own."""
    optimizer: str = "muon"
    """Optimizer, muon or adamw."""
    rate: float = 0.01
    """Peak step size."""
    steps: int = 1200
    """Steps."""
    batch: int = 64
    """Documents in a step."""

    def __post_init__(self) -> None:
        check_positive("pretraining", seeds=self.seeds)


@dataclass(frozen=True)
class FinetuningConfig:
    """The finetuned networks."""

    seeds: int = 5
    """Finetuning seeds for each base network (another D', another order), each with a reshuffled replica."""
    n: int = 32
    """Documents in D', fixed and finite."""
    fresh: bool = False
    """Draw new documents at every step instead (D' is then all of them, steps × batch)."""
    batch: int = 16
    """Documents in a finetuning step."""
    methods: tuple[str, ...] = ("sgd", "adam")
    """Ways of finetuning, by name (`finebayes list`)."""
    sgd_rate: float = 0.008
    """Step size of SGD."""
    adam_rate: float = 0.0003
    """Step size of Adam."""
    doses: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Finetuning steps at which the network is looked at, out of one run."""

    def __post_init__(self) -> None:
        check_positive("finetuning", seeds=self.seeds, n=self.n, batch=self.batch)
        check_rates("finetuning", sgd_rate=self.sgd_rate, adam_rate=self.adam_rate)
        if not self.methods:
            raise Misuse("finetuning.methods needs at least one way of finetuning, got none.")
        if len(set(self.methods)) < len(self.methods):
            raise Misuse(f"finetuning.methods must differ from each other, got {', '.join(self.methods)}.")

    @property
    def documents(self) -> int:
        """Documents in D'."""
        return self.doses[-1] * self.batch if self.fresh and self.doses else self.n


@dataclass(frozen=True)
class SamplingConfig:
    """The sampled posteriors over weights."""

    temperatures: tuple[float, ...] = ()
    """Temperatures: mean KL (nats) of the localised prior from the base network; none: do not sample."""
    bases: int = 3
    """Base networks whose posteriors are sampled."""
    seeds: int = 1
    """Finetuning seeds whose posteriors are sampled."""
    chains: int = 2
    """Chains for each posterior, every other one with half the step."""
    warmup: int = 30
    """Steps of a chain before its samples count."""
    samples: int = 80
    """Samples of a chain, one every other step."""
    rounds: int = 2
    """Rounds of chains: a posterior whose chains have not converged gets as many again."""

    def __post_init__(self) -> None:
        check_positive(
            "sampling",
            bases=self.bases,
            seeds=self.seeds,
            chains=self.chains,
            samples=self.samples,
            rounds=self.rounds,
        )


@dataclass(frozen=True)
class StudyConfig:
    """Everything that determines the numbers. The defaults are the preset `small`."""

    process: ProcessOptions = field(default_factory=lambda: process_options("persona-topics"))
    """The process that documents come from."""
    network: NetworkConfig = NetworkConfig()
    """The transformer."""
    pretraining: PretrainingConfig = PretrainingConfig()
    """The base networks."""
    finetuning: FinetuningConfig = FinetuningConfig()
    """The finetuned networks."""
    sampling: SamplingConfig = SamplingConfig()
    """The sampled posteriors over weights."""
    seed: int = 0
    """Master seed: contexts, D' and orders of data follow from it."""
    repeats: int = 4
    """Contexts for each held-out topic in the groups that have a context."""
    theories: tuple[str, ...] = ()
    """Theories to score, by name, or all (default: all but the costly ones)."""
    files: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="with", metavar="FILE.py")
    ] = ()
    """A file of your own with a theory, process, method or sampler (once for each file)."""
    optimise: bool = True
    """Let the compiler optimise; without, programs compile in half the time and run slower (smoke runs)."""

    def __post_init__(self) -> None:
        check_positive("", repeats=self.repeats)
        for name, seed in (("seed", self.seed), ("process.seed", getattr(self.process, "seed", 0))):
            if seed < 0:
                raise Misuse(f"{name} must be at least 0, got {seed}.")

    @property
    def catalogue(self) -> Catalogue:
        """Ours and the user's own theories, processes, methods and samplers."""
        return Catalogue(self.files)

    def experiment(
        self,
        process: Any,
        arms: "Iterable[Arm]",
        methods: "Mapping[str, Method] | None" = None,
        **more: Any,
    ) -> "Experiment":
        """The experiment of these numbers. `methods` are those that the study makes itself; others are found
        by name, at their defaults. `more` are fields of `Experiment`."""
        from experiments.design.experiment import Experiment
        from experiments.design.sampling import Sampling
        from models.finetuning.adam import Adam
        from models.finetuning.sgd import Sgd
        from models.pretraining import Pretraining
        from models.transformer import Architecture
        from theory.mcmc.chains import Plan

        tuned, sampled, catalogue = self.finetuning, self.sampling, self.catalogue
        own = methods or {"sgd": Sgd(tuned.sgd_rate), "adam": Adam(tuned.adam_rate)}
        known = [*own, *(name for name in catalogue.names("methods") if name not in own)]
        chosen = {
            choose("method", name, known): own[name]
            if name in own
            else catalogue.load("methods", name).example()
            for name in tuned.methods
        }
        sampling = Sampling(
            sampled.temperatures,
            plan=Plan(sampled.warmup, sampled.samples, 2),
            chains=sampled.chains,
            rounds=sampled.rounds,
            bases=min(sampled.bases, self.pretraining.seeds),
            seeds=min(sampled.seeds, tuned.seeds),
        )
        fields = {
            "process": process,
            "shape": Architecture(
                self.network.width,
                self.network.layers,
                self.network.heads,
                activation=self.network.activation,
            ),
            "pretraining": Pretraining(
                self.pretraining.optimizer,
                self.pretraining.rate,
                self.pretraining.steps,
                self.pretraining.batch,
            ),
            "base_seeds": self.pretraining.seeds,
            "arms": tuple(arms),
            "methods": chosen,
            "doses": tuned.doses,
            "n": tuned.documents,
            "batch": tuned.batch,
            "seeds": tuned.seeds,
            "seed": self.seed,
            "fresh": tuned.fresh,
            "sampling": sampling if sampled.temperatures else None,
            "theories": self.theories,
            "catalogue": catalogue,
        }
        return Experiment(**fields | more)


def check_positive(section: str, **values: int) -> None:
    """Refuse a count below 1."""
    for name, value in values.items():
        if value < 1:
            raise Misuse(f"{section}{'.' * bool(section)}{name} must be at least 1, got {value}.")


def check_rates(section: str, **values: float) -> None:
    """Refuse a step size that is not above 0 and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise Misuse(f"{section}{'.' * bool(section)}{name} must be above 0 and finite, got {value}.")


def check_some(name: str, values: tuple[Any, ...]) -> None:
    """Refuse a list that is empty."""
    if not values:
        raise Misuse(f"{name} needs at least one entry, got none.")


def check_kinds(kinds: tuple[str, ...]) -> None:
    """Refuse kinds of D' other than a known hypothesis and a new one."""
    if not kinds or not {*kinds} <= {"known", "new"} or len({*kinds}) < len(kinds):
        raise Misuse(f"kinds must be known, new or both, got {list(kinds)}.")


def known(count: int, **hypothesis: int) -> int:
    """A hypothesis that is one of the known ones; the new one has the next number and is an arm of its own."""
    ((name, index),) = hypothesis.items()
    if not 0 <= index < count:
        raise Misuse(
            f"{name} must be one of the known ones, 0 to {count - 1}, got {index}: the new one is the other arm."
        )
    return index


# A run of seconds: small networks, few seeds, no chains, programs that compile fast.
SMOKE: dict[str, Any] = {
    "network.layers": 1,
    "pretraining.steps": 150,
    "pretraining.batch": 32,
    "pretraining.seeds": 2,
    "finetuning.seeds": 2,
    "finetuning.doses": (1, 8, 32),
    "finetuning.n": 16,
    "finetuning.batch": 8,
    "repeats": 2,
    "sampling.temperatures": (),
    "optimise": False,
}
# Shorter still, for the many studies of phenomena: one method, narrow networks, few steps.
BRIEF: dict[str, Any] = SMOKE | {
    "network.width": 8,
    "pretraining.steps": 50,
    "finetuning.methods": ("sgd",),
    "finetuning.doses": (1, 4, 8),
    "repeats": 1,
}
# A run of hours: wider networks, longer pretraining, more seeds.
FULL: dict[str, Any] = {
    "network.width": 64,
    "pretraining.steps": 4000,
    "pretraining.seeds": 6,
    "finetuning.seeds": 10,
    "repeats": 16,
    "finetuning.n": 128,
}
# Chains of a smoke run, and of a run of hours with the networks of `small`.
SHORT_CHAINS: dict[str, Any] = {
    "sampling.temperatures": (0.001,),
    "sampling.warmup": 10,
    "sampling.samples": 12,
    "sampling.rounds": 1,
    "sampling.bases": 1,
    "finetuning.batch": 4,
}
MANY_CHAINS: dict[str, Any] = {
    "pretraining.seeds": 6,
    "finetuning.seeds": 10,
    "sampling.chains": 4,
    "sampling.samples": 200,
    "sampling.seeds": 2,
    "repeats": 16,
}
