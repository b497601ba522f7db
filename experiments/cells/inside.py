"""The inside of a base network and of its finetuned ones: probes of the exact belief, read and steered.

Documents of pretraining are drawn once for all networks. On some of them probes are fitted, at every depth
after the embedding; on the others everything is measured (docs/inside.md). Streams are read, measured and
forgotten: a cell keeps numbers alone.
"""

import functools
from dataclasses import dataclass, fields

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cells import probing
from experiments.cells.answers import AnswerPrograms
from experiments.cells.data import Finetuning, FinetuningData
from experiments.cells.finetuned import FinetunedPrograms
from experiments.cells.reading import Base, Documents, Reading
from experiments.cells.steering import ConstantVectors, Weighed, along, steered, steered_alone
from experiments.design import random_streams
from experiments.design.experiment import Arm, Experiment
from experiments.design.inside_plan import InsidePlan
from experiments.storage.inside_cell import (
    CODES,
    OLD_PROBES,
    RESPONSE,
    SLOPES,
    TRANSLATION,
    VECTORS,
    InsideCell,
)
from models.inside import streams
from models.network import Network, build, first
from theory.base import Params
from theory.latent.mixture import Mixture
from theory.probes.calibration import Response
from theory.probes.codes import fit_log_odds, fit_probability

FITS = dict(zip(CODES, (fit_log_odds, fit_probability), strict=True))
UNTRAINED = 1000  # the seed of the untrained network


@dataclass(frozen=True)
class Measured:
    """Measures of a finetuned network, as in its cell: (l, t), (), (v,), (), (l, i) and (l, j)."""

    translation: np.ndarray
    shift: np.ndarray
    missed: np.ndarray
    noise: np.ndarray
    old_probes: np.ndarray
    slopes: np.ndarray


class InsidePrograms:
    """Programs that finetune are those of other cells; what reads and steers is compiled once for all."""

    def __init__(
        self,
        experiment: Experiment,
        template: Network,
        answers: AnswerPrograms,
        finetuned: FinetunedPrograms,
        data: FinetuningData,
    ):
        assert isinstance(experiment.inside, InsidePlan)
        self.experiment, self.plan = experiment, experiment.inside
        self.finetuned, self.data = finetuned, data
        self.process: Mixture = experiment.process.distribution()
        self.depths = np.arange(1, 1 + experiment.shape.layers)
        self.edited = np.unique([1, self.depths[-1]])
        self.vectors = ConstantVectors(template, answers.part)

    @functools.cached_property
    def documents(self) -> Documents:
        """Drawn when the first cell is run."""
        return Documents.drawn(self.experiment, self.process)

    @functools.cached_property
    def untrained(self) -> np.ndarray:
        """Streams of a network that was never trained."""
        process = self.experiment.process
        network = first(build(self.experiment.shape, process.vocabulary, process.length, [UNTRAINED]))
        return np.asarray(streams(network, self.documents.tokens))

    def run(self, arm: Arm, network: Network, number: int) -> tuple[InsideCell, str]:
        """The cell of a base network, and why it failed ("" if it did not); of all numbers alike."""
        documents, experiment = self.documents, self.experiment
        finetuning = self.data.finetuning(arm, network)
        base = Base.of(network, documents, self._target(finetuning), max(self.plan.nats))
        key = random_streams.stream(experiment.seed, random_streams.INSIDE_DATA)
        contexts = Weighed.of(self.data.questions(arm), arm.task.data(key, experiment.n))
        measured = []
        for method in experiment.methods:
            params, *_ = self.finetuned.networks(method, network, finetuning)
            for seed, dose in np.ndindex(experiment.seeds, len(experiment.doses)):
                weights, twin = (
                    jax.tree.map(lambda leaf, row=row, dose=dose: jnp.asarray(leaf[row, dose]), params)
                    for row in (seed, seed + experiment.seeds)
                )
                measured.append(self._measured(base, weights, twin, contexts))
        shape = len(experiment.methods), experiment.seeds, len(experiment.doses)

        def stacked(name: str) -> np.ndarray:
            every = np.array([getattr(part, name) for part in measured], np.float32)
            return every.reshape(*shape, *every.shape[1:])

        information = [
            probing.information(documents, base.reading, self.untrained, fit, experiment.seed)
            for fit in FITS.values()
        ]
        response = [
            [self._response(base, depth, alone) for alone in (False, True)] for depth in self.edited.tolist()
        ]
        cell = InsideCell(
            methods=np.array([*experiment.methods]),
            doses=np.array(experiment.doses),
            depths=self.depths,
            edited=self.edited,
            information=np.array(information, np.float32),
            response=np.array(response, np.float32),
            **{entry.name: stacked(entry.name) for entry in fields(Measured)},
            base_slopes=np.array(probing.slopes(base, base.reading), np.float32),
            factors=probing.factor_codes(documents, base.reading, self.process.factors),
        )
        return cell, inside_failure(cell)

    def _target(self, finetuning: Finetuning) -> int:
        """The hypothesis under which D' is most likely."""
        data = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), finetuning.data)
        return int(np.argmax(np.asarray(self.process.log_likelihoods(data)).sum(axis=-1)))

    def _measured(self, base: Base, weights: Params, twin: Params, contexts: Weighed) -> Measured:
        """The measures of one finetuned network; nan where it, or its twin, is not finite."""
        after, other = (
            Reading.of(base.network.with_params(part), self.documents.tokens) for part in (weights, twin)
        )
        if not (after.is_finite and other.is_finite):
            parts = (len(TRANSLATION), len(OLD_PROBES), len(SLOPES))
            moved, kept, steep = (np.full((len(self.depths), count), np.nan) for count in parts)
            unknown = np.array(np.nan)
            return Measured(moved, unknown, np.full(len(VECTORS), np.nan), unknown, kept, steep)
        noise, shift, *missed = self._vectors(base, weights, twin, contexts)
        return Measured(
            np.array(probing.translation(base, after, other)),
            np.array(shift),
            np.array(missed),
            np.array(noise),
            np.array(probing.old_probes(base, after, other)),
            np.array(probing.slopes(base, after)),
        )

    def _response(self, base: Base, depth: int, alone: bool) -> list[float]:
        """Steer along a pattern at every position, or `alone` at the one whose answer is read; nan where no
        exact answers would show it."""
        if not base.clear.any():
            return [np.nan] * len(RESPONSE)
        edit, direction = steered_alone if alone else steered, base.patterns(depth)[:, base.target]
        read = []
        for size in self.plan.nats:
            shifts = along(base.reading.streams, depth, direction, size)
            answers = np.asarray(edit(base.network, self.documents.tokens, shifts), float)
            read.append(base.answered(answers))
        response = Response.of(self.plan.nats, np.stack(read))
        return [getattr(response, name) for name in RESPONSE]

    def _vectors(self, base: Base, weights: Params, twin: Params, contexts: Weighed) -> list[float]:
        """Distances elsewhere from a finetuned network: of its twin, of the base network, and of that with
        each constant vector after the first block."""
        fit, params, written = self.vectors, base.network.params, base.patterns(1)
        answers, width = fit.answers(weights, contexts.tokens), len(written)
        moved, before = (
            np.asarray(streams(base.network.with_params(part), contexts.tokens))[:, 1]
            for part in (weights, params)
        )
        inside = contexts.inside > 0
        length = float(np.sqrt(np.mean(np.square(before[inside]))))
        # as many columns for both bases, so that one program serves them
        span = np.pad(length * written, ((0, 0), (0, max(0, width - written.shape[1]))))[:, :width]
        vectors = [
            np.zeros(width),
            fit.fitted(params, answers, contexts, 1, span),
            (moved - before)[inside].mean(axis=0),
            fit.fitted(params, answers, contexts, 1, length * np.eye(width)),
        ]
        noise = fit.missed(twin, answers, contexts, 1, np.zeros(width))
        return [noise, *(fit.missed(params, answers, contexts, 1, vector) for vector in vectors)]


def inside_failure(cell: InsideCell) -> str:
    """A sentence where a finetuned network stopped being finite; "" if none did."""
    if np.isfinite(cell.shift).all() and np.isfinite(cell.translation).all():
        return ""
    return "Non-finite answers or streams of a finetuned network."
