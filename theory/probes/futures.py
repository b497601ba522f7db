"""The exact probability of an event of the next m tokens, for a process and for any predictor.

    chain       V_0(i, q) = [q accepts],    V_r(i, q) = Σ_x Σ_j T[x, i, j] V_(r-1)(j, δ(q, x))
                p(A | x_<t) = Σ_i b_t(i) V_m(i, 0):    linear in the belief, for every event and horizon
    predictor   the sum over the tree of continuations, of which only those are followed that can come and
                leave the event open: at most v^(m-1) passes a context

So a belief probe gives every probe of an event, without a label: ridge regression is linear in its targets,
and the probe of p(A) is V times the probe of b (`theory.probes.codes.Linear.combined`; own derivation).
A network draws its tokens outside of itself, so nothing in it can know more of A than its own p(A | x_<t).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from theory.base import Misuse, Predictor, Tokens
from theory.compute.random import sample_on_host
from theory.latent.documents import predict
from theory.latent.mixture import Mixture
from theory.probes.automata import Automaton
from theory.probes.beliefs import as_chains, state_beliefs

BATCH = 1024  # continuations in a forward pass
LEAST = 1e-30  # probability that counts as possible in log-odds
HELD = 1 << 18  # continuations held at once, if a context does not have more


class Futures(NamedTuple):
    """The continuations (e,) of contexts, each up to the token that decides the event: the context (a number
    below that of all contexts), whether the event comes, and the probability."""

    contexts: Int[np.ndarray, " e"]
    comes: Bool[np.ndarray, " e"]
    chances: Float[np.ndarray, " e"]

    @property
    def event(self) -> Float[np.ndarray, " c"]:
        """p(A) of every context."""
        return np.bincount(self.contexts, weights=self.chances * self.comes)

    @property
    def log_odds(self) -> Float[np.ndarray, " c"]:
        """The log-odds of A in every context (nats), as exact where A is all but certain as anywhere."""
        against = np.bincount(self.contexts, weights=self.chances * ~self.comes)
        return np.log(self.event.clip(LEAST)) - np.log(against.clip(LEAST))


def values(process: Mixture, event: Automaton) -> Float[np.ndarray, "k s"]:
    """V: the probability of the event given hypothesis and hidden state.

    Refuses an event that is certain, or impossible, in every state that the process can be in.
    """
    chains = as_chains(process).components
    table = np.asarray(chains.transitions, float)
    if table.shape[1] != event.vocabulary:
        raise Misuse(
            f"The process has {table.shape[1]} tokens, and {event.title} is about {event.vocabulary}."
        )
    open_chance = event.accepts.astype(float)
    chance = np.broadcast_to(open_chance, (len(table), table.shape[2], len(open_chance)))

    for _ in range(event.horizon):
        steps = (table[:, token] @ chance[:, :, event.moves[:, token]] for token in range(table.shape[1]))
        chance = sum(steps, np.zeros(()))
    _check_varies(chance[..., 0][_reachable(table, np.asarray(chains.start))], event)
    return chance[..., 0]


def of_process(process: Mixture, event: Automaton, tokens: Tokens) -> Float[np.ndarray, "n t"]:
    """p(A | x_<t), exactly, before every token; near the end of a document as if it went on."""
    known = np.asarray(state_beliefs(process, tokens), float)
    return np.einsum("ntks,ks->nt", known, values(process, event))


def of_predictor(
    predictor: Predictor, event: Automaton, tokens: Tokens, positions: Sequence[int] | None = None
) -> Float[np.ndarray, "n p"]:
    """p(A | x_<t) of any predictor, exactly, at some positions (default: all from which m tokens fit).

    What the contexts hold from a position on is not read. Refuses positions from which the event would reach
    beyond the documents.
    """
    tokens = np.asarray(tokens)
    chances = decided(predictor, event, tokens, positions).event
    return chances.reshape(len(tokens), -1)


def decided(
    predictor: Predictor, event: Automaton, tokens: Tokens, positions: Sequence[int] | None = None
) -> Futures:
    """The same before the sum: continuations up to where the event is decided, contexts (n p) in order."""
    tokens = np.asarray(tokens)
    last = tokens.shape[1] - event.horizon
    if positions is None:
        positions = range(last + 1)
    wrong = [position for position in positions if not 0 <= position <= last]
    if wrong or last < 0:
        raise Misuse(
            f"In documents of {tokens.shape[1]} tokens the positions of {event.title}, of {event.horizon} "
            f"tokens, are from 0 to {last}, got {wrong or 'none that fits'}."
        )
    widest = len(positions) * event.vocabulary ** (event.horizon - 1)
    block = max(1, HELD // widest)
    parts = [tokens[begin : begin + block] for begin in range(0, len(tokens), block)]
    followed = [_followed(predictor, event, part, np.asarray(positions, int)) for part in parts]
    before = np.cumsum([0, *(len(part) * len(positions) for part in parts[:-1])])
    contexts = [start + part.contexts for start, part in zip(before, followed, strict=True)]
    _, comes, chances = map(np.concatenate, zip(*followed, strict=True))
    return Futures(np.concatenate(contexts), comes, chances)


def passes(event: Automaton) -> int:
    """The most continuations of a context that the sum over the tree reads, its own among them."""
    count, total = (np.arange(len(event.moves)) == 0).astype(int), 1
    for left in range(event.horizon - 1, 0, -1):
        grown = np.zeros_like(count)
        np.add.at(grown, event.moves, np.broadcast_to(count[:, None], event.moves.shape))
        count = grown * event.undecided[left]
        total += int(count.sum())
    return total


def write(
    predictor: Predictor, count: int, length: int, random: np.random.Generator
) -> Int[np.ndarray, "n t"]:
    """Documents that a predictor writes: each token drawn from its own predictions."""
    start = np.zeros(count, int)
    return continued(predictor, np.zeros((count, length), np.int32), start, length, random)


def continued(
    predictor: Predictor,
    tokens: Int[np.ndarray, "c t"],
    positions: Int[np.ndarray, " c"],
    steps: int,
    random: np.random.Generator,
) -> Int[np.ndarray, "c m"]:
    """So many tokens that a predictor draws in each context, the tokens before its position."""
    tokens, rows = np.array(tokens), np.arange(len(tokens))
    for step in range(steps):
        chances = _next(predictor, tokens, positions + step)
        tokens[rows, positions + step] = sample_on_host(random, chances)
    return tokens[rows[:, None], positions[:, None] + np.arange(steps)]


def _followed(
    predictor: Predictor, event: Automaton, tokens: np.ndarray, positions: Int[np.ndarray, " p"]
) -> Futures:
    """The tree of continuations of a block of documents, down to where the event is decided."""
    count = len(tokens) * len(positions)
    front = _Front(
        np.repeat(tokens, len(positions), axis=0),
        np.tile(positions, len(tokens)),
        np.arange(count),
        np.zeros(count, int),
        np.ones(count),
    )
    leaves = []
    for left in range(event.horizon, 0, -1):
        front = front.grown(predictor, event)
        is_open = event.undecided[left - 1, front.states]
        ended = front.kept(~is_open)
        leaves.append((ended.roots, event.can(True)[left - 1, ended.states], ended.weights))
        front = front.kept(is_open)
    return Futures(*map(np.concatenate, zip(*leaves, strict=True)))


@dataclass(frozen=True)
class _Front:
    """Continuations of one length: documents, the position that comes next, the context each belongs to, the
    automaton's state and the probability."""

    tokens: Int[np.ndarray, "c t"]
    positions: Int[np.ndarray, " c"]
    roots: Int[np.ndarray, " c"]
    states: Int[np.ndarray, " c"]
    weights: Float[np.ndarray, " c"]

    def grown(self, predictor: Predictor, event: Automaton) -> "_Front":
        """Every continuation longer by every token that can come."""
        chances = self.weights[:, None] * _next(predictor, self.tokens, self.positions)
        row, token = np.nonzero(chances)
        grown = self.kept(row)
        fits = grown.positions < self.tokens.shape[1]
        grown.tokens[np.flatnonzero(fits), grown.positions[fits]] = token[fits]
        return _Front(
            grown.tokens,
            grown.positions + 1,
            grown.roots,
            event.moves[grown.states, token],
            chances[row, token],
        )

    def kept(self, rows: np.ndarray) -> "_Front":
        """Some of them, by a mask or by numbers, as copies."""
        return _Front(
            self.tokens[rows], self.positions[rows], self.roots[rows], self.states[rows], self.weights[rows]
        )


def _next(predictor: Predictor, tokens: np.ndarray, positions: np.ndarray) -> Float[np.ndarray, "c v"]:
    """Probabilities of the next token of every row at its position, in batches of one shape."""
    parts = []
    size = BATCH if len(tokens) > BATCH // 16 else BATCH // 16  # two shapes at most: two programs
    for begin in range(0, len(tokens), size):
        rows = tokens[begin : begin + size]
        padded = np.pad(rows, ((0, size - len(rows)), (0, 0)), mode="edge")
        log_probs = np.asarray(predict(predictor, padded), float)[: len(rows)]
        parts.append(np.exp(log_probs[np.arange(len(rows)), positions[begin : begin + size]]))
    return np.concatenate(parts) if parts else np.zeros((0, 1))


def _reachable(table: Float[np.ndarray, "k v s s"], start: Float[np.ndarray, "k s"]) -> np.ndarray:
    """The states (k, s) that a document can be in."""
    step, reached = table.sum(axis=1) > 0, start > 0
    while True:
        further = reached | np.einsum("ki,kij->kj", reached, step)
        if (further == reached).all():
            return reached
        reached = further


def _check_varies(chances: np.ndarray, event: Automaton) -> None:
    for outcome, word in ((0.0, "never"), (1.0, "always")):
        if np.abs(chances - outcome).max() < 1e-9:
            raise Misuse(f"In this process {event.title} is {word} true; there is nothing to predict.")
