"""Tiny predictors with weights, and a process with its D', for the tests of theories."""

from itertools import product

import jax
import jax.numpy as jnp
import pytest

from tests.theory.tiny_networks import Believer, Bigram, Curved
from theory.processes.persona_topics import example


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
