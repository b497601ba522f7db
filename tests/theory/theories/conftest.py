"""Tiny predictors with weights, and a process with its D', for the tests of theories."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from theory.processes.persona_topics import example


def previous(tokens, vocabulary):
    """The token before each position; `vocabulary` stands for the start."""
    return jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=vocabulary)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bigram:
    """Logits linear in the weights: a row for each previous token, the last one starts."""

    params: Any

    def predict(self, tokens):
        return jax.nn.log_softmax(self.params[previous(tokens, self.params.shape[-1])])

    def with_params(self, params):
        return replace(self, params=params)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Curved:
    """Logits that are not linear in the weights: tanh of an embedding, read out by a matrix."""

    params: Any

    def predict(self, tokens):
        before = previous(tokens, self.params["unembed"].shape[-1])
        return jax.nn.log_softmax(jnp.tanh(self.params["embed"][before]) @ self.params["unembed"])

    def with_params(self, params):
        return replace(self, params=params)


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


@pytest.fixture(scope="session")
def believer(process):
    return Believer(process, jnp.zeros(len(process.log_weights)))


@pytest.fixture(scope="session")
def bigram():
    return Bigram(0.7 * jax.random.normal(jax.random.key(1), (6, 5)))


@pytest.fixture(scope="session")
def curved():
    embed, read = jax.random.split(jax.random.key(2))
    return Curved(
        {
            "embed": 0.8 * jax.random.normal(embed, (6, 4)),
            "unembed": 0.8 * jax.random.normal(read, (4, 5)),
        }
    )


@pytest.fixture(scope="session")
def process():
    return example().distribution()


@pytest.fixture(scope="session")
def data():
    """Eight documents of the rarest persona."""
    return example().narrow(jax.random.key(3), 8, 2, [0, 1])


@pytest.fixture(scope="session")
def documents():
    """Every document of the process, to compare predictions on."""
    return jnp.asarray(list(product(range(3), range(3, 5), repeat=2)))
