"""Blend: a process among whose documents are some of a finite D', as in pretraining on both from scratch.

x ~ p with probability 1 - s, else one of the n documents of D', all alike
"""

from dataclasses import dataclass, field
from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theory.base import Key, LogProbs, Tokens, at_tokens
from theory.latent.mixture import Mixture

ROWS, CHOICES = 2, 3  # folded into the key; 0 and 1 are those that a process splits it into


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Blend(Mixture):
    """The mixture p with the `documents` (n, t) of D' at their `share` s: these are of no hypothesis of p."""

    documents: Int[Array, "n t"] = field(kw_only=True)
    share: float = field(metadata={"static": True}, default=0.0, kw_only=True)

    @classmethod
    def of(cls, process: Mixture, documents: Int[Array, "n t"], share: float) -> Self:
        """A process with documents among its own."""
        parts = process.components, process.log_weights, process.factors
        return cls(*parts, documents=documents, share=share)

    def predict(self, tokens: Tokens) -> LogProbs:
        """Log-probabilities (nats) of the next token, by p or by the documents that began like this one."""
        log_probs = super().predict(tokens)
        chosen = at_tokens(log_probs, tokens)
        before = jnp.pad(jnp.cumsum(chosen, axis=-1)[:, :-1], ((0, 0), (1, 0)))
        equal = tokens[:, None] == self.documents
        alike = jnp.cumprod(jnp.pad(equal, ((0, 0), (0, 0), (1, 0)), constant_values=True)[..., :-1], axis=-1)
        symbols = jax.nn.one_hot(self.documents, log_probs.shape[-1])
        next_tokens = jnp.einsum("mnt,ntv->mtv", alike.astype(log_probs.dtype), symbols) / len(self.documents)
        both = jnp.logaddexp(
            jnp.log1p(-self.share) + before[..., None] + log_probs, jnp.log(self.share * next_tokens)
        )
        return jax.nn.log_softmax(both, axis=-1)

    def sample(self, key: Key, n: int) -> Tokens:
        """Draw n sequences; those that are not of D' are the ones that p draws with this key."""
        fresh = super().sample(key, n)
        rows = jax.random.randint(jax.random.fold_in(key, ROWS), (n,), 0, len(self.documents))
        chosen = jax.random.bernoulli(jax.random.fold_in(key, CHOICES), self.share, (n, 1))
        return jnp.where(chosen, self.documents[rows], fresh)

    def log_prob(self, tokens: Tokens) -> Float[Array, " n"]:
        """Log-probability (nats) of whole sequences, documents of D' included."""
        alike = jnp.all(tokens[:, None] == self.documents, axis=-1).mean(axis=-1)
        both = jnp.log1p(-self.share) + super().log_prob(tokens), jnp.log(self.share * alike)
        return jnp.logaddexp(*both)
