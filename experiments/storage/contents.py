"""Contents of cells: the typed arrays of theories, posteriors, replays and finetuned networks. Numpy only.

    Contexts        the contexts of an arm by group, with the exact process in them
    TheoryCell      contexts, and theories that need one network and its D' alone
    PosteriorCell   theories whose posteriors were sampled
    ReplayCell      theories that follow a method step by step, and forecasts of strengths
    FinetunedCell   finetuned networks and their reshuffled replicas
    RetrainedCell   networks pretrained from scratch on D and D'
    AxiomCell       networks after sequences of finetunings (experiments.storage.axiom_cell)
    CurveCell       curves of a number in the stream of networks (experiments.storage.curve_cell)
    InsideCell      what probes find inside of networks (experiments.storage.inside_cell)
    MotorCell       probes of events in networks (experiments.storage.motor_cell)
    CurrenciesCell, AlphabetsCell, FactorsCell, InjectionCell    the same of other studies (modules of these
                    names)

All answers are log-probabilities. Axes: s finetuning seeds, b strengths, d doses, c contexts, a answers, k
hypotheses, m directions. `update` arrays are full weights less those of the base network, of the first
finetuning seed, by layer.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import numpy as np

from experiments.storage.alphabets_cell import AlphabetsCell as AlphabetsCell
from experiments.storage.axiom_cell import AxiomCell as AxiomCell
from experiments.storage.contexts import CONTEXTS, check_axes, pick, prefixed, present, unprefixed
from experiments.storage.contexts import Contexts as Contexts
from experiments.storage.currencies_cell import CurrenciesCell as CurrenciesCell
from experiments.storage.curve_cell import CurveCell as CurveCell
from experiments.storage.factors_cell import FactorsCell as FactorsCell
from experiments.storage.injection_cell import InjectionCell as InjectionCell
from experiments.storage.inside_cell import InsideCell as InsideCell
from experiments.storage.measures import Measures
from experiments.storage.motor_cell import MotorCell as MotorCell
from experiments.storage.records import Arrays, CellKind, Ladder
from theory.errors import Misuse

ORDER_NOISE = "order_noise"
MEASURES = {  # known before finetuning: of one network and D', and of a method; their axes
    "evidence": "s",  # nats of all of D' for the hypothesis under which it is most likely
    "inference_exact": "s",  # nats a document by which inferring it is better than never doing so
    "inference_network": "s",  # the same as the base network does it
    "best_hypothesis": "s",  # the number of that hypothesis
    "common_share_network": "",  # the hypotheses' effect on answers that contexts have in common
    "effect_network": "",  # the size of that effect beside that of exact inference
    "weight_norm": "",
    "kernel_alignment": "s",  # of D' with held-out contexts, in a method's metric
    "transfer": "s",  # the cosine of the gradients of both, towards that hypothesis
    "first_order": "sdc",  # nats² of the change of answers along the linear forecast
    "second_order": "sdc",
    "relative_step": "sd",  # the length of the linear forecast beside that of the weights
    ORDER_NOISE: "sdc",  # nats, KL between two orders of D' as the theory `noise` predicts it
}


@dataclass(frozen=True)
class TheoryCell:
    """Theories that need no more than one base network and its D'.

    `implied_weights` (k,) is the prior over hypotheses that the base network's answers imply. `curvatures`
    (m,) and `modes`, layer -> (m, ...), are the directions in which D' curves the loss most at the base
    network. Where a teacher writes D', `teacher_answers` (c, a) are its answers and `teacher_update` its
    update. `observed` has further readouts of the base network, name -> (1, 1, c, ...). `reachable` (s, 3)
    are losses on D', in nats an answer, in the order of `REACHABLE`. `measures` are those of `MEASURES` that
    need the network and its D' alone. `resolution` (c,) is the least shift (nats) that can be told from none
    in each context, where it was measured.
    """

    contexts: Contexts
    ladders: tuple[Ladder, ...]
    implied_weights: np.ndarray
    curvatures: np.ndarray
    modes: Arrays = field(default_factory=dict)
    teacher_answers: np.ndarray | None = None
    teacher_update: Arrays | None = None
    observed: Arrays = field(default_factory=dict)
    reachable: np.ndarray | None = None
    measures: Arrays = field(default_factory=dict)
    resolution: np.ndarray | None = None

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        arrays = self.contexts.to_arrays() | {"implied_weights": np.asarray(self.implied_weights)}
        arrays |= {"curvatures": np.asarray(self.curvatures)} | prefixed("mode", self.modes)
        arrays |= prefixed("observed", self.observed) | prefixed("teacher", self.teacher_update or {})
        arrays |= present(**{name: getattr(self, name) for name in OF_THEORIES})
        return arrays | prefixed("measure", self.measures) | _ladder_arrays(self.ladders)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        optional = [name for name in OF_THEORIES if name in arrays]
        parts = pick(arrays, (*CONTEXTS, "implied_weights", "curvatures", *optional))
        return cls(
            Contexts.from_arrays(arrays),
            _ladders(arrays, parts["base"].shape),
            parts["implied_weights"],
            parts["curvatures"],
            unprefixed(arrays, "mode"),
            parts.get("teacher_answers"),
            unprefixed(arrays, "teacher") if "teacher_answers" in optional else None,
            unprefixed(arrays, "observed"),
            parts.get("reachable"),
            _measures(arrays),
            parts.get("resolution"),
        )


@dataclass(frozen=True)
class PosteriorCell:
    """Theories whose posteriors were sampled, perhaps for the first finetuning seeds alone."""

    ladders: tuple[Ladder, ...]

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        return _ladder_arrays(self.ladders)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        return cls(_ladders(arrays))


@dataclass(frozen=True)
class RetrainedCell:
    """Networks pretrained from scratch on D and shares of D', a ladder from the base network, share 0, on."""

    ladder: Ladder

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        return _ladder_arrays([self.ladder])

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        ladders = _ladders(arrays)
        if len(ladders) != 1:
            raise Misuse(f"A ladder of shares is needed, got {len(ladders)}.")
        return cls(ladders[0])


@dataclass(frozen=True)
class ReplayCell:
    """Theories that follow a method step by step, and forecasts of strengths for the others.

    `predictions` are answers (s, d, c, a) by theory, `strengths` forecasts of β (d,) by the name THEORY/PRIOR
    of a ladder, without a fitted number; `times` is the method's learning-rate time (d,) by metric;
    `update`, layer -> (d, ...), is that of the linearised network, `measures` those of `MEASURES` that are of
    the method.
    """

    predictions: Arrays
    strengths: Arrays = field(default_factory=dict)
    times: Arrays = field(default_factory=dict)
    update: Arrays = field(default_factory=dict)
    measures: Arrays = field(default_factory=dict)

    def strength(self, ladder: Ladder) -> np.ndarray | None:
        """The strength (d,) of a ladder without a fitted number: of its theory, or by learning-rate time."""
        if ladder.name in self.strengths:
            return self.strengths[ladder.name]
        if ladder.times is None or ladder.metric not in self.times:
            return None
        return self.times[ladder.metric] * (ladder.betas[-1] / ladder.times[-1])  # β is proportional to τ

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        parts = {
            "replay": self.predictions,
            "strength": self.strengths,
            "time": self.times,
            "update": self.update,
            "measure": self.measures,
        }
        return {key: value for prefix, part in parts.items() for key, value in prefixed(prefix, part).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that do not fit."""
        parts = (unprefixed(arrays, prefix) for prefix in ("replay", "strength", "time", "update"))
        cell = cls(*parts, measures=_measures(arrays))
        predictions = prefixed("replay", cell.predictions)
        by_dose = prefixed("strength", cell.strengths) | prefixed("time", cell.times)
        check_axes(predictions | by_dose, dict.fromkeys(predictions, "sdca") | dict.fromkeys(by_dose, "d"))
        return cell


@dataclass(frozen=True)
class FinetunedCell:
    """Finetuned networks and their reshuffled replicas, which met D' in another order.

    `finetuned` and `replica` (s, d, c, a) are their answers after every dose (the replica's nan where there
    is none), `loss` (s, t) is the training loss in nats, `distance` (s, d) the Euclidean norm of the update,
    `update`, layer -> (d, ...), that of the first seed, `observed` further readouts, name -> (s, d, c, ...).
    `data_loss` (s, d) is the loss on all of D', in nats an answer. `base_read_out` and `base_blocks` (s, d,
    c) are, in nats, KL(finetuned ‖ swapped) from the finetuned network with the base network's read-out, and
    from the base network with the finetuned read-out; None of cells made before there was such a swap.
    """

    finetuned: np.ndarray
    replica: np.ndarray
    loss: np.ndarray
    distance: np.ndarray
    update: Arrays = field(default_factory=dict)
    observed: Arrays = field(default_factory=dict)
    data_loss: np.ndarray | None = None
    base_read_out: np.ndarray | None = None
    base_blocks: np.ndarray | None = None

    def to_arrays(self) -> Arrays:
        """Everything by name; `from_arrays` is the inverse."""
        arrays = {name: np.asarray(getattr(self, name)) for name in FINETUNED}
        arrays |= present(**{name: getattr(self, name) for name in OF_FINETUNED})
        return arrays | prefixed("update", self.update) | prefixed("observed", self.observed)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The inverse; raises `Misuse` for arrays that are missing or do not fit."""
        optional = [name for name in OF_FINETUNED if name in arrays]
        return cls(
            **pick(arrays, (*FINETUNED, *optional)),
            update=unprefixed(arrays, "update"),
            observed=unprefixed(arrays, "observed"),
        )


CellContent: TypeAlias = (
    TheoryCell
    | PosteriorCell
    | ReplayCell
    | FinetunedCell
    | AxiomCell
    | RetrainedCell
    | InsideCell
    | AlphabetsCell
    | CurrenciesCell
    | CurveCell
    | FactorsCell
    | InjectionCell
    | MotorCell
)
CONTENTS: dict[CellKind, tuple[type[CellContent], ...]] = {
    "theories": (TheoryCell,),
    "posteriors": (PosteriorCell,),
    "replays": (ReplayCell,),
    "finetuned": (FinetunedCell,),
    "axioms": (AxiomCell,),
    "retrained": (RetrainedCell,),
    # a plan of the inside has a content of its own
    "inside": (
        *(InsideCell, AlphabetsCell, CurrenciesCell, CurveCell, FactorsCell),
        *(InjectionCell, MotorCell),
    ),
}
REACHABLE = ("base network", "best bias", "best hypothesis")  # of D' itself
FINETUNED = ("finetuned", "replica", "loss", "distance")
OF_THEORIES = ("teacher_answers", "reachable", "resolution")  # optional
OF_FINETUNED = ("data_loss", "base_read_out", "base_blocks")  # optional


def content_of(kind: CellKind, arrays: Mapping[str, np.ndarray]) -> CellContent:
    """The content of a cell: of those of its kind, the one that these arrays are of, or most of them; raises
    `Misuse` for arrays that are missing or do not fit."""
    known = CONTENTS[kind]
    nearest = max(known, key=lambda part: len(_axes(part) & arrays.keys()) - len(_axes(part) - arrays.keys()))
    return nearest.from_arrays(arrays)


def _axes(content: type[CellContent]) -> Set[str]:
    return content.axes.keys() if issubclass(content, Measures) else set()


def _measures(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Those among other arrays; refuses unknown ones, and axes that do not fit."""
    measures = unprefixed(arrays, "measure")
    unknown = sorted(measures.keys() - MEASURES.keys())
    if unknown:
        raise Misuse(f"There are no measures {', '.join(unknown)}.")
    check_axes(measures, MEASURES)
    return measures


def _ladder_arrays(ladders: Iterable[Ladder]) -> Arrays:
    return {key: array for ladder in ladders for key, array in ladder.to_arrays().items()}


def _ladders(arrays: Mapping[str, np.ndarray], shape: tuple[int, ...] | None = None) -> tuple[Ladder, ...]:
    """All ladders; refuses answers that are not over contexts and answers of `shape`."""
    ladders = tuple(Ladder.from_arrays(arrays))
    for ladder in ladders:
        if shape is not None and ladder.log_probs.shape[2:] != shape:
            raise Misuse(
                f"The ladder {ladder.name} has answers {ladder.log_probs.shape}, but contexts have {shape}."
            )
    return ladders
