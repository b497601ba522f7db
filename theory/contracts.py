"""What a comparison asks of a process and of a theory, and what it tells them.

Process, Task           a process with what it says of itself; a narrow D' with the contexts it is judged on
Theory, WeightTheory    (prior, data, β) -> predictor, and all that a comparison must know of it
Training, TrainingRun   what a way of finetuning did, and a way to do it to something else
Scale, Setting          what a theory sizes its grid by, and completes itself with
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from theory.base import Beta, Dataset, Key, Parametric, Params, Predictor

PriorT = TypeVar("PriorT", contravariant=True)
Bound: TypeAlias = Literal["path", "mixture"]


@runtime_checkable
class Process(Protocol):
    """What a comparison needs of a process: a frozen dataclass of plain fields, all with defaults."""

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

    def distribution(self) -> Any:
        """The exact process, a `theory.latent.mixture.Mixture`."""
        ...

    def answer_mask(self) -> np.ndarray:
        """Bool (t,): the positions of a document whose tokens are answers."""
        ...

    def elicitation_contexts(self) -> Dataset:
        """Contexts that say little of the hypothesis, mask on the answers: there a network shows its
        prior."""
        ...

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        ...


@dataclass(frozen=True, eq=False)
class Task:
    """A narrow D' and the contexts it is judged on, made and validated by `process.task(...)`.

    `data(key, n)` draws n documents of D'; `contexts(key)` draws every group of contexts by name, of which
    "in_domain" is like D'. `name` can name a file.
    """

    name: str
    data: Callable[..., Dataset]
    contexts: Callable[[Key], Mapping[str, Dataset]]


@dataclass(frozen=True)
class Training:
    """What a way of finetuning did, by its recipe alone: the only thing that a forecast may see.

    `doses` are steps of `batch` documents each, out of `documents` in D' (`fresh`: every step has new ones,
    and
    D' is all of them). `times` is learning-rate time (d,) by metric, "identity" or "adam": gradient flow for
    that time in that metric is what the steps approach as η → 0; a metric in which the method is no flow is
    left out. `teacher` is the strength β of the exact tempered posterior that the method distils, if it does.
    """

    doses: tuple[int, ...]
    batch: int
    documents: int
    fresh: bool
    times: Mapping[str, np.ndarray]
    teacher: float | None = None

    @property
    def passes(self) -> np.ndarray:
        """How often D' was met, at every dose (d,)."""
        steps = np.asarray(self.doses, float)
        return steps / steps[-1] if self.fresh else steps * self.batch / self.documents


@dataclass(frozen=True)
class Scale:
    """What sizes a grid of strengths: the `answers` that D' counts, and the `longest` learning-rate time of
    the
    methods that are compared."""

    answers: float
    longest: float


@dataclass(frozen=True)
class Setting:
    """What a theory may complete itself with: the exact process, and one network with one D' to be
    finetuned on.

    `documents` are of pretraining, `key` is the theory's own randomness.
    """

    process: Any
    network: Any
    data: Dataset
    documents: Dataset
    key: Key


class TrainingRun(Protocol):
    """A way of finetuning with its documents and their order, run on whatever stands in the network's
    place."""

    doses: Sequence[int]

    def finetune(self, model: Parametric) -> Params:
        """Full weights after each dose (d, ...), of a model that is trained as the network would be."""
        ...

    def coordinates(self, network: Parametric) -> Any:
        """The network as a function of the numbers that move: itself, or LoRA's factors, say."""
        ...

    def train(self, start: Parametric, rule: optax.GradientTransformation) -> Params:
        """The `params` of `start` after each dose (d, ...), by another rule than the method's own."""
        ...

    def optimizer(self) -> optax.GradientTransformation:
        """The method's own rule."""
        ...


@runtime_checkable
class Theory(Protocol[PriorT]):
    """A claim about finetuning. What it needs of the prior is in the type of `prior`.

    Laws, checked by the contract suite: β = 0 gives the prior; the order of documents does not matter;
    predictions are normalised; β₁ then β₂ on the same data equals β₁ + β₂. A theory that breaks one
    says so in `breaks`, {law: reason}, and the suite asserts the violation.

    A theory inherits from this class and says what differs from the defaults below: all that a comparison
    knows
    of it stands in its file. A module may define `variants(process)`, {"NAME" or "NAME/FORM": theory}, the
    forms in which it is scored; without, it is `example()` under the module's name. A theory over weights may
    follow a
    way of finetuning step by step: it has a method `replay(network, run: TrainingRun)`, which gives its
    predictors after each dose (stacked) and their full weights.
    """

    breaks: dict[str, str]
    bound: ClassVar[Bound] = "path"
    """How its class is bounded: by its own grid, or by any weights over the hypotheses."""
    optional: ClassVar[bool] = False
    """Scored only where a study asks for it by name, or for all."""
    metric_name: ClassVar[str] = ""
    """The metric whose learning-rate time forecasts its strength ("" where none does)."""

    def predict(
        self, prior: PriorT, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Predictor:
        """What the network will say after finetuning on `data` with strength `beta`."""
        ...

    @property
    def unit(self) -> float:
        """β of one unit of its grid: strengths of theories over weights are told in units of γ."""
        return 1.0

    def complete(self, setting: Setting) -> "Theory":
        """The theory with what it needs of a process, a network and its D' (a metric, say)."""
        return self

    def grid(self, scale: Scale) -> np.ndarray:
        """Strengths (b,), ascending from 0, in its unit: those a comparison asks for."""
        return np.concatenate([[0.0], np.logspace(-6, 3, 109)]).astype(np.float32)

    def strength(self, training: Training, scale: Scale) -> np.ndarray | None:
        """The strength (d,) at every dose without a fitted number, in its unit; None: it forecasts none."""
        return None


class WeightTheory(Theory[Parametric], Protocol):
    """A theory over weights: its strength is learning-rate time τ = βN/γ, N the answers that D' counts.

    Its grid has τ = 0 and octaves of τ; its unit is γ. It forecasts τ where a method is a flow in its metric.
    """

    octaves: ClassVar[tuple[int, int]] = (-8, 4)

    def times(self, scale: Scale) -> np.ndarray:
        """Learning-rate times τ (b,), from 0 on."""
        return np.concatenate([[0.0], 2.0 ** np.arange(self.octaves[0], self.octaves[1] + 1.0)])

    def grid(self, scale: Scale) -> np.ndarray:
        """τ/N."""
        return (self.times(scale) / scale.answers).astype(np.float32)

    def strength(self, training: Training, scale: Scale) -> np.ndarray | None:
        """The method's learning-rate time in this theory's metric."""
        time = training.times.get(self.metric_name)
        return None if time is None else time * (self.grid(scale)[-1] / self.times(scale)[-1])
