"""Documents with the exact process in them, and networks read on them: streams and answers."""

import functools
from dataclasses import dataclass

import numpy as np

from experiments.design import random_streams
from experiments.design.experiment import Experiment
from models.inside import streams
from models.network import Network
from theory.latent.mixture import Mixture
from theory.probes.beliefs import beliefs
from theory.probes.scores import held_out
from theory.probes.subspaces import normalise


@dataclass(frozen=True, eq=False)
class Documents:
    """Documents (n, t) with the exact process in them: `beliefs` (n, t, k), `components` (k, n, t, v) and
    `exact` (n, t, v) log-probabilities, the `foreign` belief, and which `positions` (n, t) of which documents
    probes are fitted on and which they are scored on."""

    tokens: np.ndarray
    beliefs: np.ndarray
    components: np.ndarray
    exact: np.ndarray
    foreign: np.ndarray
    positions: np.ndarray
    fitted: np.ndarray
    scored: np.ndarray
    held: np.ndarray

    @classmethod
    def drawn(cls, experiment: Experiment, process: Mixture) -> "Documents":
        """The documents of an experiment; the first position, before any token, does not count."""
        assert experiment.inside is not None
        key = random_streams.stream(experiment.seed, random_streams.INSIDE_DOCUMENTS)
        tokens = process.sample(key, experiment.inside.documents)
        shown = np.asarray(tokens)
        held = held_out(shown, np.random.default_rng(experiment.seed))
        positions = np.broadcast_to(np.arange(shown.shape[1]) > 0, shown.shape)
        return cls(
            shown,
            np.asarray(beliefs(process, tokens), float),
            np.asarray(process.component_log_probs(tokens), float),
            np.asarray(process.predict(tokens), float),
            np.asarray(beliefs(experiment.inside.foreign, tokens), float),
            positions,
            positions & ~held[:, None],
            positions & held[:, None],
            held,
        )


@dataclass(frozen=True, eq=False)
class Reading:
    """A network read on the documents: streams (n, l, t, d) with the embedding, and answers (n, t, v)."""

    streams: np.ndarray
    answers: np.ndarray

    @classmethod
    def of(cls, network: Network, tokens: np.ndarray) -> "Reading":
        """Forth twice, once for streams and once for answers."""
        return cls(np.asarray(streams(network, tokens)), np.asarray(network.predict(tokens), float))

    @functools.cached_property
    def normalised(self) -> np.ndarray:
        """Streams as blocks and the read-out see them, after every block: (l, n, t, d)."""
        return normalise(self.streams[:, 1:]).swapaxes(0, 1)
