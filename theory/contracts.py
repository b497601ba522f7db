"""Contracts of processes, tasks, theories and ways of finetuning with the comparison that runs them.

Process, Task           a process, and a narrow D' with the contexts on which predictions are compared
Theory, WeightTheory    (prior, data, β) -> predictor, with everything that a comparison must know of it
Training, TrainingRun   the extent of a finetuning by its recipe, and the finetuning itself, to be replayed
Scale, Setting          the sizes of a grid of strengths, and the inputs that complete a theory
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar, get_type_hints, runtime_checkable

import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from theory.arguments import check_prior, checked_drawing
from theory.base import Beta, Cost, Dataset, Key, Misuse, Model, Parametric, Params, Predictor, check_beta

PriorT = TypeVar("PriorT", contravariant=True)
Bound = Literal["path", "mixture"]


@runtime_checkable
class Process(Protocol):
    """The members of a process that a comparison uses: a frozen dataclass of plain fields, all with
    defaults."""

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

    def distribution(self) -> Model:
        """The exact process, a `theory.latent.mixture.Mixture`."""
        ...

    def answer_mask(self) -> np.ndarray:
        """Bool (t,): the positions of a document whose tokens are answers."""
        ...

    def elicitation_contexts(self) -> Dataset:
        """Contexts that carry little evidence about the hypothesis, mask on the answers: answers there show
        the prior implied by a network."""
        ...

    def token_names(self) -> tuple[str, ...]:
        """A name for every token."""
        ...


@dataclass(frozen=True, eq=False)
class Task:
    """A narrow D' with its contexts, made and validated by `process.task(...)`.

    `data(key, n)` draws n documents of D'; `contexts(key)` draws every group of contexts by name, of which
    "in_domain" is like D'. `name` can name a file.
    """

    name: str
    data: Callable[..., Dataset]
    contexts: Callable[[Key], Mapping[str, Dataset]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", checked_drawing(self.data))
        object.__setattr__(self, "contexts", checked_drawing(self.contexts))


@dataclass(frozen=True)
class Training:
    """The extent of a finetuning at every dose, by its recipe alone: all that a forecast may use.

    `doses` are steps of `batch` documents each, out of `documents` in D' (`fresh`: every step has new ones,
    and D' is all of them). `times` is learning-rate time (d,) by metric, "identity" or "adam": gradient flow
    for that time in that metric is what the steps approach as η → 0; a metric in which the method is no flow
    is omitted. `teacher` is the strength β of the exact tempered posterior that the method distils, if any.
    """

    doses: tuple[int, ...]
    batch: int
    documents: int
    fresh: bool
    times: Mapping[str, np.ndarray]
    teacher: float | None = None

    @property
    def passes(self) -> np.ndarray:
        """Passes over D' at every dose (d,)."""
        steps = np.asarray(self.doses, float)
        return steps / steps[-1] if self.fresh else steps * self.batch / self.documents


@dataclass(frozen=True)
class Scale:
    """The sizes of a grid of strengths: `answers` are the counted positions of D' (their mean over seeds),
    `longest` the longest learning-rate time of the methods that are compared."""

    answers: float
    longest: float


@dataclass(frozen=True)
class Setting:
    """The inputs that may complete a theory: the exact `process` (a mixture), one network, and the D' on
    which it will be finetuned.

    `documents` are of pretraining, `key` is the theory's own randomness. Network and data may be traced.
    """

    process: Model
    network: Model
    data: Dataset
    documents: Dataset
    key: Key


@runtime_checkable
class TrainingRun(Protocol):
    """A finetuning with its documents and their order, which also runs on models that stand in for the
    network."""

    @property
    def doses(self) -> Sequence[int]:
        """The steps after which weights are kept."""
        ...

    def finetune(self, model: Parametric) -> Params:
        """Full weights after each dose (d, ...), of a model that is trained as the network would be."""
        ...

    def coordinates(self, network: Parametric) -> Parametric:
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
    """A prediction of finetuning: prior, D' and strength β give the predictor after it.

    Laws, checked by the contract suite: β = 0 gives the prior; the order of documents does not matter;
    predictions are normalised; β₁ then β₂ on the same data equals β₁ + β₂. A theory that breaks a law lists
    it in `breaks`, {law: reason}, and the suite asserts the violation.

    A theory inherits from this class and overrides the defaults below where it differs: everything that a
    comparison knows of it stands in its file. Optional members of the class:

        path(prior, data, betas, key=...)    predictors stacked over ascending strengths, out of one pass
        follow(network, run: TrainingRun)    predictors after each dose (stacked) and their full weights
                                             (d, ...): it follows the steps of a finetuning, has no grid and
                                             is a forecast

    and of its module: `variants(process)`, see the function `variants` here.
    """

    breaks: dict[str, str] = {}  # noqa: RUF012 (a theory that breaks a law has a field of its own)
    sampled: ClassVar[bool] = False
    """Its posterior is sampled: the comparison runs and judges its chains, in cells of their own."""
    by_document: ClassVar[bool] = False
    """It follows a finetuning by gradients of single documents of D', so only one that descends those."""

    def predict(
        self, prior: PriorT, data: Dataset, beta: Beta, *, key: PRNGKeyArray | None = None
    ) -> Predictor:
        """The predictor after finetuning on `data` with strength `beta`, which may be traced."""
        ...

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "predict" in vars(cls):
            cls.predict = _checked(cls.predict)

    @property
    def bound(self) -> Bound:
        """The class that bounds it from above: its own grid ("path"), or any weights over the hypotheses
        ("mixture")."""
        return "path"

    @property
    def optional(self) -> bool:
        """Whether it is scored only where a study asks for it by name, or for all."""
        return False

    @property
    def cost(self) -> Cost:
        """Its work on the network (`rate_cost`: that of its rate), as docs/forecasts.md has it."""
        return Cost()

    @property
    def metric_name(self) -> str:
        """The metric whose learning-rate time forecasts its strength, "" without one."""
        return ""

    @property
    def unit(self) -> Beta:
        """β of one unit of its grid: γ for theories over weights."""
        return 1.0

    def complete(self, setting: Setting) -> Self:
        """The theory with everything it needs of a process, a network and its D' (a metric, say)."""
        return self

    def grid(self, scale: Scale) -> np.ndarray:
        """The strengths (b,) of a comparison, ascending from 0, in its unit."""
        return np.concatenate([[0.0], np.logspace(-6, 3, 109)]).astype(np.float32)

    def strength(self, training: Training, scale: Scale) -> np.ndarray | None:
        """The strength (d,) at every dose without a fitted number, in its unit; None: no forecast."""
        return None

    def rate(self, prior: Any, network: Any, data: Dataset) -> Array | None:
        """β for one unit of learning-rate time, from a prior and the network that is finetuned: a second
        forecast, "NAME-by-rate"; None without one."""
        return None

    @property
    def hyperparameters(self) -> np.ndarray | None:
        """Values (m,) of a second number that is fitted together with β, ascending; None: it has none."""
        return None

    def with_hyperparameter(self, value: Beta) -> Self:
        """The theory at one of these values, which may be traced."""
        return self

    def note(self, data: Dataset, positions: np.ndarray) -> str:
        """A sentence for the report about what it can use of one D' in contexts whose answers stand at
        `positions` (c,); "" without one."""
        return ""


FLOWS = ("identity", "adam")  # metrics in which some method is a flow
NARROW, WIDE = (-8, 4), (-13, 8)  # octaves of τ: in the identity metric, and where its unit is not known


@runtime_checkable
class WeightTheory(Theory[Parametric], Protocol):
    """A theory over weights: its strength is learning-rate time τ = βN/γ, N the answers that D' counts.

    Its unit is γ: grid and forecasts, and so every β on disk, in scores and figures, are β/γ = τ/N, and
    `predict` gets γ times that. Its grid has τ = 0 and octaves of τ. It forecasts τ where a method is a flow
    in its metric.
    """

    prior_precision: Beta

    @property
    def unit(self) -> Beta:
        """γ."""
        return self.prior_precision

    @property
    def metric_name(self) -> str:
        """By its field `metric`: None is the identity, and a name is that of a metric still to be made."""
        metric = getattr(self, "metric", None)
        name = "identity" if metric is None else metric
        return name if isinstance(name, str) and name in FLOWS else ""

    @property
    def octaves(self) -> tuple[int, int]:
        """The first and the last power of two among the times of the grid: more where τ has another unit."""
        return NARROW if self.metric_name == "identity" else WIDE

    def times(self, scale: Scale) -> np.ndarray:
        """Learning-rate times τ (b,), from 0 on."""
        return np.concatenate([[0.0], 2.0 ** np.arange(self.octaves[0], self.octaves[1] + 1.0)])

    def grid(self, scale: Scale) -> np.ndarray:
        """τ/N."""
        return (self.times(scale) / scale.answers).astype(np.float32)

    def strength(self, training: Training, scale: Scale) -> np.ndarray | None:
        """The method's learning-rate time in this theory's metric, over N."""
        time = training.times.get(self.metric_name)
        return None if time is None else time * (self.grid(scale)[-1] / self.times(scale)[-1])


def name_of(theory: Theory | type) -> str:
    """The name of a theory: that of its class, in kebab-case; a module has the name of its theory."""
    return kebab_case((theory if isinstance(theory, type) else type(theory)).__name__)


def kebab_case(name: str) -> str:
    """The name of a class in lower case with dashes: AdamGibbs is adam-gibbs, MyNTK is my-ntk."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).replace("_", "-").lower()


def variants(module: ModuleType, process: Process) -> dict[str, Theory]:
    """The forms in which the theory of a module is scored on a process, by name.

    A module may define `variants(process)`; without, its only form is `example()` under the module's name. A
    name is "NAME", or "NAME/FORM" where the form says more than the kind of prior.
    """
    if hasattr(module, "variants"):
        return module.variants(process)
    return {module.__name__.rsplit(".", 1)[-1].replace("_", "-"): module.example()}


def required_prior(theory: Theory) -> type:
    """The type of prior that `predict` takes, by its annotation (of a type variable: its bound).

    `Mixture` and `Distribution` are priors over hypotheses, `Predictor` is any prior, `Parametric` has
    weights, `Steerable` a stream.
    """
    hint = get_type_hints(theory.predict).get("prior")
    hint = hint.__bound__ if isinstance(hint, TypeVar) else hint
    if not isinstance(hint, type):
        raise Misuse(
            f"The prior of {type(theory).__name__}.predict must be annotated by its type, got "
            f"{'no annotation' if hint is None else hint}; write `prior: Predictor` (or Distribution, "
            "Mixture or Parametric)."
        )
    return hint


def _checked(predict: Callable[..., Any]) -> Callable[..., Any]:
    """`predict` that refuses a process or networks in place of a prior, tokens in place of a D', and a
    strength that is none."""

    @functools.wraps(predict)
    def checked(self: Any, prior: Any, data: Any, *more: Any, **named: Any) -> Any:
        name = type(self).__name__
        check_prior(name, prior, required_prior(self))
        if not hasattr(data, "tokens"):
            raise Misuse(f"{name} needs a Dataset, like task.data(key, n), got {type(data).__name__}.")
        check_beta(named["beta"] if "beta" in named else more[0])
        return predict(self, prior, data, *more, **named)

    return checked
