"""Hidden Markov processes by labelled transitions: exact filter, samples, mixed states and entropy rate.

    T[x, i, j] = p(emit x and go to j | state i),    b_0 = start,    Σ_xj T[x, i, j] = 1
    p(x_t | x_<t) = b_t T[x_t] 1,    b_(t+1) = b_t T[x_t] / (b_t T[x_t] 1)
    H(X_L | X_<L, S_0) ≤ h ≤ H(X_L | X_<L),    both ends falling on the entropy rate h

b_t is a row, the *mixed state*: the belief over states (s of them) before token t. The bounds on h hold for a
stationary start (Cover and Thomas, Elements of Information Theory, theorem 4.5.1). What is small and static
(matrices, bounds, trees) is numpy in float64; what reads many sequences is JAX, one normalised forward pass.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theory.base import Key, LogProbs, Misuse, Tokens, at_tokens, compiled
from theory.compute.random import invert_cdf, sample_on_host

Transitions = Float[Array | np.ndarray, "v s s"]
CLOSE = 1e-9  # how far a row may be from adding to 1
# Mixed states in one cell of 1/GRID count as equal; irrational, so that no fraction lies on an edge.
GRID = np.pi * 1e8


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Chain:
    """A hidden Markov process, its documents `length` tokens long."""

    transitions: Float[Array, "*batch v s s"]
    start: Float[Array, "*batch s"]
    length: int = field(metadata={"static": True})

    @compiled()
    def predict(self, tokens: Tokens) -> LogProbs:
        """The exact next-token log-probabilities (nats)."""
        return forward(self.transitions, self.start, tokens)[0]

    def beliefs(self, tokens: Tokens) -> Float[Array, "n t s"]:
        """The mixed state before every token."""
        return forward(self.transitions, self.start, tokens)[1]

    @compiled("n")
    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n documents."""
        return draw(key, self.transitions, jnp.broadcast_to(self.start, (n, len(self.start))), self.length)

    @compiled()
    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole documents."""
        return jnp.sum(at_tokens(self.predict(tokens), tokens), axis=-1)


def forward(
    transitions: Float[Array, "v s s"], start: Float[Array, "#n s"] | Float[Array, " s"], symbols: Tokens
) -> tuple[LogProbs, Float[Array, "n t s"]]:
    """Next-symbol log-probabilities (nats) and the mixed states before them; `start` may differ by sequence.

    A symbol that cannot come (or is none of the v) leaves the belief where it was: what follows is finite.
    """
    alphabet, states, _ = transitions.shape
    flat = jnp.swapaxes(transitions, 0, 1).reshape(states, alphabet * states)

    def step(belief: Array, symbol: Array) -> tuple[Array, tuple[Array, Array]]:
        joint = jnp.matmul(belief, flat, precision="highest").reshape(-1, alphabet, states)
        came = jax.nn.one_hot(symbol, alphabet)[..., None]
        after = jnp.sum(joint * came, axis=1)
        total = jnp.sum(after, axis=-1, keepdims=True)
        after = jnp.where(total > 0, after / jnp.where(total > 0, total, 1.0), belief)
        return after, (jnp.log(jnp.sum(joint, axis=-1)), belief)

    first = jnp.broadcast_to(start, (len(symbols), states))
    _, (log_probs, beliefs) = jax.lax.scan(step, first, jnp.asarray(symbols).T)
    return jnp.swapaxes(log_probs, 0, 1), jnp.swapaxes(beliefs, 0, 1)


def draw(
    key: Key, transitions: Float[Array, "v s s"], start: Float[Array, "n s"], length: int
) -> Int[Array, "n t"]:
    """Draw a sequence from each start: one uniform number in (0, 1] a token, none for what cannot happen."""
    alphabet, states, _ = transitions.shape
    below = jnp.cumsum(jnp.swapaxes(transitions, 0, 1).reshape(states, alphabet * states), axis=-1)
    # 1 - u lies in (0, 1]: a chance of 0 would let the first symbol come even where it cannot.
    chances = 1 - jax.random.uniform(key, (length + 1, len(start), 1))

    def step(state: Array, chance: Array) -> tuple[Array, Array]:
        move = invert_cdf(chance, jnp.matmul(jax.nn.one_hot(state, states), below, precision="highest"))
        return move % states, move // states

    return jax.lax.scan(step, invert_cdf(chances[0], jnp.cumsum(start, axis=-1)), chances[1:])[1].T


def draw_on_host(
    random: np.random.Generator, transitions: np.ndarray, start: np.ndarray, length: int
) -> np.ndarray:
    """As `draw`, in numpy, with nothing to compile: starts (n, s) to symbols (n, length)."""
    alphabet, states, _ = transitions.shape
    moves = np.swapaxes(transitions, 0, 1).reshape(states, alphabet * states)
    state = sample_on_host(random, start)
    symbols = np.zeros((len(start), length), np.int32)
    for position in range(length):
        move = sample_on_host(random, moves[state])
        symbols[:, position], state = move // states, move % states
    return symbols


def check_transitions(transitions: np.ndarray, start: np.ndarray, name: str) -> None:
    """Refuse matrices (v, s, s), or starts (..., s), that are no probabilities."""
    if transitions.ndim != 3 or transitions.shape[1] != transitions.shape[2]:
        raise Misuse(f"Transitions of {name} must have the shape (v, s, s), got {transitions.shape}.")
    if start.shape[-1] != transitions.shape[1]:
        raise Misuse(
            f"A start of {name} must have an entry for each of {transitions.shape[1]} states, got "
            f"{start.shape[-1]}."
        )
    rows = transitions.sum(axis=(0, 2))
    if transitions.min() < 0 or np.abs(rows - 1).max() > CLOSE:
        raise Misuse(
            f"Transitions of {name} must be at least 0 and add to 1 over symbols and next states, got rows "
            f"that add to {rows.round(4).tolist()}, the least entry {transitions.min():.4g}."
        )
    if start.min() < 0 or np.abs(start.sum(axis=-1) - 1).max() > CLOSE:
        raise Misuse(f"A start of {name} must be at least 0 and add to 1, got {start.round(4).tolist()}.")


def stationary(transitions: np.ndarray) -> np.ndarray:
    """The distribution (s,) over states that a step leaves as it is; refuses a process with more than one."""
    step = transitions.sum(axis=0)
    states = len(step)
    equations = np.vstack([step.T - np.eye(states), np.ones(states)])
    if np.linalg.matrix_rank(equations) < states:
        raise Misuse("A process with more than one stationary distribution needs its start to be given.")
    return np.linalg.lstsq(equations, np.append(np.zeros(states), 1.0), rcond=None)[0].clip(0)


def mixed_states(transitions: np.ndarray, start: np.ndarray, longest: int) -> np.ndarray:
    """All mixed states (m, s) that sequences of 0 ... `longest` tokens lead to."""
    seen, front = start[None], start[None]
    for _ in range(longest):
        front = _children(transitions, front).reshape(-1, len(start))
        front = front[front.sum(axis=-1) > 0]
        front = _different(front / front.sum(axis=-1, keepdims=True))
        seen = _different(np.concatenate([seen, front]))
    return seen


def myopic_entropies(transitions: np.ndarray, start: np.ndarray, longest: int) -> np.ndarray:
    """H(X_L | X_<L) in nats for L = 0 ... `longest` tokens before, exactly: (longest + 1,).

    Every possible sequence is followed, v^longest of them where no two lead to the same mixed state.
    """
    front, weight, entropies = start[None], np.ones(1), []
    for _ in range(longest + 1):
        joint = _children(transitions, front)
        chance = joint.sum(axis=-1)
        surprise = -np.log(chance, where=chance > 0, out=np.zeros_like(chance))
        entropies.append(np.sum(weight[:, None] * chance * surprise))
        weight = (weight[:, None] * chance).reshape(-1)
        front = joint.reshape(-1, len(start))[weight > 0] / chance.reshape(-1, 1)[weight > 0]
        front, weight = _merged(front, weight[weight > 0])
    return np.array(entropies)


def entropy_rate(transitions: np.ndarray, longest: int) -> tuple[float, float]:
    """Bounds in nats, from below and above, on the entropy rate, by sequences of `longest` tokens."""
    start = stationary(transitions)
    upper = myopic_entropies(transitions, start, longest)[-1]
    known = [myopic_entropies(transitions, state, longest)[-1] for state in np.eye(len(start))]
    return float(start @ known), float(upper)


def _children(transitions: np.ndarray, front: np.ndarray) -> np.ndarray:
    """p(x, next state | mixed state), (m, v, s)."""
    return np.einsum("mi,xij->mxj", front, transitions)


def _different(states: np.ndarray) -> np.ndarray:
    """Mixed states (m, s) without those that are equal to another."""
    return states[np.unique((states * GRID).round(), axis=0, return_index=True)[1]]


def _merged(front: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal mixed states merged, their probabilities added."""
    _, first, index = np.unique((front * GRID).round(), axis=0, return_index=True, return_inverse=True)
    return front[first], np.bincount(index.reshape(-1), weights=weight)
