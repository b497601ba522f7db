"""Events of the next m tokens as small automata, which read a continuation token by token.

    q_0 = 0,    q_(r+1) = δ(q_r, x_r),    the event holds if q_m accepts

Any predicate over continuations has one: continuations of r tokens after which the same completions make it
true share a state. A state is decided where every completion, or none, makes it true. Numpy; no jax.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int

from theory.errors import Misuse

Predicate: TypeAlias = Callable[[Int[np.ndarray, "c m"]], Bool[np.ndarray, " c"]]
MOST = 2_000_000  # continuations of which a predicate is asked
HIT, MISSED = 1, 2  # the states in which an event of tokens is decided


@dataclass(frozen=True, eq=False)
class Automaton:
    """δ as `moves` (q, v), the states that accept (q,), and the horizon m; state 0 is the first.

    Refuses a horizon below 1, and an event that always holds or never does.
    """

    moves: Int[np.ndarray, "q v"]
    accepts: Bool[np.ndarray, " q"]
    horizon: int
    description: str = ""

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise Misuse(f"The horizon of {self.title} must be at least 1 token, got {self.horizon}.")
        if not self.undecided[self.horizon, 0]:
            when = "always" if self.can(True)[-1, 0] else "never"
            raise Misuse(
                f"Whatever comes in {self.horizon} tokens, {self.title} is {when} true; there is nothing to "
                "predict."
            )

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.moves.shape[1]

    @cached_property
    def undecided(self) -> Bool[np.ndarray, "r q"]:
        """Whether the event is open in a state when r = 0 ... m tokens are still to come."""
        return self.can(True) & self.can(False)

    def can(self, outcome: bool) -> Bool[np.ndarray, "r q"]:
        """Whether some r = 0 ... m tokens lead from a state to that outcome."""
        reached = [self.accepts == outcome]
        for _ in range(self.horizon):
            reached.append(reached[-1][self.moves].any(axis=1))
        return np.stack(reached)

    def holds(self, continuations: Int[np.ndarray, "... m"]) -> Bool[np.ndarray, "..."]:
        """Whether the event holds for continuations of m tokens."""
        if continuations.shape[-1] != self.horizon:
            raise Misuse(
                f"Continuations of {self.title} have {self.horizon} tokens, got {continuations.shape[-1]}."
            )
        state = np.zeros(continuations.shape[:-1], int)
        for step in range(self.horizon):
            state = self.moves[state, continuations[..., step]]
        return self.accepts[state]

    @property
    def title(self) -> str:
        """A name for sentences."""
        return f"the event {self.description!r}" if self.description else "the event"


def within(tokens: Collection[int], vocabulary: int, horizon: int, description: str = "") -> Automaton:
    """One of the tokens comes among the next m."""
    return at_least(1, tokens, vocabulary, horizon, description)


def none_within(tokens: Collection[int], vocabulary: int, horizon: int, description: str = "") -> Automaton:
    """None of the tokens comes among the next m."""
    return Automaton(_counting(1, tokens, vocabulary), np.array([True, False]), horizon, description)


def at_least(
    count: int, tokens: Collection[int], vocabulary: int, horizon: int, description: str = ""
) -> Automaton:
    """At least `count` of the next m are among the tokens."""
    count = min(count, horizon + 1)  # more than there can be is as good as any
    moves = _counting(count, tokens, vocabulary)
    return Automaton(moves, np.arange(count + 1) == count, horizon, description)


def before(
    first: Collection[int], second: Collection[int], vocabulary: int, horizon: int, description: str = ""
) -> Automaton:
    """One of the first tokens comes among the next m, and none of the second ones before it."""
    moves = np.repeat(np.arange(3)[:, None], vocabulary, axis=1)
    moves[0, list(second)], moves[0, list(first)] = MISSED, HIT
    return Automaton(moves, np.arange(3) == HIT, horizon, description)


def from_predicate(predicate: Predicate, vocabulary: int, horizon: int, description: str = "") -> Automaton:
    """The smallest automaton of any predicate, (c, m) tokens to (c,) truth values, asked of all v^m
    continuations."""
    name = description or getattr(predicate, "__name__", "")
    if horizon < 1 or vocabulary**horizon > MOST:
        raise Misuse(
            f"A predicate is asked of all continuations, at most {MOST}, and there are {vocabulary} to the "
            f"power of the horizon, got {horizon}; choose another horizon."
        )
    shape = (vocabulary,) * horizon
    table = np.asarray(predicate(np.stack(np.unravel_index(np.arange(vocabulary**horizon), shape), axis=-1)))
    if table.shape != (vocabulary**horizon,) or table.dtype != bool:
        raise Misuse(
            f"The predicate {name} must give a truth value for each of {vocabulary**horizon} continuations, "
            f"got {table.dtype} of shape {table.shape}."
        )
    # From the last token back: rows of next states, equal ones merged. States 0 and 1 are the outcomes.
    numbers, rows = table.astype(int), [np.zeros(vocabulary, int), np.ones(vocabulary, int)]
    known = {row.tobytes(): state for state, row in enumerate(rows)}
    for _ in range(horizon):
        distinct, which = np.unique(numbers.reshape(-1, vocabulary), axis=0, return_inverse=True)
        for row in distinct:
            if row.tobytes() not in known:
                known[row.tobytes()] = len(rows)
                rows.append(row)
        numbers = np.array([known[row.tobytes()] for row in distinct])[which.reshape(-1)]
    # The first state becomes number 0: the two are exchanged.
    first, moves = int(numbers[0]), np.stack(rows)
    order = np.arange(len(moves))
    order[[0, first]] = first, 0
    accepts = (np.arange(len(moves)) == 1)[order]
    return Automaton(order[moves[order]], accepts, horizon, name)


def _counting(count: int, tokens: Collection[int], vocabulary: int) -> Int[np.ndarray, "q v"]:
    """Moves that count the tokens, up to `count`."""
    counts = np.arange(count + 1)
    moves = np.repeat(counts[:, None], vocabulary, axis=1)
    moves[:, list(tokens)] = np.minimum(counts + 1, count)[:, None]
    return moves
