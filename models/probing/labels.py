"""Labels of an event for a probe of a network, in seven regimes: where the text is from, and what is a label.

    regime         text                  target of a context
    on-policy      the network's own     whether A came there
    soft           the network's own     its exact p(A | x_<t), in place of an outcome: the ceiling
    half           the process           whether A came in a continuation that the network draws
    off-policy     the process           whether A came there
    contrastive    the process           whether A has just come, in the last m tokens: read after A, as a
                                         detector is
    other writer   one hypothesis        whether A came there
    description    the process           its exact p(A | x_<t): no label at all

A context has one label, so labels and contexts are counted alike; documents are fewer, as each lends many
contexts. Contexts are drawn at random among those from position 1 on after which the longest event fits; the
first n of them are the n labels, so that fewer labels are a part of more.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from models.inside import Edited
from models.network import Network
from theory.base import Key
from theory.latent.mixture import Mixture
from theory.probes import futures
from theory.probes.automata import Automaton
from theory.probes.codes import Linear, fit_log_odds, fit_probability

NEVER = -100.0  # log-weight of the hypotheses that do not write


class Labels(NamedTuple):
    """Contexts (rows, positions) of a text with the targets (c,) of a probe."""

    rows: Int[np.ndarray, " c"]
    positions: Int[np.ndarray, " c"]
    targets: Float[np.ndarray, " c"]


@dataclass(frozen=True, eq=False)
class Text:
    """Documents (n, t) and the contexts (c,) in them that are labelled, in random order."""

    tokens: Int[np.ndarray, "n t"]
    rows: Int[np.ndarray, " c"]
    positions: Int[np.ndarray, " c"]

    @classmethod
    def of(cls, tokens: np.ndarray, count: int, last: int, random: np.random.Generator) -> Self:
        """So many contexts of documents, at positions 1 ... last."""
        rows, before = np.divmod(random.permutation(len(tokens) * last)[:count], last)
        return cls(np.asarray(tokens), rows, before + 1)

    def came(self, event: Automaton) -> Float[np.ndarray, " c"]:
        """Whether the event came after each context."""
        steps = self.positions[:, None] + np.arange(event.horizon)
        return event.holds(self.tokens[self.rows[:, None], steps]).astype(float)


@dataclass(frozen=True, eq=False)
class Texts:
    """The texts that a network is read on, and the continuations (c, m) that it draws in the process's."""

    written: Text
    process: Text
    other: Text
    drawn: Int[np.ndarray, "c m"]

    @classmethod
    def of(
        cls,
        network: Network | Edited,
        process: Mixture,
        writer: int,
        count: int,
        horizon: int,
        length: int,
        key: Key,
        random: np.random.Generator,
    ) -> Self:
        """So many contexts of every text, for events of at most `horizon` tokens; hypothesis `writer` is the
        other writer."""
        last = length - horizon
        documents = -(-count // last)
        only = jnp.where(jnp.arange(len(process.log_weights)) == writer, 0.0, NEVER)
        sources = (process, process.with_log_weights(only))
        theirs, others = (
            Text.of(np.asarray(source.sample(key, documents)), count, last, random) for source in sources
        )
        written = Text.of(futures.write(network, documents, length, random), count, last, random)
        return cls(written, theirs, others, _continued(network, theirs, horizon, random))

    def of_network(self, network: Network | Edited, horizon: int, random: np.random.Generator) -> Self:
        """The same for another network, by which no text of the process changes."""
        count, (documents, length) = len(self.written.rows), self.written.tokens.shape
        tokens = futures.write(network, documents, length, random)
        text = Text.of(tokens, count, length - horizon, random)
        return replace(self, written=text, drawn=_continued(network, self.process, horizon, random))

    def labels(self, regime: str, event: Automaton) -> Labels:
        """The labels of a regime that needs outcomes alone: neither soft nor description."""
        if regime == "half":
            text, came = self.process, event.holds(self.drawn[:, : event.horizon]).astype(float)
        elif regime == "contrastive":
            text = self.process
            text = replace(text, positions=np.maximum(text.positions, event.horizon))
            came = replace(text, positions=text.positions - event.horizon).came(event)
        else:
            text = {"on-policy": self.written, "off-policy": self.process, "other writer": self.other}[regime]
            came = text.came(event)
        return Labels(text.rows, text.positions, came)

    def text(self, regime: str) -> str:
        """The name of the text of a regime."""
        return {"on-policy": "written", "soft": "written", "other writer": "other"}.get(regime, "process")


def soft_labels(network: Network | Edited, text: Text, event: Automaton, count: int) -> Labels:
    """The network's own p(A) in the first contexts of a text."""
    rows, positions = text.rows[:count], text.positions[:count]
    targets = np.zeros(len(rows))
    for position in np.unique(positions).tolist():
        here = positions == position
        chances = futures.of_predictor(network, event, text.tokens[rows[here]], [position])
        targets[here] = chances[:, 0].clip(0, 1)
    return Labels(rows, positions, targets)


def fit_labels(link: str, features: Float[np.ndarray, "c d"], targets: Float[np.ndarray, " c"]) -> Linear:
    """The probe of (not A, A) with the most plausible filters under a Gaussian prior of one nat of log-odds
    for a standard deviation of a feature, and half a label for either outcome in advance.

    So is the ridge fixed by the number of labels, and a probability probe has the one of the same prior.
    """
    count = len(targets)
    chances = (count * targets + 0.5) / (count + 1)
    both = np.stack([1 - chances, chances], axis=-1)
    if link == "log-odds":
        return fit_log_odds(features, both, 1 / count)
    mean = chances.mean()
    return fit_probability(features, both, 1 / (count * mean * (1 - mean)))


def _continued(
    network: Network | Edited, text: Text, horizon: int, random: np.random.Generator
) -> Int[np.ndarray, "c m"]:
    return futures.continued(network, text.tokens[text.rows], text.positions, horizon, random)
