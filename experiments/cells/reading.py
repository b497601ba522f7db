"""Documents with the exact process in them, and networks read on them: streams and answers."""

import functools
from dataclasses import dataclass

import numpy as np

from experiments.design import random_streams
from experiments.design.experiment import Experiment
from experiments.design.inside_plan import InsidePlan
from models.inside import streams
from models.network import Network
from theory.latent.mixture import Mixture
from theory.probes.beliefs import beliefs
from theory.probes.calibration import against_others, anchored, answered, visibility
from theory.probes.codes import LogOdds, fit_log_odds
from theory.probes.scores import held_out
from theory.probes.steering import beyond_fitted
from theory.probes.subspaces import covariance, normalise, pattern

CLEAR = 0.002  # nats by which exact answers change under an edit, in the contexts that count for it


@dataclass(frozen=True, eq=False)
class Documents:
    """Documents (n, t) with the exact process in them: `beliefs` (n, t, k), `components` (k, n, t, v) and
    `exact` (n, t, v) log-probabilities, and the `foreign` belief. Documents `held` (n,) are for scores, the
    others for fits; `positions` (n, t) count."""

    tokens: np.ndarray
    beliefs: np.ndarray
    components: np.ndarray
    exact: np.ndarray
    foreign: np.ndarray
    held: np.ndarray
    positions: np.ndarray

    @classmethod
    def drawn(cls, experiment: Experiment, process: Mixture) -> "Documents":
        """The documents of an experiment; the first position, before any token, does not count."""
        assert isinstance(experiment.inside, InsidePlan)
        key = random_streams.stream(experiment.seed, random_streams.INSIDE_DOCUMENTS)
        drawn = process.sample(key, experiment.inside.documents)
        tokens = np.asarray(drawn)
        return cls(
            tokens,
            np.asarray(beliefs(process, drawn), float),
            np.asarray(process.component_log_probs(drawn), float),
            np.asarray(process.predict(drawn), float),
            np.asarray(beliefs(experiment.inside.foreign, drawn), float),
            held_out(tokens, np.random.default_rng(experiment.seed)),
            np.broadcast_to(np.arange(tokens.shape[1]) > 0, tokens.shape),
        )

    @functools.cached_property
    def fitted(self) -> np.ndarray:
        """The positions (n, t) on which probes are fitted."""
        return self.positions & ~self.held[:, None]

    @functools.cached_property
    def scored(self) -> np.ndarray:
        """The positions (n, t) on which they are scored."""
        return self.positions & self.held[:, None]

    def clear(self, target: int, nats: float) -> np.ndarray:
        """The scored positions (n, t) whose exact answers show an edit of the target by so many nats."""
        return self.scored & (visibility(self.components, self.beliefs, target, nats) > CLEAR)


@dataclass(frozen=True, eq=False)
class NetworkReading:
    """A network read on the documents: streams (n, l, t, d) with the embedding, and answers (n, t, v)."""

    streams: np.ndarray
    answers: np.ndarray

    @classmethod
    def of(cls, network: Network, tokens: np.ndarray) -> "NetworkReading":
        """Forth twice, once for streams and once for answers."""
        return cls(np.asarray(streams(network, tokens)), np.asarray(network.predict(tokens), float))

    @functools.cached_property
    def normalised(self) -> np.ndarray:
        """Streams as blocks and the read-out see them, after every block: (l, n, t, d)."""
        return normalise(self.streams[:, 1:]).swapaxes(0, 1)

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the network are."""
        return bool(np.isfinite(self.streams).all() and np.isfinite(self.answers).all())


@dataclass(frozen=True, eq=False)
class Base:
    """A base network, read, with its log-odds probe of every depth after the embedding. The `target` is the
    hypothesis of D'; contexts are `clear` (n, t) where exact answers show an edit of it."""

    network: Network
    documents: Documents
    reading: NetworkReading
    probes: tuple[LogOdds, ...]
    target: int
    clear: np.ndarray

    @classmethod
    def of(cls, network: Network, documents: Documents, target: int, nats: float) -> "Base":
        """Read a network and fit its probes; `nats` are those of the largest edit."""
        reading, fitted = NetworkReading.of(network, documents.tokens), documents.fitted
        known = documents.beliefs[fitted]
        probes = tuple(fit_log_odds(part[fitted], known) for part in reading.normalised)
        return cls(network, documents, reading, probes, target, documents.clear(target, nats))

    def patterns(self, depth: int) -> np.ndarray:
        """Directions (d, k) by which each hypothesis gains a nat on the others, as the probe reads it."""
        inputs = self.reading.normalised[depth - 1][self.documents.fitted]
        return pattern(self.probes[depth - 1].filters, covariance(inputs))

    def beyond(self, depth: int, nats: float) -> float:
        """The share of clear contexts that an edit of the target by so many nats takes beyond all log-odds
        that the probe read where it was fitted; nan without these contexts."""
        numbers = self.probes[depth - 1].numbers(self.reading.normalised[depth - 1])
        fitted, read = (
            against_others(numbers[part], self.target) for part in (self.documents.fitted, self.clear)
        )
        return beyond_fitted(fitted, read, nats)

    def answered(self, answers: np.ndarray) -> np.ndarray:
        """Log-odds of the target in a network's answers (n, t, v), in clear contexts, without the error of
        the base network."""
        documents, clear = self.documents, self.clear
        put = anchored(answers[clear], self.reading.answers[clear], documents.exact[clear])
        return answered(put, documents.components[:, clear], documents.beliefs[clear], self.target)
