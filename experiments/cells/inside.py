"""The inside of a base network and of its finetuned ones: probes of the exact belief, read and steered.

Documents of pretraining are drawn once for all networks. On some of them probes are fitted, at every depth
after the embedding; on the others everything is measured (docs/inside.md). Streams are read, measured and
forgotten: a cell keeps numbers alone.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.cells import probing
from experiments.cells.data import Finetuning
from experiments.cells.inside_parts import PlanPrograms, stacked, untrained_network
from experiments.cells.linear_streams import LinearStreams, linear_streams
from experiments.cells.reading import Base, Documents, NetworkReading
from experiments.cells.steering import ConstantVectors, Weighed, along, steered, steered_alone
from experiments.design import random_streams
from experiments.design.experiment import Arm
from experiments.design.inside_plan import InsidePlan
from experiments.storage.inside_cell import (
    CODES,
    FORETOLD,
    OLD_PROBES,
    READ,
    RESPONSE,
    SLOPES,
    TRANSLATION,
    VECTORS,
    InsideCell,
)
from models.inside import steerable, streams
from models.network import Network
from theory.base import Dataset, Params, ladder
from theory.contracts import Process, Theory
from theory.latent.mixture import Mixture
from theory.probes.calibration import Response
from theory.probes.codes import fit_log_odds, fit_probability
from theory.theories.exchangeable_mixture import ExchangeableMixture
from theory.theories.steering_posterior import SteeringPosterior
from theory.theories.tempered_posterior import TemperedPosterior

FITS = dict(zip(CODES, (fit_log_odds, fit_probability), strict=True))


@dataclass(frozen=True)
class Measured:
    """Measures of a finetuned network, as in its cell: (l, t), (), (v,), (), (l, b), (l, o), (l, i) and
    (l, j)."""

    translation: np.ndarray
    shift: np.ndarray
    missed: np.ndarray
    noise: np.ndarray
    read: np.ndarray
    foretold: np.ndarray
    old_probes: np.ndarray
    slopes: np.ndarray


class InsidePrograms(PlanPrograms[InsidePlan, Process]):
    """Programs that finetune are those of other cells; what reads and steers is compiled once for all."""

    @functools.cached_property
    def vectors(self) -> ConstantVectors:
        """The program that adds a constant vector."""
        return ConstantVectors(self.template, self.answers.part)

    @functools.cached_property
    def linear(self) -> LinearStreams:
        """The linearised network."""
        return LinearStreams(self.experiment, self.template)

    @functools.cached_property
    def posteriors(self) -> list[Callable[[Dataset], Array]]:
        """Programs of theories that know hypotheses alone."""
        return [self._posterior(TemperedPosterior()), self._posterior(ExchangeableMixture())]

    @functools.cached_property
    def documents(self) -> Documents:
        """Drawn when the first cell is run."""
        return Documents.drawn(self.experiment, self.mixture)

    @functools.cached_property
    def untrained(self) -> np.ndarray:
        """Streams of a network that was never trained."""
        return np.asarray(streams(untrained_network(self.experiment), self.documents.tokens))

    def run(self, arm: Arm, network: Network, number: int) -> tuple[InsideCell, str]:
        """The cell of a base network, and why it failed ("" if it did not); of all numbers alike."""
        documents, experiment = self.documents, self.experiment
        finetuning = self.data.finetuning(arm, network)
        base = Base.of(network, documents, self._target(finetuning), max(self.plan.nats))
        key = random_streams.stream(experiment.seed, random_streams.INSIDE_DATA)
        contexts = Weighed.of(self.data.questions(arm), arm.task.data(key, experiment.n))
        ladders = [self._ladders(network, finetuning, seed) for seed in range(experiment.seeds)]
        keys = itertools.product(experiment.methods, ladders, experiment.doses)
        pairs, linear = self.finetuned.pairs(network, finetuning), self.linear.weights(network, finetuning)
        measured = [
            self._measured(base, *pair, of_linear, contexts, of_seed)
            for pair, of_linear, (_, of_seed, _) in zip(pairs, linear, keys, strict=True)
        ]
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
            beyond=np.array([base.beyond(depth, max(self.plan.nats)) for depth in self.edited.tolist()]),
            **stacked(experiment, measured),
            base_slopes=np.array(probing.slopes(base, base.reading), np.float32),
            factors=probing.factor_codes(documents, base.reading, self.mixture.factors),
        )
        return cell, inside_failure(cell)

    def _posterior(self, theory: Theory) -> Callable[[Dataset], Array]:
        """Log-weights of the hypotheses (b, k) after a D', over a theory's strengths."""
        betas, mixture = theory.grid(self.experiment.scale(1.0)), self.mixture  # made outside of a trace

        def logs(model: Mixture) -> Array:
            return jax.nn.log_softmax(model.log_weights)

        return jax.jit(lambda data: ladder(theory, mixture, data, betas, logs))

    def _target(self, finetuning: Finetuning) -> int:
        """The hypothesis under which D' is most likely."""
        data = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), finetuning.data)
        return int(np.argmax(np.asarray(self.mixture.log_likelihoods(data)).sum(axis=-1)))

    def _ladders(self, network: Network, finetuning: Finetuning, seed: int) -> probing.Ladders:
        """Shifts of log-odds that theories make of one D', over their strengths: those of hypotheses, and
        last the one that knows where the network writes its belief."""
        data = jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), finetuning.data)
        ladders = [np.asarray(program(data)) for program in self.posteriors]
        return [*(logs - logs[:1] for logs in ladders), np.asarray(self.steering(network, data))]

    @functools.cached_property
    def steering(self) -> Callable[[Network, Dataset], Array]:
        """Shifts (b, k) of the steering posterior over its strengths."""
        tokens = jnp.asarray(self.documents.tokens)
        documents = Dataset(tokens, jnp.ones(tokens.shape, bool))
        theory = SteeringPosterior(self.mixture, documents)
        betas = theory.grid(self.experiment.scale(1.0))
        return jax.jit(lambda network, data: theory.shifts(steerable(network), data, betas))

    def _measured(
        self,
        base: Base,
        weights: Params,
        twin: Params,
        linear: Params,
        contexts: Weighed,
        ladders: probing.Ladders,
    ) -> Measured:
        """The measures of one finetuned network; nan where it, or its twin, is not finite."""
        after, other = (
            NetworkReading.of(base.network.with_params(part), self.documents.tokens)
            for part in (weights, twin)
        )
        if not (after.is_finite and other.is_finite):
            parts = (len(TRANSLATION), len(OLD_PROBES), len(SLOPES))
            moved, kept, steep = (np.full((len(self.depths), count), np.nan) for count in parts)
            unknown = np.array(np.nan)
            read = np.full((len(self.depths), len(READ)), np.nan)
            vectors = np.full(len(VECTORS), np.nan)
            foretold = read[:, : len(FORETOLD)]
            return Measured(moved, unknown, vectors, unknown, read, foretold, kept, steep)
        before, moved, moved_twin = (
            np.asarray(streams(base.network.with_params(part), contexts.tokens))
            for part in (base.network.params, weights, twin)
        )
        linearised = np.asarray(linear_streams(base.network, linear, contexts.tokens))
        change = (moved - before)[:, 1]
        noise, shift, *missed = self._vectors(base, weights, twin, contexts, before[:, 1], change)
        return Measured(
            np.array(probing.translation(base, after, other)),
            np.array(shift),
            np.array(missed),
            np.array(noise),
            np.array(probing.read_beliefs(base, before, moved, moved_twin, contexts, ladders[:-1])),
            np.stack(
                [
                    probing.read_shifted(base, before, moved, contexts, ladders[-1]),
                    probing.read_apart(base, moved, linearised, contexts),
                ],
                axis=-1,
            ),
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

    def _vectors(
        self,
        base: Base,
        weights: Params,
        twin: Params,
        contexts: Weighed,
        before: np.ndarray,
        change: np.ndarray,
    ) -> list[float]:
        """Distances elsewhere from a finetuned network: of its twin, of the base network, and of that with
        each constant vector after the first block, where `before` is the stream (n, t, d) and `change` what
        finetuning made of it."""
        fit, params, written = self.vectors, base.network.params, base.patterns(1)
        answers, width = fit.answers(weights, contexts.tokens), len(written)
        inside = contexts.inside > 0
        length = float(np.sqrt(np.mean(np.square(before[inside]))))
        # as many columns for both bases, so that one program serves them
        span = np.pad(length * written, ((0, 0), (0, max(0, width - written.shape[1]))))[:, :width]
        vectors = [
            np.zeros(width),
            fit.fitted(params, answers, contexts, 1, span),
            change[inside].mean(axis=0),
            fit.fitted(params, answers, contexts, 1, length * np.eye(width)),
        ]
        noise = fit.missed(twin, answers, contexts, 1, np.zeros(width))
        return [noise, *(fit.missed(params, answers, contexts, 1, vector) for vector in vectors)]


def inside_failure(cell: InsideCell) -> str:
    """A sentence where a finetuned network stopped being finite; "" if none did."""
    if np.isfinite(cell.shift).all() and np.isfinite(cell.translation).all():
        return ""
    return "Non-finite answers or streams of a finetuned network."
