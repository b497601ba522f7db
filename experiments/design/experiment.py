"""Experiment: what a study pretrains and finetunes, on which data, and where it is judged.

Its cells, the least parts of a run that are redone, are for each base network and arm

    theories      every theory's answers over its grid of strengths, from the base network and D'
    posteriors    posteriors over weights, sampled, with their convergence diagnostics
    retrained     networks pretrained from scratch on D and shares of D', where a study asks for them
    finetuned     for each way of finetuning, the finetuned networks' answers at every dose
    replays       for each way of finetuning, the theories that follow it step by step, and forecasts of β

or, in place of these, for each base network, arm and way of finetuning

    axioms        answers after sequences of finetunings, on which the axioms of Bayes are measured

or, for each base network and arm,

    inside        what probes find inside of the base network and its finetuned ones
    curves        the curve of a number in their streams, in place of that
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Array

from experiments.design import random_streams
from experiments.design.axiom_plan import AxiomPlan
from experiments.design.checks import FIT_ON, check_choice, check_process
from experiments.design.inside_plan import Plan
from experiments.design.retraining import Retraining
from experiments.design.sampling import Sampling
from experiments.design.sizes import check_sizes
from experiments.discovery import Catalogue
from experiments.storage.records import Cell, check_name
from models.finetuning.early_stopping import EarlyStopping
from models.finetuning.method import Method
from models.network import Network
from models.pretraining import Pretraining
from models.transformer import Architecture
from theory.base import Dataset
from theory.compute.descent import check_doses
from theory.contracts import Process, Scale, Task, Theory, Training
from theory.errors import Misuse
from theory.latent.mixture import Mixture

EVERY = "all"  # in place of theories' names: every one, the optional included


@dataclass(frozen=True, eq=False)
class Arm:
    """One narrow D' and the contexts it is judged on.

    Where a `teacher` writes D', it is made of a base network alone, so that a run can be resumed, and
    `task.data`
    gets it after the key and n. It is made of the base network `teacher_offset` after the student's,
    cyclically. `rival` is a second D', for the axioms of Bayes. A `batch` (documents in a finetuning step)
    and an `n` (documents in D') of its own may be smaller than the experiment's.
    """

    task: Task
    batch: int | None = None
    teacher: Callable[[Network], Network] | None = None
    teacher_offset: int = 0
    rival: Task | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        check_name("The arm", self.name)
        if self.teacher is not None and not _takes(self.task.data, 3):
            raise Misuse(
                f"The data of the task {self.task.name} take no teacher; omit it, or make them "
                "data(key, n, teacher), as those of theory.processes.subliminal."
            )

    @property
    def name(self) -> str:
        """The task's name, with the arm's own batch behind it."""
        return f"{self.task.name}-batch{self.batch}" if self.batch else self.task.name


@dataclass(frozen=True, eq=False)
class Experiment:
    """Everything that a study pretrains, finetunes and predicts.

    `theories` are the names of those to score, or "all"; by default all that are not optional, and
    `extra_theories` with them. `more_theories` are instances by name, each in place of one so called.
    `first_base` is the number of the first base network among those of a run, which may have several
    experiments, and `first_seed` among those of its draw of the process. Strengths are fitted on the
    in-domain answers `fit_on`, the "first" of each document or "all"; theories of hypotheses are `anchored`
    at the base network, or start from the process. `teacher_strength` is β of the tempered posterior that
    teaches where a method distils. `replayed` writes the documents that methods replay (None: the process).
    `observe` is what else is looked at, of a network and an arm's contexts (tokens): {name: an array with a
    row each}; it reads `observed_tokens` with each network, for estimates of time. With a plan of `axioms` no
    theory is scored: its cells are those of the axioms alone; with a plan of the `inside`, those of the
    inside, or of curves, alone. With `measures` cells also hold the candidates for an explanation that are
    known before finetuning (experiments.cells.measures).
    """

    process: Process
    shape: Architecture
    pretraining: Pretraining
    base_seeds: int
    arms: tuple[Arm, ...]
    methods: Mapping[str, Method]
    doses: tuple[int, ...]
    n: int
    batch: int
    seeds: int
    seed: int = 0
    fresh: bool = False
    sampling: Sampling | None = None
    theories: tuple[str, ...] = ()
    extra_theories: tuple[str, ...] = ()
    more_theories: Mapping[str, Theory] = field(default_factory=dict)
    first_base: int = 0
    first_seed: int = 0
    teacher_strength: float = 0.03
    fit_on: str = "first"
    anchored: bool = True
    replayed: Mixture | None = None
    observe: Callable[[Network, Array], Mapping[str, Array]] | None = None
    observed_tokens: int = 0
    retraining: Retraining = field(default_factory=Retraining)
    axioms: AxiomPlan | None = None
    inside: Plan | None = None
    measures: bool = False
    catalogue: Catalogue = field(default_factory=Catalogue)

    def __post_init__(self) -> None:
        check_process(self.process)
        check_doses(self.doses)
        check_choice("fit_on", self.fit_on, FIT_ON)
        if not 1 <= self.batch <= self.n:
            raise Misuse(f"batch must be from 1 to n = {self.n}, got {self.batch}.")
        for arm in self.arms:
            if not isinstance(arm, Arm):
                raise Misuse(f"An arm is needed, like Arm(process.task()), got {arm!r:.60}.")
            if arm.teacher is not None and self.retraining.shares:
                raise Misuse(
                    f"D' of the arm {arm.name} is written by a teacher, who is made of a base network: none "
                    "can be pretrained on it from scratch; omit retrained.shares."
                )
            self._check_size(arm)
        for name in ("theories", "extra_theories"):
            given = getattr(self, name)
            if not isinstance(given, tuple | list) or not all(isinstance(entry, str) for entry in given):
                raise Misuse(f"{name} must be a list of names, got {given!r:.60}.")
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise Misuse(f"Arms must have different names (to six digits), got {names}; omit one.")
        for name, method in self.methods.items():
            check_name("The method", name)
            if isinstance(method, type) or not isinstance(method, Method):
                raise Misuse(
                    f"The method {name} must be an instance of models.finetuning.method.Method, like Sgd(), "
                    f"got {method!r:.60}."
                )
        check_sizes(self)
        if self.inside is not None and (self.axioms or any(arm.teacher for arm in self.arms)):
            raise Misuse(
                "An experiment measures the inside or the axioms, one of them, and the inside of networks "
                "whose D' no teacher writes; omit axioms and teachers."
            )
        if self.axioms is not None:
            self.axioms.check(
                self.doses, {arm.name: arm.rival is not None and arm.teacher is None for arm in self.arms}
            )

    def _check_size(self, arm: Arm) -> None:
        """Refuse a batch or an n of an arm's own that does not fit the experiment."""
        if arm.n is not None:
            if not self.batch <= arm.n <= self.n:
                raise Misuse(
                    f"n of the arm {arm.name} must be from batch = {self.batch} to n = {self.n}, got {arm.n}."
                )
            if self.fresh or self.axioms or any(isinstance(m, EarlyStopping) for m in self.methods.values()):
                raise Misuse(
                    f"The arm {arm.name} has an n of its own, which goes with no fresh documents, axioms or "
                    "early stopping; omit these."
                )
        n = arm.n or self.n
        if arm.batch is not None and not 1 <= arm.batch <= n:
            raise Misuse(f"batch of the arm {arm.name} must be from 1 to n = {n}, got {arm.batch}.")

    @property
    def steps(self) -> int:
        """Finetuning steps."""
        return int(self.doses[-1])

    def groups(self, count: int) -> list[Self]:
        """The experiments of so many groups of its base networks."""
        if count > 1 and any(arm.teacher_offset for arm in self.arms):
            raise Misuse(
                "pretraining.groups must be 1 where a base network writes the D' of another, which is in the "
                f"same group then; got {count}."
            )
        size = self.base_seeds // count
        return [replace(self, base_seeds=size, first_seed=group * size) for group in range(count)]

    def cells(self) -> list[Cell]:
        """Every cell, in the order it is run."""
        return [
            cell
            for base in range(self.first_base, self.first_base + self.base_seeds)
            for arm in self.arms
            for cell in self._cells(arm.name, base)
        ]

    def _cells(self, arm: str, base: int) -> list[Cell]:
        """The cells of an arm and a base network."""
        row, sampled = base - self.first_base, self.sampling.bases if self.sampling else 0
        retrained = self.retraining.bases if self.retraining.shares else 0
        again = [Cell("retrained", arm, base)] * (row < retrained)
        if self.axioms is not None:
            return [*again, *(Cell("axioms", arm, base, method) for method in self.methods)]
        if self.inside is not None:
            return [*again, Cell("inside", arm, base)]
        return [
            Cell("theories", arm, base),
            *[Cell("posteriors", arm, base)] * (row < sampled),
            *again,
            *(Cell(kind, arm, base, method) for method in self.methods for kind in ("finetuned", "replays")),
        ]

    def arm(self, name: str) -> Arm:
        """The arm of a cell."""
        return next(arm for arm in self.arms if arm.name == name)

    def contexts(self, arm: Arm) -> Mapping[str, Dataset]:
        """The groups of contexts of an arm, drawn once."""
        if arm.name not in self._contexts:
            key = random_streams.stream(self.seed, random_streams.CONTEXTS)
            self._contexts[arm.name] = arm.task.contexts(key)
        return self._contexts[arm.name]

    @cached_property
    def _contexts(self) -> dict[str, Mapping[str, Dataset]]:
        return {}

    def training(self, method: str, arm: Arm) -> Training:
        """The extent of a way of finetuning on an arm, by its recipe alone."""
        rule = self.methods[method]
        teacher = self.teacher_strength if "teacher" in rule.needs else None
        times = rule.training_time(self.doses)
        return Training(self.doses, arm.batch or self.batch, arm.n or self.n, self.fresh, times, teacher)

    def scale(self, answers: float) -> Scale:
        """The scale of the grids of strengths, for a D' that counts so many answers."""
        times = [
            np.zeros(1),
            *(t for m in self.methods.values() for t in m.training_time(self.doses).values()),
        ]
        return Scale(answers, float(max(time.max() for time in times)))


def _takes(function: Callable[..., object], count: int) -> bool:
    """Whether a function can be called with so many arguments by position."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True
