"""Tiny predictors with weights, whose derivatives are known by hand, for tests of theories and weights."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp


def previous(tokens, vocabulary):
    """The token before each position; `vocabulary` stands for the start."""
    return jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=vocabulary)


@dataclass(frozen=True)
class Tiny:
    """A predictor by its logits."""

    params: Any

    def predict(self, tokens):
        return jax.nn.log_softmax(self.logits(tokens))

    def with_params(self, params):
        return replace(self, params=params)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bigram(Tiny):
    """Logits linear in the weights: a row for each previous token, the last one starts."""

    def logits(self, tokens):
        return self.params[previous(tokens, self.params.shape[-1])]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StartedBigram(Tiny):
    """The same with the start in a leaf of its own; rows of the table beyond the tokens are of none."""

    def logits(self, tokens):
        after = self.params["table"][tokens[:, :-1]]
        start = jnp.broadcast_to(self.params["start"], (len(tokens), 1, after.shape[-1]))
        return jnp.concatenate([start, after], axis=1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Curved(Tiny):
    """Logits that are not linear in the weights: tanh of an embedding, read out by a matrix, and a bias where
    there is one."""

    def logits(self, tokens):
        before = previous(tokens, self.params["unembed"].shape[-1])
        outputs = jnp.tanh(self.params["embed"][before]) @ self.params["unembed"]
        return outputs + self.params["bias"] if "bias" in self.params else outputs


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Believer:
    """The exact log-odds of a process's hypotheses for a stream, at depth 1, under a Bayesian read-out."""

    process: Any
    shift: Any

    def streams(self, tokens):
        joint = self.process.log_weights[:, None, None] + self.process.evidence(tokens)
        stream = jnp.moveaxis(joint, 0, -1) + self.shift
        return jnp.stack([jnp.zeros_like(stream), stream], axis=1)

    def shifted(self, depth, vector):
        assert depth == 1
        return replace(self, shift=self.shift + vector)

    def predict(self, tokens):
        belief = jnp.moveaxis(jax.nn.log_softmax(self.streams(tokens)[:, 1]), -1, 0)
        return jax.nn.logsumexp(belief[..., None] + self.process.component_log_probs(tokens), axis=0)
