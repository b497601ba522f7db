"""Edits of the stream in AddK by which D's k gains nats: in the question, and in every pair shown.

What the stream at a question holds after the last block is not which k but which answer, x + k, so the
pattern there depends on the question. Before the last block the stream at an answer holds the evidence of its
pair. Axes: l depths, n contexts, t positions, d width, v tokens, w where it is edited.
"""

from dataclasses import dataclass

import numpy as np

from experiments.cells.addition import Reader, read_streams
from experiments.cells.shots import Shots
from experiments.cells.steering import along
from experiments.storage.currencies_cell import WHERE
from models.network import Network
from theory.probes.steering import beyond_span
from theory.processes.add_k import AddK

Readers = tuple[Reader, Reader]  # of the answer at a question, and of a pair at its answer


@dataclass(frozen=True)
class Edit:
    """The `shift` (l, n, t, d) that adds a nat, and what the probe reads where it is added, with the least
    and the most that it read where it was fitted."""

    shift: np.ndarray
    read: np.ndarray
    span: tuple[np.ndarray, np.ndarray]

    def beyond(self, nats: float) -> float:
        """The share of edits by so many nats that leave what the probe ever read."""
        return beyond_span(self.read, nats, self.span) if self.read.size else float("nan")


def edits(network: Network, shots: Shots, readers: Readers, process: AddK) -> tuple[Edit, Edit]:
    """Edits of a network, along the base network's patterns, by where they are (w)."""
    read, last = read_streams(network, shots.tokens), len(network.params["blocks"])
    rows, at = np.arange(len(shots.tokens)), np.arange(shots.tokens.shape[1])
    answer = (shots.tokens[rows, shots.positions - 1] + shots.shift) % process.modulus
    shown = (at % 2 == 0) & (at > 0) & (at < shots.positions[:, None])
    question, pairs = readers
    evidence = pairs.read(read[:, last - 1][shown])[:, shots.shift]
    low, high = pairs.span
    made = (
        Edit(
            along(read, last, question.patterns.T[answer][:, None], 1.0),
            question.read(read[rows, last, shots.positions])[rows, answer],
            (question.span[0][answer], question.span[1][answer]),
        ),
        Edit(
            along(read, last - 1, pairs.patterns[:, shots.shift], 1.0) * shown[..., None],
            evidence,
            (np.full_like(evidence, low[shots.shift]), np.full_like(evidence, high[shots.shift])),
        ),
    )
    assert len(made) == len(WHERE)
    return made


def by_token(network: Network, readers: Readers, process: AddK, shift: int) -> np.ndarray:
    """The same edits by the token just read (w, l, v, d), for a network that is finetuned under them: a nat
    at every question, or at every answer."""
    depths, m = 1 + len(network.params["blocks"]), process.modulus
    question, pairs = readers
    directions = np.zeros((len(WHERE), depths, process.vocabulary, len(question.patterns)), np.float32)
    directions[0, -1, :m] = question.patterns.T[(np.arange(m) + shift) % m]
    directions[1, -2, m:] = pairs.patterns[:, shift]
    return directions
