"""Exact beliefs of a process before every token: over its hypotheses, and over its hidden states with them.

    b_t(z)     ∝ π0(z) p(x_<t | z)                          any mixture
    b_t(z, s)  = b_t(z) p(state s | x_<t, z)                a mixture whose components are hidden chains

A component that is no `Chain` is written as one, with the states that its future depends on:

    pages of `theory.processes.linebreak`    the column, up to the widest line, then the column that a newline
                                             has just ended, on which the pending word is conditioned
    sectors of `theory.latent.factored`      before the header; then every combination of the factors' states

Both chains are exact: their predictions are those of the process. A component of one's own joins in by
`as_chain.register`.
"""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theory.base import Misuse, Model, Tokens
from theory.latent.factored import Sector
from theory.latent.hidden_markov import Chain
from theory.latent.mixture import Mixture
from theory.processes.linebreak import Page


def beliefs(process: Mixture, tokens: Tokens) -> Float[Array, "n t k"]:
    """The posterior over hypotheses before every token."""
    return _beliefs(process, tokens)


def state_beliefs(process: Mixture, tokens: Tokens) -> Float[Array, "n t k s"]:
    """The joint posterior over hypotheses and hidden states before every token: the mixed state."""
    return _state_beliefs(as_chains(process), tokens)


def as_chains(process: Mixture) -> Mixture:
    """The same process with hidden Markov chains for components."""
    return replace(process, components=as_chain(process.components))


@functools.singledispatch
def as_chain(components: Model) -> Chain:
    """Stacked components of a mixture as stacked chains; refuses those whose states are not known."""
    raise Misuse(
        f"The hidden states of {type(components).__name__} are not known; beliefs over its hypotheses are "
        "(theory.probes.beliefs.beliefs), or register its chain with theory.probes.beliefs.as_chain."
    )


@as_chain.register
def _(components: Chain) -> Chain:
    return components


@as_chain.register
def _(components: Page) -> Chain:
    widths, lengths = np.asarray(components.width, float), np.asarray(components.lengths)
    words, columns = len(lengths), int(widths.max()) + 1
    table = np.zeros((len(widths), words + 1, 2 * columns, 2 * columns))
    column = np.arange(columns)
    too_long = column[:, None] + lengths > widths[:, None, None]
    breaks = np.where(too_long, 1 - components.noise, components.noise) / words
    newline = breaks.sum(axis=-1)
    for word, length in enumerate(lengths):
        # At the widest line and beyond, every word is too long for every width.
        after = np.minimum(column + length, columns - 1)
        table[:, word, column, after] = 1 / words - np.where(column > 0, breaks[..., word], 0.0)
        table[:, word, columns + column, length] = breaks[..., word] / newline
    table[:, words, column[1:], columns + column[1:]] = newline[:, 1:]
    start = np.zeros((len(widths), 2 * columns))
    start[:, 0] = 1.0
    return _chain(table, start, components.length)


@as_chain.register
def _(components: Sector) -> Chain:
    factors = [np.asarray(part, float) for part in components.transitions]
    starts = [np.asarray(part, float) for part in components.starts]
    headers = np.exp(np.asarray(components.headers, float))
    announced = np.asarray(components.announced, float)
    text, first = functools.reduce(_side_by_side, factors), functools.reduce(_outer, starts)
    named = np.concatenate([starts[0][:, None], announced], axis=1)
    (count, symbols, states), kinds = text.shape[:3], headers.shape[1]
    table = np.zeros((count, symbols + kinds, 1 + states, 1 + states))
    table[:, :symbols, 1:, 1:] = text
    for kind in range(kinds):
        moved = functools.reduce(_outer, [named[:, kind], *starts[1:]])
        table[:, symbols + kind, 0, 1:] = headers[:, kind, None] * moved
    start = np.pad(np.zeros_like(first), ((0, 0), (1, 0)))
    start[:, 0] = 1.0
    return _chain(table, start, components.length)


def _chain(table: np.ndarray, start: np.ndarray, length: int) -> Chain:
    return Chain(jnp.asarray(table, jnp.float32), jnp.asarray(start, jnp.float32), length)


def _side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Transitions (k, v, s, s) of two factors that run side by side; the first varies slowest."""
    both = np.einsum("kxij,kyab->kxyiajb", left, right)
    count, v, w, s, r = both.shape[:5]
    return both.reshape(count, v * w, s * r, s * r)


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.einsum("ki,ka->kia", left, right).reshape(len(left), -1)


@jax.jit
def _beliefs(process: Mixture, tokens: Tokens) -> Float[Array, "n t k"]:
    joint = process.log_weights[:, None, None] + process.evidence(tokens)
    return jnp.moveaxis(jax.nn.softmax(joint, axis=0), 0, -1)


@jax.jit
def _state_beliefs(process: Mixture, tokens: Tokens) -> Float[Array, "n t k s"]:
    states = jax.vmap(lambda chain: chain.beliefs(tokens))(process.components)
    return jnp.einsum("ntk,knts->ntks", _beliefs(process, tokens), states, precision="highest")
