"""Networks read for probes of events: their streams in every text, and documents of their own to judge on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int

from models.inside import Edited, edited, shape, streams
from models.network import Network
from models.probing.labels import Labels, Text, Texts, fit_labels
from theory.latent.mixture import Mixture
from theory.probes import futures
from theory.probes.automata import Automaton
from theory.probes.baselines import cubic, outputs, seen_tokens
from theory.probes.beliefs import as_chains, state_beliefs
from theory.probes.readings import Reading, score_reading
from theory.probes.subspaces import normalise

LEAST = 1e-6  # probability that counts as possible in features and moves of log-odds


@dataclass(frozen=True, eq=False)
class Read:
    """A network with its texts, normalised streams (n, l, t, d) of each, and the size (l,) of raw ones."""

    network: Edited
    texts: Texts
    streams: dict[str, np.ndarray]
    sizes: Float[np.ndarray, " l"]

    @classmethod
    def of(cls, network: Edited, texts: Texts) -> Self:
        """Read every text."""
        parts = {"written": texts.written, "process": texts.process, "other": texts.other}
        raw = {name: np.asarray(streams(network, text.tokens)) for name, text in parts.items()}
        sizes = np.sqrt(np.mean(np.square(raw["process"], dtype=float), axis=(0, 2, 3)))
        return cls(network, texts, {name: normalise(part) for name, part in raw.items()}, sizes)

    def features(self, text: str, labels: Labels, depth: int) -> Float[np.ndarray, "c d"]:
        """The streams of labelled contexts."""
        return self.streams[text][labels.rows, depth, labels.positions]


@dataclass(frozen=True, eq=False)
class Judged:
    """Documents (n, t) that a network wrote, and its own p(A) of every event (e, c) at some positions of
    each; contexts are in order of documents."""

    tokens: Int[np.ndarray, "n t"]
    positions: Int[np.ndarray, " p"]
    exact: Float[np.ndarray, "e c"]

    @classmethod
    def of(
        cls,
        network: Edited,
        events: Sequence[Automaton],
        documents: int,
        positions: Int[np.ndarray, " p"],
        random: np.random.Generator,
    ) -> Self:
        """Let the network write, and sum over its continuations."""
        tokens = futures.write(network, documents, shape(network)[1], random)
        return cls(tokens, positions, chances(network, events, tokens, positions))

    def at(self, values: Float[np.ndarray, "n t *rest"]) -> Float[np.ndarray, " c *rest"]:
        """Of values at every position, those at the judged ones."""
        picked = values[:, self.positions]
        return picked.reshape(-1, *picked.shape[2:])


def chances(
    network: Edited, events: Sequence[Automaton], tokens: np.ndarray, positions: np.ndarray
) -> Float[np.ndarray, "e c"]:
    """The network's own p(A) of every event, contexts in order of documents."""
    rows = [futures.of_predictor(network, event, tokens, positions.tolist()) for event in events]
    return np.stack(rows).reshape(len(events), -1).clip(0, 1)


def still(network: Network | Edited) -> Edited:
    """The network with an edit that changes nothing: it then shares its programs with edited ones."""
    depths, _, width = shape(network)
    return edited(network, depths - 1, np.zeros(width))


def log_odds(chance: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Log-odds (nats) of probabilities, of `LEAST` at least."""
    chance = np.asarray(chance, float).clip(LEAST, 1 - LEAST)
    return np.log(chance) - np.log1p(-chance)


@dataclass(frozen=True, eq=False)
class Situation:
    """The exact process in a text: features (n, t, f) of the mixed state, those of its hidden state alone
    (the place, whatever the hypothesis), and p(A) of every event (e, n, t)."""

    mixed: Float[np.ndarray, "n t f"]
    hidden: Float[np.ndarray, "n t s"]
    exact: Float[np.ndarray, "e n t"]

    @classmethod
    def of(cls, process: Mixture, events: Sequence[Automaton], tokens: np.ndarray) -> Self:
        """Filter a text; where a network has written something impossible nothing is known."""
        known = np.nan_to_num(np.asarray(state_beliefs(as_chains(process), tokens), float))
        values = [futures.values(process, event) for event in events]
        exact = np.stack([np.einsum("ntks,ks->nt", known, value) for value in values]).clip(0, 1)
        return cls(known.reshape(*known.shape[:2], -1), known.sum(axis=2), exact)

    def all(self, index: int) -> Float[np.ndarray, "n t g"]:
        """The mixed state, and the log-odds of an event by it."""
        return np.concatenate([self.mixed, log_odds(self.exact[index])[..., None]], axis=-1)


def baseline_features(
    event: Automaton, answers: np.ndarray, situation: Situation, tokens: np.ndarray, untrained: np.ndarray
) -> dict[str, Float[np.ndarray, "n t f"]]:
    """Features of the outside of the stream, by the name of their baseline."""
    at_once = ~event.can(False)[event.horizon - 1, event.moves[0]]  # tokens that make it true
    return {
        "one step": log_odds(np.exp(answers) @ at_once)[..., None],
        "outputs": cubic(outputs(answers)),
        "place": situation.hidden,
        "tokens": seen_tokens(tokens, event.vocabulary),
        "untrained": untrained,
    }


def reading_of(
    features: Float[np.ndarray, "n t f"],
    judged_features: Float[np.ndarray, "c f"],
    text: Text,
    labels: Labels,
    exact: Float[np.ndarray, " c"],
) -> Reading:
    """The reading of features that are fitted to the labels of a text, by the link of log-odds."""
    fitted = fit_labels("log-odds", features[labels.rows, labels.positions], labels.targets)
    return score_reading(fitted.predict(judged_features)[:, 1], exact)
