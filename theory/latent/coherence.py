"""Coherence of continuations: how far they are from what one hidden value could have written.

    deficit(x) = (1/T) (log p(x | prompt) - max_z log q_z(x | prompt))    nats a token, over T tokens
    q_z   the filter of value z, in which a token is drawn at random with probability η:
          T_η[x] = (1 - η) T[x] + (η / v) Σ_x T[x]

A writer that keeps to one z loses no more than η allows. One that is torn between values, or writes what none
of them could, pays log(v/η) nats for every token that is impossible. The prompt moves the belief about the
state and is not scored. Source: the public repository chainik1125/fra_proj (bag_moments/coherence.py, `xe`).

Axes: z hidden values, s states, v symbols, n sequences, t positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theory.base import LogProbs, Predictor, Tokens, at_tokens, check_number
from theory.divergence.kl import answers_at
from theory.latent.hidden_markov import forward


@dataclass(frozen=True)
class Restricted:
    """A predictor of the tokens of `part` alone, whose log-probabilities are renormalised."""

    predictor: Predictor
    part: slice

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) of the tokens in `part`, (n, t, their number)."""
        return answers_at(self.predictor, tokens, self.part)


@dataclass(frozen=True)
class Sectors:
    """Every combination z of values of factors, `starts` (z, s), with `transitions` (v, s, s) that slip."""

    transitions: Float[np.ndarray, "v s s"]
    starts: Float[np.ndarray, "z s"]

    @classmethod
    def of(cls, factors: Sequence[tuple[np.ndarray, np.ndarray]], slip: float) -> "Sectors":
        """Those of factors side by side (theory.latent.factored), whose tokens slip with probability η."""
        check_number("slip", slip, above=0, below=1)
        table, starts = np.ones((1, 1, 1)), np.ones((1, 1))
        for more, values in factors:
            table = np.kron(table, more)
            starts = np.kron(starts, values)
        return cls((1 - slip) * table + slip * table.mean(axis=0), starts)

    def log_likelihoods(self, tokens: Tokens, begin: int) -> Float[Array, "z n"]:
        """log q_z (nats) of all tokens from `begin` on, given those before it."""

        def of_start(start: Array) -> Array:
            chosen = at_tokens(forward(jnp.asarray(self.transitions), start, tokens)[0], tokens)
            return jnp.sum(chosen[:, begin:], axis=-1)

        return jax.lax.map(of_start, jnp.asarray(self.starts, jnp.float32))

    def deficit(self, writer: Float[Array, " n"], tokens: Tokens, begin: int) -> Float[Array, " n"]:
        """The coherence deficit (nats a token) of what a writer of log-probability `writer` wrote."""
        best = jnp.max(self.log_likelihoods(tokens, begin), axis=0)
        return (writer - best) / (tokens.shape[1] - begin)
