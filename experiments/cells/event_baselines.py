"""The information that streams have of an event, beside all five baselines of a probe.

    I = 1 - E KL(p ‖ p̂) / E KL(p ‖ mean p),    p the network's own exact chance of the event

All are fitted to exact chances in text that the network wrote, and scored in other documents of its own. The
foreign filter is the chance of the event by a process of settings that pretraining never had; its information
is what streams tell of it beyond the network's own chance. Shuffled chances are of another context at the
same position. Axes: c contexts, l depths, f features (`experiments.storage.inside_cell.FEATURES`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from experiments.cells.motor_reading import Judged
from experiments.cells.probe_tables import in_order
from models.probing.labels import Labels, fit_labels
from theory.probes.baselines import filter_features
from theory.probes.codes import information

Pair = tuple[np.ndarray, np.ndarray]
"""Features (n, t, d) of the text that probes are fitted on, and (c, d) of the contexts they are scored in."""


@dataclass(frozen=True, eq=False)
class EventTable:
    """Exact `labels` of an event, and the chance of it in the documents it is `judged` in, `exact` (c,)."""

    labels: Labels
    judged: Judged
    exact: Float[np.ndarray, " c"]

    def score(self, features: Pair, known: Pair | None = None) -> float:
        """I of features, or beyond what `known` others of the labelled and judged contexts have."""
        labels, exact = self.labels, _both(self.exact)
        fitted = features[0][labels.rows, labels.positions]
        every = [(fitted, features[1])]
        if known is not None:
            both = (np.concatenate(pair, axis=-1) for pair in zip(every[0], known, strict=True))
            every = [tuple(both), known]
        read = [fit_labels("log-odds", fitted, labels.targets).predict(judged) for fitted, judged in every]
        return information(exact, *read)

    def foreign(self, features: Pair, chances: Pair) -> float:
        """I of another filter's `chances` (n, t) and (c,), beyond what the network's own tell of them."""
        labels = self.labels
        targets = chances[0][labels.rows, labels.positions].clip(0, 1)
        known = filter_features(_both(labels.targets)), filter_features(_both(self.exact))
        other = replace(self, labels=Labels(labels.rows, labels.positions, targets), exact=chances[1])
        return other.score(features, known)

    def shuffled(self, features: Pair, random: np.random.Generator) -> float:
        """I of chances of other documents at the same positions."""
        labels = self.labels
        targets = labels.targets.copy()
        for position in np.unique(labels.positions):
            here = random.permutation(np.flatnonzero(labels.positions == position))
            targets[here] = labels.targets[np.roll(here, 1)]
        by_document = self.exact.reshape(len(self.judged.tokens), -1)
        order = random.permutation(len(by_document))
        moved = np.empty_like(by_document)
        moved[order] = by_document[np.roll(order, 1)]
        other = Labels(labels.rows, labels.positions, targets)
        return replace(self, labels=other, exact=moved.ravel()).score(features)

    def rows(
        self,
        streams: Sequence[Pair],
        untrained: Sequence[Pair],
        outside: Sequence[Pair],
        foreign: Pair | None,
        seed: int,
    ) -> np.ndarray:
        """The table (l, f) of streams of every depth: `outside` are the network's answers, their cubes, and
        the tokens; without a `foreign` filter its place is nan."""
        answers, cubes, tokens = (self.score(part) for part in outside)
        table = []
        for part, other in zip(streams, untrained, strict=True):
            table.append(
                in_order(
                    streams=self.score(part),
                    outputs=answers,
                    outputs_cubic=cubes,
                    untrained=self.score(other),
                    tokens=tokens,
                    foreign=np.nan if foreign is None else self.foreign(part, foreign),
                    shuffled=self.shuffled(part, np.random.default_rng(seed)),
                )
            )
        return np.array(table, np.float32)


def _both(chances: np.ndarray) -> np.ndarray:
    """Probabilities (c, 2) that the event does not come, and that it does."""
    return np.stack([1 - chances, chances], axis=-1)
