"""A tiny process with an untrained network, and D' of it, for theories that are run by themselves."""

import jax
import jax.numpy as jnp
import pytest

from models.network import build, first
from models.transformer import Architecture
from theory.base import Dataset
from theory.processes.persona_topics import example


@pytest.fixture(scope="session")
def process():
    return example()


@pytest.fixture(scope="session")
def network(process):
    return first(build(Architecture(8, 1, 2), process.vocabulary, process.length, [0]))


@pytest.fixture(scope="session")
def documents(process):
    tokens = process.distribution().sample(jax.random.key(0), 6)
    return Dataset(tokens, jnp.ones(tokens.shape, bool))
