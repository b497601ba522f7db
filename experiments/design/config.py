"""The config that all studies share: how networks are pretrained, finetuned, sampled and judged. No jax.

A study's config is a `StudyConfig` with its process and the fields of its own arms, and
`config.experiment(process, arms)` makes the experiment of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Self

import tyro

from experiments.design.checks import (
    FIT_ON,
    LARGEST_SEED,
    MOST_NETWORKS,
    check_choice,
    check_numbers,
    check_positive,
    check_rates,
    in_words,
)
from experiments.design.options import ProcessOptions, options, process_options
from experiments.design.retraining import Retraining
from experiments.discovery import Catalogue
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
    """Layers, each of attention and a perceptron."""
    heads: int = 2
    """Attention heads of a layer, which must divide the width."""
    activation: str = "relu"
    """Nonlinearity of the perceptrons, relu or gelu (smooth)."""
    output_scale: float = 1.0
    """Scale γ0 by which outputs are divided, step sizes growing with it: features move γ0 times as far."""

    def __post_init__(self) -> None:
        check_rates("network", output_scale=self.output_scale)


@dataclass(frozen=True)
class PretrainingConfig:
    """The base networks."""

    seeds: int = 4
    """Base networks, each pretrained from a seed of its own."""
    groups: int = 1
    """Groups of base networks, as many in each: one is pretrained, to an end of its own, and finetuned before
    the next. The first figure comes sooner."""
    optimizer: str = "muon"
    """Optimizer, muon or adamw."""
    rate: float | None = None
    """Step size; none: by a measured rule from optimizer and width (`models.pretraining.default_rate`)."""
    steps: int = 1200
    """Pretraining steps."""
    until_learnt: float | None = None
    """Share of inference at which pretraining ends, once every network has learnt it; `steps` are then the
    most, and a network that stalls goes on from smaller weights. None: all steps."""
    batch: int = 64
    """Documents in a pretraining step, new ones in each."""
    targets: str = "exact"
    """Targets of the loss at every position: exact, the process's distribution of the next token given those
    before it, or tokens, the token that was drawn."""

    def __post_init__(self) -> None:
        check_positive("pretraining", seeds=self.seeds, groups=self.groups)
        if self.seeds % self.groups:
            raise Misuse(
                f"pretraining.groups must divide pretraining.seeds = {self.seeds}, got {self.groups}."
            )
        if self.rate is not None:
            check_rates("pretraining", rate=self.rate)
        if self.seeds > MOST_NETWORKS:
            raise Misuse(f"pretraining.seeds must be at most {MOST_NETWORKS}, got {self.seeds}.")


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
    """Methods of finetuning, by name (`finebayes list`)."""
    sgd_rate: float = 0.008
    """Step size of SGD."""
    adam_rate: float = 0.0003
    """Step size of Adam."""
    doses: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Finetuning steps after which networks are compared, all out of one run, ascending."""

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
    """Temperatures, mean KL (nats) of the localised prior from the base network; none: no sampling."""
    bases: int = 3
    """Base networks whose posteriors are sampled."""
    seeds: int = 1
    """Finetuning seeds whose posteriors are sampled."""
    chains: int = 2
    """Chains for each posterior, an even number: every other one takes half the step."""
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
        if self.chains % 2:
            raise Misuse(
                f"sampling.chains must be 2 or more and even (half take half the step), got {self.chains}."
            )
        if self.warmup < 0:
            raise Misuse(f"sampling.warmup must be at least 0, got {self.warmup}.")


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
    retrained: Retraining = field(default_factory=Retraining)
    """Networks pretrained from scratch on D and D'."""
    seed: int = 0
    """Master seed: contexts, D' and orders of data follow from it."""
    process_seeds: int = 1
    """Draws of the process (of its tables), by seeds from `process.seed` on, each with base networks of its
    own."""
    repeats: int = 4
    """Contexts for each held-out topic in the groups that have a context."""
    theories: tuple[str, ...] = ()
    """Theories to score, by name, or all; none: all but the costly ones."""
    fit_on: str = "first"
    """In-domain answers on which strengths are fitted: the first of each document, or all."""
    anchored: bool = True
    """Start theories of hypotheses from the base network's answers instead of the process's."""
    files: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="with", metavar="FILE.py")
    ] = ()
    """A file of your own with a theory, process, method or sampler (once for each file)."""
    optimise: bool = True
    """Let the compiler optimise; without, programs compile in half the time and run slower (smoke runs)."""

    def __post_init__(self) -> None:
        check_positive("", repeats=self.repeats, process_seeds=self.process_seeds)
        check_choice("fit_on", self.fit_on, FIT_ON)
        networks = self.process_seeds * self.pretraining.seeds
        if networks > MOST_NETWORKS:
            raise Misuse(
                f"process_seeds × pretraining.seeds must be at most {MOST_NETWORKS}, got {networks}."
            )
        if self.pretraining.groups > 1 and (self.retrained.shares or self.sampling.temperatures):
            raise Misuse(
                "pretraining.groups must be 1 where networks are retrained or posteriors sampled, got "
                f"{self.pretraining.groups}."
            )
        if self.process_seeds > 1 and not hasattr(self.process, "seed"):
            kind = type(self.process).__name__.removesuffix("Options")
            raise Misuse(
                f"process_seeds must be 1 for {kind}, which has no seed: nothing of it is drawn; got "
                f"{self.process_seeds}."
            )
        for name, seed in (("seed", self.seed), ("process.seed", getattr(self.process, "seed", 0))):
            if seed < 0:
                raise Misuse(f"{name} must be at least 0, got {seed}.")
            if seed + self.process_seeds - 1 > LARGEST_SEED:
                raise Misuse(f"{name} must be at most {LARGEST_SEED}, got {in_words(seed)}.")
        check_numbers(options(self))

    def draws(self) -> "list[Self]":
        """The config of every draw of the process, each of one process."""
        if self.process_seeds == 1:
            return [self]
        first = self.process.seed  # pyright: ignore[reportAttributeAccessIssue] (checked above)
        return [
            replace(self, process_seeds=1, process=replace(self.process, seed=first + draw))
            for draw in range(self.process_seeds)
        ]

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
        from experiments.design.assembly import assemble

        return assemble(self, process, arms, methods, more)
