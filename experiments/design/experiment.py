"""What a study hands over: what is pretrained and finetuned, on which data, and where it is judged.

A comparison's cells, the least parts of a run that are redone, are

    theories-A-B            what every theory says for arm A from base network B, over its ladder of strengths
    langevin-A-B            what posteriors over weights say, and whether their chains can be trusted
    dynamics-METHOD-A-B     what the linearised theory says of METHOD at every dose
    METHOD-A-B              what the networks finetuned by METHOD say at every dose
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np

from experiments.design import random_streams
from models.finetuning.method import Method
from models.network import Network
from models.pretraining import Pretraining
from models.transformer import Architecture
from theory.base import Dataset
from theory.compute.descent import check_doses
from theory.errors import Misuse
from theory.latent.mixture import Mixture

CORE = ("tempered-posterior", "exchangeable-mixture", "geometric-path", "linear-mixture")


class Process(Protocol):
    """What a comparison needs of a process: a frozen dataclass of plain fields. A study's arms ask it for
    narrow data and contexts, in its own words."""

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        ...

    @property
    def length(self) -> int:
        """Tokens in a document."""
        ...

    @property
    def answer_tokens(self) -> slice:
        """The tokens whose probabilities are compared."""
        ...

    def distribution(self) -> Mixture:
        """The exact process."""
        ...

    def answer_mask(self) -> np.ndarray:
        """Bool (t,): the positions of a document whose tokens are answers."""
        ...

    def elicitation_contexts(self) -> Dataset:
        """Contexts that say little of the hidden member, mask on the answers: there a network shows the
        prior it holds."""
        ...

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        ...


@dataclass(frozen=True, eq=False)
class Arm:
    """One narrow D' and the contexts it is judged on. Where a `teacher` writes D', it is a function of a base
    network alone, so that a run can be resumed, and `data` gets it after the key and n."""

    name: str
    data: Callable[..., Dataset]
    contexts: Callable[[], Mapping[str, Dataset]]
    batch: int | None = None  # documents in a finetuning step, where it is not the comparison's
    teacher: Callable[[Network], Network] | None = None
    apart: int = 0  # the teacher is made of the base network so many after the student's, cyclically


@dataclass(frozen=True)
class Comparison:
    """What a study pretrains, finetunes and predicts."""

    process: Any
    shape: Architecture
    pretraining: Pretraining
    base_seeds: int
    arms: tuple[Arm, ...]
    methods: Mapping[str, Method]
    doses: Sequence[int]
    n: int
    batch: int
    seeds: int
    seed: int
    sampling: Any = None  # experiments.cells.posteriors.Sampling, where posteriors over weights are sampled
    theories: tuple[str, ...] = CORE  # those of experiments.cells.candidates that are heard
    teacher: float = 0.03  # β of the tempered posterior that teaches where a method distils
    replayed: Mixture | None = None  # what writes the documents that methods replay; none: the process
    # what else is looked at, of a network and an arm's contexts (tokens): {name: an array with a row each}
    observe: Callable[[Network, Any], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        check_doses(self.doses)
        if not 1 <= self.batch <= self.n:
            raise Misuse(f"batch must be from 1 to n = {self.n}, got {self.batch}.")

    @property
    def steps(self) -> int:
        """Finetuning steps."""
        return int(self.doses[-1])

    def cells(self) -> list[str]:
        """Every cell, in the order it is run."""
        sampled = self.sampling.bases if self.sampling else 0
        return [
            f"{name}-{arm.name}-{base}"
            for base in range(self.base_seeds)
            for arm in self.arms
            for name in (
                "theories",
                *["langevin"] * (base < sampled),
                *(f"dynamics-{method}" for method in self.methods),
                *self.methods,
            )
        ]


def arm(
    name: str,
    data: Callable[..., Dataset],
    contexts: Callable[[Any], Mapping[str, Dataset]],
    seed: int,
    batch: int | None = None,
    teacher: Callable[[Network], Network] | None = None,
    apart: int = 0,
) -> Arm:
    """An arm by what makes n documents of D' and the contexts out of a key; a `batch` is part of the name."""
    key = jax.random.fold_in(jax.random.key(seed), random_streams.CONTEXTS)
    named, asked = name + (f"b{batch}" if batch else ""), functools.cache(lambda: contexts(key))
    return Arm(named, data, asked, batch, teacher, apart)
