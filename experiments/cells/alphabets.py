"""A concept in several alphabets: how far probes of it, edits along them and D' reach from one to another.

Documents are of one alphabet each; beliefs are over concepts, read where a block has just ended. Axes: n
documents, t positions, k concepts, l depths, d width.
"""

import functools
from dataclasses import dataclass, replace

import jax
import numpy as np
from scipy.linalg import orth

from experiments.cells.data import Questions
from experiments.cells.finetuned import swap
from experiments.cells.inside_parts import PlanPrograms, untrained_network
from experiments.cells.reading import CLEAR
from experiments.cells.steering import along, steered
from experiments.design import random_streams
from experiments.design.experiment import Arm
from experiments.design.shared_plans import AlphabetsPlan
from experiments.scoring.fits import divergence
from experiments.storage.alphabets_cell import BASELINES, GROUPS, SOURCES, AlphabetsCell
from models.inside import streams
from models.network import Network
from theory.latent.mixture import Mixture
from theory.probes.baselines import cubic, outputs, seen_tokens
from theory.probes.beliefs import beliefs
from theory.probes.calibration import (
    Response,
    against_others,
    anchored,
    answered,
    visibility,
)
from theory.probes.codes import LogOdds
from theory.probes.scores import held_out
from theory.probes.steering import beyond_fitted
from theory.probes.subspaces import angles, covariance, normalise, pattern
from theory.probes.transfer import Group, between, fit_groups, foreign_between, shuffled_between
from theory.processes.modalities import MODALITIES, Modalities

FOREIGN = 1000  # added to the seed of the renderings: those of no network


@dataclass(frozen=True, eq=False)
class Alphabet:
    """Documents (n, t) of one alphabet: `beliefs` (n, t, k), those of the filter of other renderings
    `foreign` (n, t, k), `components` (k, n, t, v) and `exact` (n, t, v) log-probabilities; `held` (n,) are
    for scores, `ends` (t,) where a block has just ended."""

    tokens: np.ndarray
    beliefs: np.ndarray
    foreign: np.ndarray
    components: np.ndarray
    exact: np.ndarray
    held: np.ndarray
    ends: np.ndarray

    @classmethod
    def drawn(cls, process: Modalities, key: jax.Array, alphabet: int, count: int, seed: int) -> "Alphabet":
        """About so many documents, of each concept its share."""
        mixture: Mixture = process.distribution()
        shares = np.exp(np.asarray(mixture.log_weights, float)).reshape(process.concepts, -1).sum(axis=1)
        numbers = np.maximum(1, np.rint(count * shares).astype(int))
        parts = [
            np.asarray(process.narrow(jax.random.fold_in(key, z), n, z, MODALITIES[alphabet]).tokens)
            for z, n in enumerate(numbers.tolist())
        ]
        tokens = np.concatenate(parts)
        renderings = mixture, replace(process, seed=process.seed + FOREIGN).distribution()
        known, foreign = (
            np.asarray(beliefs(part, tokens), float).reshape(*tokens.shape, process.concepts, -1).sum(axis=-1)
            for part in renderings
        )
        cells = np.asarray(mixture.component_log_probs(tokens), float)
        at = np.arange(tokens.shape[1])
        return cls(
            tokens,
            known,
            foreign,
            cells.reshape(process.concepts, process.homes, *cells.shape[1:])[:, alphabet % process.homes],
            np.asarray(mixture.predict(tokens), float),
            held_out(tokens, np.random.default_rng(seed)),
            (at % (1 + process.strokes) == 0) & (at > 0),
        )

    def side(self, held: bool) -> np.ndarray:
        """Ends of blocks (n, t) in the documents that are held out, or in the others."""
        return (self.held == held)[:, None] & self.ends


class AlphabetPrograms(PlanPrograms[AlphabetsPlan, Modalities]):
    """Networks are finetuned and swapped by the programs of other cells."""

    @functools.cached_property
    def alphabets(self) -> list[Alphabet]:
        """Documents of every alphabet, drawn when the first cell is run."""
        seed, count = self.experiment.seed, self.plan.documents
        return [
            Alphabet.drawn(
                self.process, random_streams.stream(seed, random_streams.ALPHABETS, index), index, count, seed
            )
            for index in range(len(MODALITIES))
        ]

    @functools.cached_property
    def groups(self) -> list[Group]:
        """The same documents, as probes read them."""
        return [
            Group(part.beliefs, part.foreign, part.side(False), part.side(True)) for part in self.alphabets
        ]

    @functools.cached_property
    def untrained(self) -> list[np.ndarray]:
        """Normalised streams (l, n, t, d) of a network that was never trained, by alphabet."""
        network = untrained_network(self.experiment)
        return [_normalised(streams_of(network, part.tokens)) for part in self.alphabets]

    def run(self, arm: Arm, network: Network, number: int) -> tuple[AlphabetsCell, str]:
        """The cell of a base network, and why it failed ("" if it did not); of all numbers alike."""
        read = [streams_of(network, part.tokens) for part in self.alphabets]
        features = [
            [_normalised(part) for part in read],
            self.untrained,
            [seen_tokens(part.tokens, self.process.vocabulary)[None] for part in self.alphabets],
        ]
        assert len(features) == len(SOURCES)
        layers = range(self.layers)
        table = np.array(
            [
                [
                    between(self.groups, [part[min(row, len(part) - 1)] for part in source])
                    for source in features
                ]
                for row in layers
            ],
            np.float32,
        )  # (l, u, 2, a, b)
        by_depth = [[part[row] for part in features[0]] for row in layers]
        probes = [fit_groups(self.groups, parts) for parts in by_depth]
        patterns = [self._patterns(*pair) for pair in zip(by_depth, probes, strict=True)]
        overlaps = [self._overlaps(*pair) for pair in zip(by_depth, patterns, strict=True)]
        slopes = [[self._slope(network, part, b, a) for b, part in enumerate(read)] for a in patterns[0]]
        toward, whole, shift, missed = self._carried(arm, network)
        cell = AlphabetsCell(
            methods=np.array([*self.experiment.methods]),
            doses=np.array(self.experiment.doses),
            depths=self.depths,
            home=np.array(MODALITIES.index(self.plan.modality)),
            information=table[:, :, 0],
            shifted=table[:, :, 1],
            overlap=np.array(overlaps, np.float32),
            slopes=np.array(slopes, np.float32),
            beyond=self._beyond(by_depth[0], probes[0]),
            toward=toward,
            whole=whole,
            shift=shift,
            missed=missed,
            baselines=self._baselines(network, by_depth),
        )
        finite = np.isfinite(cell.toward).all() and np.isfinite(cell.information).all()
        return cell, "" if finite else "Non-finite answers or streams of a network."

    def _patterns(self, features: list[np.ndarray], probes: list[LogOdds]) -> list[np.ndarray]:
        """Patterns (d, k) of every alphabet's own probe at one depth."""
        inputs = [part[alphabet.side(False)] for part, alphabet in zip(features, self.alphabets, strict=True)]
        return [pattern(probe.filters, covariance(part)) for probe, part in zip(probes, inputs, strict=True)]

    def _beyond(self, features: list[np.ndarray], probes: list[LogOdds]) -> np.ndarray:
        """Shares (a, b) of ends of blocks in b that the largest edit takes beyond all that a's probe read
        where it was fitted."""
        nats, concept = max(self.plan.nats), self.plan.concept
        shares = np.zeros((len(probes), len(probes)), np.float32)
        for a, b in np.ndindex(shares.shape):
            fitted, read = (
                against_others(probes[a].numbers(features[part][self.alphabets[part].side(held)]), concept)
                for part, held in ((a, False), (b, True))
            )
            shares[a, b] = beyond_fitted(fitted, read, nats)
        return shares

    def _baselines(self, network: Network, by_depth: list[list[np.ndarray]]) -> np.ndarray:
        """Tables (l, x, 2, a, b) of what stands beside the streams of every depth (l, a)."""
        answers = [outputs(np.asarray(network.predict(part.tokens), float)) for part in self.alphabets]
        outside = [between(self.groups, part) for part in (answers, [cubic(part) for part in answers])]
        seed = self.experiment.seed
        tables = [
            [
                *outside,
                foreign_between(self.groups, parts),
                shuffled_between(self.groups, parts, np.random.default_rng(seed)),
            ]
            for parts in by_depth
        ]
        assert len(tables[0]) == len(BASELINES)
        return np.array(tables, np.float32)

    def _overlaps(self, features: list[np.ndarray], patterns: list[np.ndarray]) -> np.ndarray:
        """Mean squared cosines (a, b) of patterns, less that of chance, whitened by the streams of all
        alphabets."""
        pairs = zip(features, self.alphabets, strict=True)
        inputs = np.concatenate([part[alphabet.side(False)] for part, alphabet in pairs])
        whole = covariance(inputs)
        chance = (self.process.concepts - 1) / orth(whole).shape[1]
        spans = [part[:, 1:] - part[:, :1] for part in patterns]
        return np.array([[np.mean(np.cos(angles(a, b, whole)) ** 2) - chance for b in spans] for a in spans])

    def _slope(self, network: Network, read: np.ndarray, b: int, patterns: np.ndarray) -> float:
        """Nats of answers in an alphabet for a nat along patterns, after the first block at every position;
        in the first symbols of blocks."""
        alphabet, concept = self.alphabets[b], self.plan.concept
        where = alphabet.held[:, None] & np.roll(alphabet.ends, 1)  # the cue was read, too
        seen = visibility(
            alphabet.components[:, where], alphabet.beliefs[where], concept, max(self.plan.nats)
        )
        clear = np.zeros_like(where)
        clear[where] = seen > CLEAR
        if not clear.any():
            return float("nan")
        base, exact = np.asarray(network.predict(alphabet.tokens), float)[clear], alphabet.exact[clear]
        odds = []
        for size in self.plan.nats:
            edit = along(read, 1, patterns[:, concept], size)
            put = anchored(np.asarray(steered(network, alphabet.tokens, edit), float)[clear], base, exact)
            odds.append(answered(put, alphabet.components[:, clear], alphabet.beliefs[clear], concept))
        return Response.of(self.plan.nats, np.stack(odds)).slope

    def _carried(self, arm: Arm, network: Network) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """`toward`, `whole`, `shift` and `missed` of the cell."""
        questions, finetuning = self.data.questions(arm), self.data.finetuning(arm, network)
        tokens = self.answers.padded(questions.tokens)
        base = np.exp(questions.at(self.answers.base(network, tokens)).astype(float))
        target = self._target(questions) - base
        masks = [questions.group == group for group in GROUPS]
        count, toward, nats = self.experiment.seeds, [], []
        for method in self.experiment.methods:
            params, *_ = self.finetuned.networks(method, network, finetuning)
            whole = questions.at(self.answers.read(tokens, params))[:count]
            swapped = questions.at(self.answers.read(tokens, swap(params, network.params)))
            parts = whole, swapped[:count], swapped[count:]
            moved = [(np.exp(part.astype(float)) - base) * target for part in parts]
            toward.append([[part[..., mask, :].sum(axis=(-1, -2)) for part in moved] for mask in masks])
            inside = masks[0]
            nats.append(
                [divergence(whole, other)[..., inside].mean(axis=-1) for other in (np.log(base), parts[1])]
            )
        squares = np.array([np.sum(target[mask] ** 2) for mask in masks])
        return (
            np.array(toward).transpose(0, 3, 4, 1, 2).astype(np.float32),
            squares.astype(np.float32),
            *np.moveaxis(np.array(nats), 1, 0).astype(np.float32),
        )

    def _target(self, questions: Questions) -> np.ndarray:
        """The concept's own answers (c, a), of the home that the context allows."""
        at = questions.rows, questions.positions
        cells = self.plan.concept * self.process.homes + np.arange(self.process.homes)
        evidence = np.asarray(self.mixture.evidence(questions.tokens), float)[:, at[0], at[1]][cells]
        answers = np.asarray(self.mixture.component_log_probs(questions.tokens), float)[:, at[0], at[1]]
        allowed = cells[evidence.argmax(axis=0)]
        return np.exp(answers[allowed, np.arange(len(allowed)), self.process.answer_tokens])


def streams_of(network: Network, tokens: np.ndarray) -> np.ndarray:
    """Streams (n, l, t, d) of a network."""
    return np.asarray(streams(network, tokens))


def _normalised(read: np.ndarray) -> np.ndarray:
    """Streams after every block as blocks see them (l, n, t, d)."""
    return normalise(read[:, 1:]).swapaxes(0, 1)
