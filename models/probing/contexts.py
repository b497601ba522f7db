"""Contexts of a probe of an event: those that it is fitted on, and the network's own, which judge it.

    fitted     documents of the process with its exact p(A | x_<t), or, for labels, contexts of documents that
               the network wrote, each with whether A came there
    judged     other documents of the network, at some positions; steering takes some of these

Contexts begin at position 1 and end where the event still fits. Where a chain of the process is not known
(theory.probes.beliefs), its p(A) is a sum over continuations, and fewer contexts are fitted.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Int

from models.inside import Edited, shape
from theory.base import Misuse
from theory.latent.mixture import Mixture
from theory.probes import futures
from theory.probes.automata import Automaton
from theory.probes.beliefs import as_chains

DOCUMENTS, JUDGED = 448, 64  # of the process, to fit; of the network, to judge
CONTEXTS, STEERED = 512, 64  # of the latter, at most: where probes are judged; where they steer
READ = 12_000  # continuations that judging reads, if two contexts a document do not have more


@dataclass(frozen=True)
class Contexts:
    """Documents to fit on, then those to judge on; indices (rows, positions) of the contexts of both, the
    targets of the former, and what the exact process says of the latter (documents, positions)."""

    tokens: Int[np.ndarray, "n t"]
    fitted: tuple[np.ndarray, np.ndarray]
    targets: Float[np.ndarray, " c"]
    positions: Int[np.ndarray, " p"]
    process: Float[np.ndarray, "j p"]

    @property
    def judged_documents(self) -> Int[np.ndarray, "j t"]:
        """The documents to judge on."""
        return self.tokens[-JUDGED:]

    @property
    def judged(self) -> tuple[np.ndarray, np.ndarray]:
        """The judged contexts, document by document."""
        rows = np.arange(len(self.tokens) - JUDGED, len(self.tokens))
        return np.repeat(rows, len(self.positions)), np.tile(self.positions, JUDGED)

    @property
    def steered(self) -> tuple[np.ndarray, list[int]]:
        """Documents and positions of the contexts that are steered in, some of those judged."""
        columns = np.unique(np.linspace(0, len(self.positions) - 1, 4).round().astype(int))
        return self.judged_documents[: STEERED // len(columns)], self.positions[columns].tolist()

    @classmethod
    def drawn(cls, network: Edited, process: Mixture, event: Automaton, labels: int, seed: int) -> "Contexts":
        """Draw documents of the process or, for labels, of the network, and others of the network."""
        random = np.random.default_rng(seed)
        length = shape(network)[1]
        last = length - event.horizon
        grid = int(np.clip(READ // futures.passes(event), 2 * JUDGED, CONTEXTS)) // JUDGED
        positions = np.linspace(1, last, min(grid, last) + 2 * (grid < last)).round().astype(int)
        positions = np.unique(positions[1:-1] if grid < last else positions)  # rounded
        judged = futures.write(network, JUDGED, length, random)
        if labels:
            count = max(min(labels, DOCUMENTS), -(-labels // last))
            documents = futures.write(network, count, length, random)
            rows, before = np.divmod(random.choice(count * last, labels, replace=False), last)
            came = [documents[rows, before + 1 + step] for step in range(event.horizon)]
            targets = event.holds(np.stack(came, axis=-1)).astype(float)
            fitted = rows, before + 1
            known = _of_process(process, event, judged, positions)
        else:
            count, fit_positions = (DOCUMENTS, np.arange(1, last + 1))
            if not _has_chain(process):  # each context costs a sum over continuations
                count, fit_positions = 2 * JUDGED, positions
            documents = np.asarray(process.sample(jax.random.key(seed), count))
            known = _of_process(process, event, np.concatenate([documents, judged]), fit_positions)
            targets, known = known[:count].reshape(-1), known[count:, np.isin(fit_positions, positions)]
            fitted = np.repeat(np.arange(count), len(fit_positions)), np.tile(fit_positions, count)
        if np.ptp(targets) < 1e-9:
            raise Misuse(
                f"In all {len(targets)} contexts that a probe is fitted on {event.title} is "
                f"{'always' if targets[0] else 'never'} true; there is nothing to fit."
            )
        # A network may write what the process rules out, which then has no belief.
        known = np.where(np.isfinite(known), known, targets.mean())
        return cls(np.concatenate([documents, judged]), fitted, targets, positions, known)


def _has_chain(process: Mixture) -> bool:
    """Whether hidden states of the process are known."""
    try:
        as_chains(process)
    except Misuse:
        return False
    return True


def _of_process(
    process: Mixture, event: Automaton, tokens: np.ndarray, positions: Int[np.ndarray, " p"]
) -> Float[np.ndarray, "n p"]:
    """The exact p(A) of the process."""
    if _has_chain(process):
        return futures.of_process(process, event, tokens)[:, positions].clip(0, 1)
    return futures.of_predictor(process, event, tokens, positions.tolist()).clip(0, 1)
