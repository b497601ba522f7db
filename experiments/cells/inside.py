"""The inside of a base network and of its finetuned ones: probes of the exact belief, read and steered.

Documents of pretraining are drawn once for all networks. On some of them probes are fitted, at every depth
after the embedding; on the others everything is measured (docs/inside.md). Streams are read, measured and
forgotten: a cell keeps numbers alone.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cells.answers import AnswerPrograms
from experiments.cells.data import Finetuning, FinetuningData
from experiments.cells.finetuned import FinetunedPrograms
from experiments.cells.reading import Documents, Reading
from experiments.cells.steering import ConstantVectors, Weighed, along, steered, steered_alone
from experiments.design import random_streams
from experiments.design.experiment import Arm, Experiment
from experiments.storage.inside_cell import CODES, FACTORS, FEATURES, RESPONSE, InsideCell
from models.inside import streams
from models.network import Network, build, first
from theory.base import Params
from theory.latent.mixture import Mixture
from theory.probes.calibration import (
    Rescaling,
    Response,
    against_others,
    anchored,
    answered,
    kept_information,
    two_way,
    visibility,
)
from theory.probes.codes import LogOdds, fit_log_odds, fit_probability
from theory.probes.factors import (
    beyond_factors,
    explained_dimensions,
    factor_angle,
    interaction,
    varies,
)
from theory.probes.scores import ProbeData, compare, score_numbers
from theory.probes.subspaces import covariance, pattern
from theory.probes.translation import Translation, centred

FITS = dict(zip(CODES, (fit_log_odds, fit_probability), strict=True))
UNTRAINED = 1000  # the seed of the untrained network
CLEAR = 0.002  # nats by which exact answers change under the largest edit, in contexts that count for it


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
        assert experiment.inside is not None
        self.experiment, self.template, self.plan = experiment, template, experiment.inside
        self.finetuned, self.data = finetuned, data
        self.process: Mixture = experiment.process.distribution()
        self.depths = np.arange(1, 1 + experiment.shape.layers)
        self.vectors = ConstantVectors(template, answers.part)

    @functools.cached_property
    def documents(self) -> Documents:
        """Drawn when the first cell is run."""
        return Documents.drawn(self.experiment, self.process)

    def run(self, arm: Arm, network: Network) -> InsideCell:
        """The cell of a base network."""
        documents = self.documents
        finetuning = self.data.finetuning(arm, network)
        target = self._target(finetuning)
        base = Reading.of(network, documents.tokens)
        probes = [
            fit_log_odds(part[documents.fitted], documents.beliefs[documents.fitted])
            for part in base.normalised
        ]
        edited = sorted({1, int(self.depths[-1])})
        written = {depth: self._patterns(base, probes, depth) for depth in edited}
        key = random_streams.stream(self.experiment.seed, random_streams.INSIDE_DATA)
        weighed = Weighed.of(self.data.questions(arm), arm.task.data(key, self.experiment.n))
        every = [self._networks(method, network, finetuning) for method in self.experiment.methods]
        measured = [
            [
                [
                    self._finetuned(network, nets, seed, dose, base, probes, target, weighed, written[1])
                    for dose in range(len(self.experiment.doses))
                ]
                for seed in range(self.experiment.seeds)
            ]
            for nets in every
        ]

        def stacked(name: str) -> np.ndarray:
            return np.array([[[part[name] for part in row] for row in rows] for rows in measured], np.float32)

        response = [
            [self._response(network, base, target, depth, written[depth], alone) for alone in (False, True)]
            for depth in edited
        ]
        return InsideCell(
            methods=np.array([*self.experiment.methods]),
            doses=np.array(self.experiment.doses),
            depths=self.depths,
            edited=np.array(edited),
            information=self._information(base),
            response=np.array(
                [[[getattr(part, name) for name in RESPONSE] for part in row] for row in response], np.float32
            ),
            translation=stacked("translation"),
            shift=stacked("shift"),
            missed=stacked("missed"),
            old_probes=stacked("old_probes"),
            slopes=stacked("slopes"),
            base_slopes=np.array(self._slopes(base, base, probes, target), np.float32),
            factors=self._factors(base),
        )

    def _target(self, finetuning: Finetuning) -> int:
        """The hypothesis under which D' is most likely."""
        data = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), finetuning.data)
        return int(np.argmax(np.asarray(self.process.log_likelihoods(data)).sum(axis=-1)))

    def _networks(self, method: str, network: Network, finetuning: Finetuning) -> Params:
        """Weights (2 s, d, ...) of networks, then of those that met the same D' in another order."""
        count = self.experiment.seeds
        data = finetuning.padded(self.experiment.n)
        data = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf]), data)
        orders = np.concatenate([finetuning.order, finetuning.replica_order])
        seeds = np.arange(2 * count, dtype=np.int32) % count
        return self.finetuned.finetune[method](network.params, data, orders, seeds)[0]

    def _patterns(self, base: Reading, probes: Sequence[LogOdds], depth: int) -> np.ndarray:
        """Directions (d, k) by which each hypothesis gains a nat on the others, as the probe reads it."""
        documents, index = self.documents, depth - 1
        return pattern(probes[index].filters, covariance(base.normalised[index][documents.fitted]))

    def _information(self, base: Reading) -> np.ndarray:
        """I of streams and of all baselines, (p, l, f, h)."""
        documents, process = self.documents, self.experiment.process
        other = first(build(self.experiment.shape, process.vocabulary, process.length, [UNTRAINED]))
        untrained = np.asarray(streams(other, documents.tokens))
        tables = [
            [
                compare(
                    ProbeData(
                        base.streams[:, depth],
                        documents.beliefs,
                        base.answers,
                        untrained[:, depth],
                        documents.tokens,
                        documents.foreign,
                        documents.positions,
                    ),
                    fit,
                    self.experiment.seed,
                )
                for depth in self.depths
            ]
            for fit in FITS.values()
        ]
        scores = [
            [[(score.held_out, score.in_sample) for _, score in table.rows()] for table in row]
            for row in tables
        ]
        assert len(scores[0][0]) == len(FEATURES)
        return np.array(scores, np.float32)

    def _response(
        self, network: Network, base: Reading, target: int, depth: int, written: np.ndarray, alone: bool
    ) -> Response:
        """Steer along a pattern, in contexts whose exact answers would show it: every position, or `alone`
        the one whose answer is read."""
        documents, nats = self.documents, self.plan.nats
        counted = documents.scored & self._shown(target, max(nats))
        read = []
        for size in nats:
            shifts = along(base.streams, depth, written[:, target], size)
            answers = (steered_alone if alone else steered)(network, documents.tokens, shifts)
            answers = np.asarray(answers, float)
            read.append(self._answered(answers, base, target, counted))
        return Response.of(nats, np.stack(read))

    def _shown(self, target: int, nats: float) -> np.ndarray:
        documents = self.documents
        return visibility(documents.components, documents.beliefs, target, nats) > CLEAR

    def _answered(self, answers: np.ndarray, base: Reading, target: int, counted: np.ndarray) -> np.ndarray:
        """Log-odds of the target in a network's answers, without the error of the base network."""
        documents = self.documents
        put = anchored(answers[counted], base.answers[counted], documents.exact[counted])
        return answered(put, documents.components[:, counted], documents.beliefs[counted], target)

    def _finetuned(
        self,
        network: Network,
        params: Params,
        seed: int,
        dose: int,
        base: Reading,
        probes: Sequence[LogOdds],
        target: int,
        weighed: Weighed,
        written: np.ndarray,
    ) -> dict[str, object]:
        """Everything of one finetuned network and its replica."""
        tokens, count = self.documents.tokens, self.experiment.seeds
        weights, twins = (
            jax.tree.map(lambda leaf, row=row: jnp.asarray(leaf[row, dose]), params)
            for row in (seed, seed + count)
        )
        reading, twin = (Reading.of(network.with_params(part), tokens) for part in (weights, twins))
        shift, missed = self._vectors(network, weights, weighed, written)
        return {
            "translation": self._translation(base, reading, twin, probes, target),
            "old_probes": self._old_probes(base, reading, twin, probes),
            "slopes": self._slopes(base, reading, probes, target),
            "shift": shift,
            "missed": missed,
        }

    def _translation(
        self, base: Reading, after: Reading, twin: Reading, probes: Sequence[LogOdds], target: int
    ) -> list[list[float]]:
        """Of the probe's log-odds, by depth, with the spread between network and twin."""
        results, scored = [], self.documents.scored
        for index, probe in enumerate(probes):
            before, moved, other = (
                probe.numbers(reading.normalised[index][scored]) for reading in (base, after, twin)
            )
            translation = Translation.of(before, moved)
            between = Translation.of(other, moved)
            apart = np.std(centred(moved - other) - between.shift)
            others = np.delete(translation.shift, target).mean()
            results.append(
                [
                    translation.slope,
                    translation.spread,
                    translation.size,
                    translation.shift[target] - others,
                    float(apart),
                ]
            )
        return results

    def _old_probes(
        self, base: Reading, after: Reading, twin: Reading, probes: Sequence[LogOdds]
    ) -> list[list[float]]:
        """I after one constant shift: of base, finetuned network and twin by the base network's probe, and of
        the finetuned network by a probe of its own."""
        documents, results = self.documents, []
        scored, fitted = documents.scored, documents.fitted
        for index, probe in enumerate(probes):
            refitted = fit_log_odds(after.normalised[index][fitted], documents.beliefs[fitted])
            pairs = ((base, probe), (after, probe), (twin, probe), (after, refitted))
            results.append(
                [
                    kept_information(
                        reader.numbers(reading.normalised[index][scored]),
                        documents.beliefs[scored],
                        reader.numbers(reading.normalised[index][fitted]),
                        documents.beliefs[fitted],
                    )
                    for reading, reader in pairs
                ]
            )
        return results

    def _slopes(
        self, base: Reading, after: Reading, probes: Sequence[LogOdds], target: int
    ) -> list[list[float]]:
        """The base network's probe against the exact posterior with one constant shift, and against the
        network's own answers, where these would show the belief."""
        documents = self.documents
        scored = documents.scored
        counted = scored & self._shown(target, max(self.plan.nats))
        answers = two_way(self._answered(after.answers, base, target, counted))
        results = []
        for index, probe in enumerate(probes):
            numbers = probe.numbers(after.normalised[index])
            read = against_others(numbers[counted], target)
            exact = Rescaling.fit(centred(numbers[scored]), documents.beliefs[scored]).slope
            outputs = Rescaling.fit(np.stack([read, np.zeros_like(read)], axis=-1), answers).slope
            results.append([exact, outputs])
        return results

    def _vectors(
        self, network: Network, weights: Params, weighed: Weighed, written: np.ndarray
    ) -> tuple[float, list[float]]:
        """Distances elsewhere from the finetuned network: of the base network, and with each constant vector
        after the first block."""
        fit, params = self.vectors, network.params
        answers = fit.answers(weights, weighed.tokens)
        width = len(written)
        moved, before = (
            np.asarray(streams(network.with_params(part), weighed.tokens))[:, 1] for part in (weights, params)
        )
        inside = weighed.inside > 0
        length = float(np.sqrt(np.mean(np.square(before[inside]))))
        span = np.pad(length * written, ((0, 0), (0, max(0, width - written.shape[1]))))[:, :width]
        chosen = [
            fit.fitted(params, answers, weighed, 1, span),
            (moved - before)[inside].mean(axis=0),
            fit.fitted(params, answers, weighed, 1, length * np.eye(width)),
        ]
        missed = [fit.missed(params, answers, weighed, 1, vector) for vector in (np.zeros(width), *chosen)]
        return missed[0], missed[1:]

    def _factors(self, base: Reading) -> np.ndarray:
        """Of every depth; nan where the hypotheses are no combinations of two factors."""
        documents, factors = self.documents, self.process.factors
        results = np.full((len(self.depths), len(FACTORS)), np.nan, np.float32)
        if len(factors) != 2:
            return results
        both = interaction(documents.beliefs, factors)
        beyond = beyond_factors(documents.beliefs, factors, documents.fitted)
        rows = documents.beliefs[documents.fitted]
        for index, part in enumerate(base.normalised):
            for column, target in enumerate((both, beyond)):
                if varies(target):
                    score = score_numbers(part, target, documents.held, documents.positions)
                    results[index, column] = score.held_out
            inputs = part[documents.fitted]
            results[index, 2:] = explained_dimensions(inputs, rows), factor_angle(inputs, rows, factors)
        return results


def inside_failure(cell: InsideCell) -> str:
    """A sentence where a finetuned network stopped being finite; "" if none did."""
    if np.isfinite(cell.shift).all() and np.isfinite(cell.translation).all():
        return ""
    return "Non-finite answers or streams of a finetuned network."
