"""Tables of probes of every depth of a network, beside all baselines.

Axes: n documents, t positions, l depths after the embedding, f features
(`experiments.storage.inside_cell.FEATURES`), h held out and in sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from experiments.storage.inside_cell import FEATURES
from theory.probes.scores import ProbeData, ProbeTable

ScoreT = TypeVar("ScoreT")


@dataclass(frozen=True, eq=False)
class Probed:
    """Documents as a network reads them: its streams with the embedding (n, m, t, d), its log-probabilities,
    and the streams of a network that was never trained."""

    tokens: Int[np.ndarray, "n t"]
    streams: np.ndarray
    answers: Float[np.ndarray, "n t v"]
    untrained: np.ndarray

    def table(
        self,
        known: Float[np.ndarray, "n t k"],
        foreign: Float[np.ndarray, "n t j"],
        positions: Bool[np.ndarray, "n t"],
        score: Callable[[ProbeData], ProbeTable],
    ) -> Float[np.ndarray, "l f h"]:
        """Scores of what is `known` exactly, at some positions."""
        rows = []
        for depth in range(1, self.streams.shape[1]):
            inside, never = self.streams[:, depth], self.untrained[:, depth]
            data = ProbeData(inside, known, self.answers, never, self.tokens, foreign, positions)
            rows.append([(part.held_out, part.in_sample) for _, part in score(data).rows()])
        return np.array(rows)


def in_order(**scores: ScoreT) -> list[ScoreT]:
    """Scores by feature, as tables have them."""
    return [scores[feature.replace(" ", "_")] for feature in FEATURES]
